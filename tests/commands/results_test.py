"""The command that draws learning curves: what it writes and what it refuses."""

import pathlib
import sys

import pytest

import slac_tf.results

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = "task,seed,OriginalEnvironmentSteps,AverageReturnEvalPolicy,AverageReturnEvalGreedyPolicy"


def write(directory, seed=0, task="finger_spin", returns=(0, 300)):
    directory.mkdir(parents=True)
    rows = [f"{task},{seed},{50_000 * (i + 1)},{value},{value + 50}" for i, value in enumerate(returns)]
    (directory / "eval.csv").write_text("\n".join([HEADER, *rows]) + "\n")


def refused(answer, *named):
    code, out, err = answer
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith("results: ")
    for part in named:
        assert part in err


def test_a_figure_of_the_paper_with_runs_as_picture_and_table(command, tmp_path):
    write(tmp_path / "runs" / "seed0")
    write(tmp_path / "runs" / "seed1", 1, returns=(10, 400, 500))
    outs = [tmp_path / f"figure4.{suffix}" for suffix in ("png", "svg", "md")]
    code, out, _ = command("results", "--figure=4", f"--runs=SLAC={tmp_path}/runs", *(f"--out={path}" for path in outs))
    assert code == 0
    assert outs[0].read_bytes().startswith(b"\x89PNG") and "<svg" in outs[1].read_text()
    assert outs[2].read_text() in out
    # 0 and 10 have the mean 5; as in statistics_test, the interval leaves 0.0375 of the distance out at either end.
    row = "| SLAC | runs | 2 to 100,000, 1 to 150,000 | 5 [0, 10] | 350 [304, 396] | — | — | — | 500 at 150,000 |"
    assert row in out
    assert "| SLAC | ICLR2020-Fig4 | — | 549 ± 66 | 666 ± 197 |" in out
    assert "SLAC on finger_spin: runs of unequal length, seeds 2 to 100,000, 1 to 150,000" in out


def test_what_is_known_of_a_task(command, tmp_path):
    code, out, _ = command("results", "--published=cheetah_run", f"--out={tmp_path}/known.pdf")
    assert code == 0 and (tmp_path / "known.pdf").exists()
    assert "| SLACv1 (1 update/agent step) | CURL-paper-Table1 | — | — | 319 ± 56 |" in out


def test_both_policies_of_one_seed(command, tmp_path):
    write(tmp_path / "run")
    code, out, _ = command("results", f"--runs={tmp_path}/run", "--policy=stochastic", "--policy=greedy", "--title=One")
    assert code == 0
    assert "| run | runs | 1 | 0 | 300 |" in out and "| run, greedy policy | runs | 1 | 50 | 350 |" in out
    assert "run on finger_spin: one seed only, drawn without an interval" in out


def test_mistakes(command, tmp_path):
    write(tmp_path / "cheetah", task="cheetah_run")
    write(tmp_path / "finger")
    (tmp_path / "empty").mkdir()
    refused(command("results"), "--runs=DIR")
    refused(command("results", "x", "--figure=4"), "'x' is no flag")
    refused(command("results", "--figure=7"), "figure 7", "4, 5, 6")
    refused(command("results", "--published=acrobot"), "acrobot", "cheetah_run")
    refused(command("results", "--published=finger_spin", "--figure=4"), "one of them")
    refused(command("results", f"--runs={tmp_path}/empty"), f"{tmp_path}/empty: no eval.csv in it")
    refused(command("results", "--figure=6", f"--runs={tmp_path}/finger"), "runs of finger_spin, expected cheetah_run")
    refused(command("results", "--published=finger_spin", f"--runs={tmp_path}/cheetah"), "cheetah_run", "finger_spin")
    refused(command("results", "--figure=4", f"--out={tmp_path}/figure.gif"), "figure.gif", ".png")
    refused(command("results", "--figure=4", f"--out={tmp_path}/no/figure.png"), "figure.png")
    path = tmp_path / "finger" / "eval.csv"
    path.write_text(path.read_text()[:-5])
    refused(command("results", f"--runs={tmp_path}/finger"), "eval.csv, line 3: 4 cells, expected 5")


def test_without_matplotlib(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "slac_tf.results.figures", raising=False)
    monkeypatch.delattr(slac_tf.results, "figures", raising=False)
    assert command("results", "--figure=4", f"--out={tmp_path}/figure4.md")[0] == 0
    refused(command("results", "--figure=4", f"--out={tmp_path}/figure4.png"), "pip install matplotlib")


@pytest.mark.parametrize("name", ["quickstart/batch64", "sac_state"])
def test_the_runs_of_the_repository_can_be_drawn(command, name):
    code, out, _ = command("results", f"--runs={ROOT}/results/{name}", "--policy=stochastic", "--policy=greedy")
    assert code == 0 and "| runs | 3 |" in out
