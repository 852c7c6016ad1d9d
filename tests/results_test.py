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


def test_the_table_of_sac_from_state_says_what_was_measured():
    directory = ROOT / "results" / "sac_state"
    table = [line.split(" | ") for line in (directory / "README.md").read_text().splitlines() if "±" in line[1:]]
    rows = [cells for cells in table if len(cells) == 7 and cells[1].replace(",", "").isdigit()]
    assert len(rows) == 5
    for task, env_steps, *cells in rows:
        returns = []
        for seed, stated in enumerate(cells[:3]):
            path = directory / task.strip("| ").replace(" ", "_") / f"seed{seed}" / "eval.csv"
            with path.open(newline="") as file:
                evaluations = {row["OriginalEnvironmentSteps"]: row for row in csv.DictReader(file)}
            returns.append(float(evaluations[env_steps.replace(",", "")]["AverageReturnEvalPolicy"]))
            assert stated == f"{returns[-1]:.0f}"
        assert cells[3] == f"{statistics.mean(returns):.0f} ± {statistics.stdev(returns):.0f}"


def quickstart_evaluations(folder):
    with (ROOT / "results" / "quickstart" / folder / "eval.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curve_cells(rows):
    """As a table has it: the stochastic policy's returns and the last one of the greedy policy."""
    values = [float(row["AverageReturnEvalPolicy"]) for row in rows] + [
        float(rows[-1]["AverageReturnEvalGreedyPolicy"])
    ]
    return "| " + " | ".join(f"{value:.1f}" for value in values) + " |"


def both_policies(evaluation):
    return " | ".join(
        f"{float(evaluation[f'AverageReturnEval{name}']):.1f} ± {float(evaluation[f'StdReturnEval{name}']):.1f}"
        for name in ("Policy", "GreedyPolicy")
    )


def test_the_table_of_the_quickstart_says_what_was_measured():
    text = (ROOT / "results" / "quickstart" / "README.md").read_text()
    for seed in range(3):
        assert f"| {seed} | {both_policies(quickstart_evaluations(f'seed{seed}')[-1])} |" in text


def test_the_table_of_bfloat16_says_what_was_measured():
    text = (ROOT / "results" / "quickstart" / "README.md").read_text()
    ends = []
    for seed in range(3):
        rows = quickstart_evaluations(f"bfloat16_later/seed{seed}")
        assert f"| seed {seed} {curve_cells(rows)}" in text
        ends.append(float(rows[-1]["AverageReturnEvalPolicy"]))
    in_float32 = [f"unclipped/seed{seed}" for seed in range(3)] + ["float32_later/seed0", "float32_alone/seed0"]
    ends_in_float32 = [float(quickstart_evaluations(run)[-1]["AverageReturnEvalPolicy"]) for run in in_float32]
    assert f"The mean is {statistics.mean(ends):.0f}, that of the five runs in float32" in text
    assert f"`float32_alone/`) {statistics.mean(ends_in_float32):.0f}:" in text


@pytest.mark.parametrize(("quality", "folder"), [("default", "default_quality"), ("fast", "float32_alone")])
def test_the_table_of_render_quality_says_what_was_measured(quality, folder):
    text = (ROOT / "results" / "quickstart" / "README.md").read_text()
    assert f"| {quality} {curve_cells(quickstart_evaluations(f'{folder}/seed0'))}" in text


@pytest.mark.parametrize("folder", ["float32_alone", "before"])
def test_the_table_of_wall_clock_says_what_was_measured(folder):
    text = (ROOT / "results" / "quickstart" / "README.md").read_text()
    last = quickstart_evaluations(f"{folder}/seed0")[-1]
    line = next(line for line in text.splitlines() if line.startswith("|") and f"`{folder}/`" in line)
    assert line.endswith(f"| {float(last['wall_seconds']):.0f} s | {both_policies(last)} |")


ROW = re.compile(r"^\| `(\w+)` \| ([\d,]+) \| (stochastic|greedy) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
COLUMNS = {"stochastic": "AverageReturnEvalPolicy", "greedy": "AverageReturnEvalGreedyPolicy"}


@pytest.mark.parametrize("folder", ["dmc6", "dvrl", "levers", "planet"])
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
