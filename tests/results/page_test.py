"""The page of all results holds its pictures, and its links lead to files that exist."""

import base64
import json
import os
import re
from urllib import parse

import numpy as np
import pytest

from slac_tf.results import curve

pytest.importorskip("matplotlib")

from slac_tf.results import page


def results(root):
    (root / "quick" / "seed 0").mkdir(parents=True)
    (root / "quick" / "curve.png").write_bytes(b"a curve")
    (root / "quick" / "README.md").write_text(
        "# Quick\n\n![a curve](curve.png) of [a run](<seed 0>), see [below](#more) and [there](https://example.org/x.png).\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n## More\n\n```bash\nbin/play <x>\n```\n"
    )
    policy = root / "policies" / "point"
    policy.mkdir(parents=True)
    (policy / "film.mp4").write_bytes(b"a film")
    said = {"task": "point", "env_step": 4000, "returns": [10.0, 13.0]}
    (policy / "manifest.json").write_text(json.dumps(said))
    return root


def test_pictures_are_inside_and_links_lead_to_their_files(tmp_path):
    out = tmp_path / "elsewhere" / "page.html"
    out.parent.mkdir()
    text = page.text(results(tmp_path / "results"), out, [])
    assert base64.b64encode(b"a curve").decode() in text
    assert base64.b64encode(b"a film").decode() in text
    assert "point, env step 4,000: mean return 12" in text
    assert "<td>2</td>" in text and "bin/play &lt;x&gt;" in text
    targets = [target for target in re.findall(r'<a href="([^"]+)"', text)]
    assert targets == ["../results/quick/seed%200", "#more", "https://example.org/x.png"]
    assert (out.parent / parse.unquote(targets[0])).is_dir()
    assert 'id="more"' in text
    for name in re.findall(r"<a href='#([^']+)'", text):
        assert f"id='{name}'" in text
    assert "src='data:" in text and not re.search(r"src=.(?!data:)", text)  # nothing is left that a server must bring


def test_figures_have_the_runs(tmp_path):
    root = results(tmp_path)
    steps, returns = np.array([10_000, 20_000]), np.array([100.0, 200.0])
    ours = curve.Curve("finger_spin", "A run", "", steps, returns, returns, returns, np.array([1, 1]))
    foreign = ours._replace(task="point", method="A foreign run")

    def figure_4(runs):
        source = re.search(r"alt='Figure 4' src='data:image/svg\+xml;base64,([^']+)'", page.text(root, root, runs))
        return base64.b64decode(source.group(1)).decode()

    assert "<!-- A run" in figure_4([ours, foreign])
    assert "<!-- A run" not in figure_4([])
    assert "<!-- A foreign run" not in figure_4([ours, foreign])


def test_no_results(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: no folder with a README.md, expected")):
        page.text(tmp_path, tmp_path / os.devnull, [])
