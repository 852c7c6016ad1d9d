"""All results as one HTML file: the pages of `results/`, the paper's figures with our runs, the recorded policies."""

import base64
import html
import io
import json
import mimetypes
import os
import pathlib
import re
from typing import List, Sequence
from urllib import parse

import markdown

from slac_tf.results import curve, figures

_STYLE = """
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #222; }
nav a { margin-right: 1rem; white-space: nowrap; }
img, video { max-width: 100%; height: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #ccc; padding: 0.2rem 0.6rem; text-align: left; }
pre { background: #f4f4f4; padding: 0.6rem; overflow-x: auto; }
figure { display: inline-block; width: 12rem; margin: 0.5rem; vertical-align: top; }
"""
_LINK = re.compile(r'(<(?:img|a)\b[^>]*?\b)(src|href)="([^"]+)"')
_FILM_SUFFIXES = (".gif", ".mp4")


def text(root: pathlib.Path, out: pathlib.Path, runs: Sequence[curve.Curve]) -> str:
    """Makes the page. Pictures and films are inside of it, links lead to the files they name.

    Args:
        root: The folder of results: each folder in it that has a README.md becomes a section, and each exported policy
            in `policies/` a film with its returns.
        out: Where the page will be; links start there.
        runs: Drawn over the paper's Figures 4, 5 and 6, each over those that have its task.

    Returns:
        HTML.

    Raises:
        ValueError: If there is no README.md in any folder.
    """
    readmes = sorted(root.glob("*/README.md"))
    if not readmes:
        raise ValueError(f"{root}: no folder with a README.md, expected the project's results/")
    parts = ["<h2 id='figures'>The paper's figures</h2>", *(_figure(number, runs) for number in (4, 5, 6))]
    films = _films(root / "policies")
    if films:
        parts += ["<h2 id='films'>Recorded policies</h2>", *films]
    for readme in readmes:
        name = html.escape(readme.parent.name)
        body = markdown.markdown(readme.read_text(encoding="utf-8"), extensions=["tables", "fenced_code", "toc"])
        parts.append(f"<section id='{name}'>{_with_files(body, readme.parent, out)}</section>")
    names = ["figures", *(["films"] if films else []), *(html.escape(readme.parent.name) for readme in readmes)]
    links = "".join(f"<a href='#{name}'>{name.replace('_', ' ')}</a>" for name in names)
    return "\n".join(
        [
            "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>slac_tf: results</title>",
            "<meta name='viewport' content='width=device-width'>",
            f"<style>{_STYLE}</style></head><body><h1>slac_tf: results</h1><nav>{links}</nav>",
            *parts,
            "</body></html>",
        ]
    )


def _figure(number: int, runs: Sequence[curve.Curve]) -> str:
    """A figure of the paper with the runs on its tasks, as SVG."""
    tasks = {panel_curve.task for panel in figures.of_paper(number, []) for panel_curve in panel.curves}
    picture = io.BytesIO()
    panels = figures.of_paper(number, [each for each in runs if each.task in tasks])
    figures.draw(panels, f"Figure {number}", "mean", None).savefig(picture, format="svg")
    return f"<p><img alt='Figure {number}' src='{_data(picture.getvalue(), 'image/svg+xml')}'></p>"


def _films(policies: pathlib.Path) -> List[str]:
    parts = []
    for manifest in sorted(policies.glob("*/manifest.json")):
        said = json.loads(manifest.read_text(encoding="utf-8"))
        returns = said["returns"]
        line = f"{said['task']}, env step {said['env_step']:,}: mean return {sum(returns) / len(returns):.0f}"
        films = [path for path in sorted(manifest.parent.iterdir()) if path.suffix in _FILM_SUFFIXES]
        shown = "".join(_picture(path) for path in films)
        parts.append(f"<figure>{shown}<figcaption>{html.escape(line)}</figcaption></figure>")
    return parts


def _picture(path: pathlib.Path) -> str:
    source = _data(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")
    if path.suffix == ".mp4":
        return f"<video controls loop muted src='{source}'></video>"
    return f"<img alt='{html.escape(path.name)}' src='{source}'>"


def _with_files(body: str, folder: pathlib.Path, out: pathlib.Path) -> str:
    """Puts pictures into the text, and lets its links to files start at `out`."""

    def replace(match: "re.Match[str]") -> str:
        begin, attribute, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match.group(0)
        name, separator, anchor = parse.unquote(html.unescape(target)).partition("#")
        path = folder / name
        if attribute == "src" and path.is_file():
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            return f'{begin}src="{_data(path.read_bytes(), kind)}"'
        relative = parse.quote(os.path.relpath(path.resolve(), out.resolve().parent))
        return f'{begin}{attribute}="{relative}{separator}{anchor}"'

    return _LINK.sub(replace, body)


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
