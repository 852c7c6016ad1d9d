"""What the repository says it has reached: policies played, tables beside their numbers."""

import csv
import pathlib
import re
import statistics
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
POLICIES = ROOT / "results" / "policies"
FLOORS = {
    task: float(floor)
    for task, floor in re.findall(r"^\| (\w+) \| (\d+) \|", (POLICIES / "README.md").read_text(), re.MULTILINE)
}


def test_the_table_has_every_policy():
    assert sorted(FLOORS) == sorted(path.parent.name for path in POLICIES.glob("*/saved_model.pb"))
    assert sum(path.stat().st_size for path in POLICIES.rglob("*") if path.is_file()) < 40e6


@pytest.mark.parametrize("task", sorted(FLOORS))
def test_a_policy_plays_above_its_stated_return(task):
    played = subprocess.run(
        [ROOT / "bin" / "play", f"--task={task}", "--episodes=1", "--seed=12345"], capture_output=True, text=True
    )
    assert played.returncode == 0, played.stderr
    assert float(re.search(r"mean return (\S+)", played.stdout).group(1)) > FLOORS[task]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--task=cheetah"], r"play: --task=cheetah: no such folder in .*, expected one of .*finger_spin.*"),
        (["--task=finger_spin", "--policy=x"], r"play: expected one of --policy=.* and --task=.*"),
    ],
)
def test_a_policy_that_is_not_there(flags, line):
    ended = subprocess.run([ROOT / "bin" / "play", *flags], capture_output=True, text=True)
    assert ended.returncode == 2
    assert re.fullmatch(line, ended.stderr.strip().splitlines()[-1])


def test_the_latent_models_table_says_what_was_measured():
    directory = ROOT / "results" / "latent_models"
    with (directory / "elbo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3
    text = (directory / "README.md").read_text()
    for model in {row["model"] for row in rows}:
        values = [float(row["elbo"]) for row in rows if row["model"] == model]
        assert f"| {statistics.mean(values):,.0f} ± {statistics.stdev(values):.0f} |" in text


ROW = re.compile(r"^\| `(\w+)` \| ([\d,]+) \| (stochastic|greedy) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
RUN_FOLDERS = {path.parents[2].name for path in ROOT.glob("results/*/*/seed*/eval.csv")}
COLUMNS = {"stochastic": "AverageReturnEvalPolicy", "greedy": "AverageReturnEvalGreedyPolicy"}


@pytest.mark.parametrize("folder", sorted(RUN_FOLDERS - {"simulator_mpc"}))  # whose table is one of tasks
def test_rows_of_run_directories_say_what_was_measured(folder):
    directory = ROOT / "results" / folder
    rows = ROW.findall((directory / "README.md").read_text())
    assert {run for run, *_ in rows} == {path.parent.parent.name for path in directory.glob("*/seed*/eval.csv")}
    for run, env_steps, policy, returns, mean in rows:
        values = []
        for path in sorted((directory / run).glob("seed*/eval.csv")):
            with path.open(newline="") as file:
                evaluations = {row["OriginalEnvironmentSteps"]: row for row in csv.DictReader(file)}
            if evaluation := evaluations.get(env_steps.replace(",", "")):
                values.append(float(evaluation[COLUMNS[policy]]))
        assert returns == ", ".join(f"{value:.0f}" for value in values)
        assert mean == ("–" if len(values) == 1 else f"{statistics.mean(values):.0f} ± {statistics.stdev(values):.0f}")
