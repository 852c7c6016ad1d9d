"""bin/mpc: what it writes, how it is stopped and goes on, what it refuses."""

import csv
import json
import pathlib
import signal
import subprocess
import time

import gin
import imageio.v2 as imageio
import numpy as np
import pytest

from slac_tf.commands import planned_episodes
from slac_tf.environments import suite_gymnasium
from slac_tf.planning import cem
from slac_tf.runs import run_dir, signals
from slac_tf.training import settings

BIN = pathlib.Path(__file__).resolve().parents[2] / "bin"
TINY = cem.CemSettings(horizon=3, iterations=2, candidates=8, elites=2)
TINY_BINDINGS = [
    f"--gin_bindings=CemSettings.{name} = {value}"
    for name, value in (("horizon", 3), ("iterations", 2), ("candidates", 8), ("elites", 2))
]
HOPPER = "--gin_file=gin_configs/hopper.gin"  # its episodes are short: a badly planned hopper falls
FAST = "--gin_bindings=RENDER_QUALITY = 'fast'"


def record(root):
    return json.loads((root / "mpc.json").read_text())


def without_seconds(episodes):
    return [{name: value for name, value in episode.items() if name != "seconds"} for episode in episodes]


class StopAt(signals.StopRequest):
    """A signal that comes when it is asked for the n-th time whether one came."""

    def __init__(self, questions):
        super().__init__()
        self.left = questions

    def __bool__(self):
        self.left -= 1
        if self.left < 0:
            self.signal = signal.SIGTERM
        return super().__bool__()


def planned(root, stop=None, seed=0):
    """Episodes in a Hopper that is not rendered; the directory is there already."""
    root.mkdir(exist_ok=True)

    def load(seed):
        return suite_gymnasium.load_gymnasium("Hopper-v4", action_repeat=2, observations=("state",), seed=seed)

    return planned_episodes.PlannedEpisodes(
        directory=run_dir.RunDir(root),
        load_environment=load,
        planner=TINY,
        evaluation=settings.EvaluationSettings(),
        intervals=settings.Intervals(),
        seed=seed,
        stop=signals.StopRequest() if stop is None else stop,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three episodes without interruption."""
    root = tmp_path_factory.mktemp("whole")
    run = planned(root)
    return root, run.run(3, run.task())


def test_what_is_written(whole):
    root, returns = whole
    written = record(root)
    assert written["task"] == "Hopper-v4"
    assert written["planner"] == {"horizon": 3, "iterations": 2, "candidates": 8, "elites": 2, "warm_start": False}
    assert [episode["return"] for episode in written["episodes"]] == list(returns)
    assert written["mean_return"] == pytest.approx(np.mean(returns))
    for episode in written["episodes"]:
        # Each agent step: 2 iterations of 8 candidates of 3 agent steps of 2 control steps.
        assert episode["simulated_control_steps"] == episode["agent_steps"] * 2 * 8 * 3 * 2
        assert episode["seconds"] > 0.0
    for name in ("simulated_control_steps", "seconds"):
        assert written[name] == pytest.approx(sum(episode[name] for episode in written["episodes"]))
    with (root / "eval.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["OriginalEnvironmentSteps"] == "0"
    assert row["NumberOfEpisodes"] == "3"
    assert float(row["AverageReturnEvalPolicy"]) == pytest.approx(np.mean(returns), abs=1e-3)


def test_episodes_are_different(whole, tmp_path):
    _, returns = whole
    assert len(set(returns)) == 3
    other = planned(tmp_path, seed=1)
    assert not set(returns) & set(other.run(1, other.task()))


def test_goes_on_just_the_same(whole, tmp_path):
    root, returns = whole
    first_steps = record(root)["episodes"][0]["agent_steps"]
    stopped = planned(tmp_path, StopAt(3 * first_steps + 8))  # in the second episode
    assert list(stopped.run(3, stopped.task())) == list(returns[:1])
    assert len(record(tmp_path)["episodes"]) == 1
    rest = planned(tmp_path)
    assert list(rest.run(3, rest.task())) == list(returns)
    assert without_seconds(record(tmp_path)["episodes"]) == without_seconds(record(root)["episodes"])
    # Fewer than there are: nothing is done.
    assert list(planned(tmp_path).run(2, rest.task())) == list(returns[:2])


def test_stopped_before_anything_is_finished(tmp_path):
    run = planned(tmp_path, StopAt(5))
    assert len(run.run(3, run.task())) == 0
    assert list(tmp_path.iterdir()) == []


def test_command(command, tmp_path):
    code, out, err = command(
        "mpc", HOPPER, FAST, *TINY_BINDINGS, f"--root_dir={tmp_path / 'run'}", "--episodes=1", "--seed=3"
    )
    assert code == 0, err
    written = record(tmp_path / "run")
    assert out == f"Hopper-v4: mean return {written['mean_return']:.1f} ± 0.0 in 1 episodes\n"
    film = imageio.mimread(tmp_path / "run" / "videos" / "episode_1.mp4", memtest=False)
    assert len(film) == written["episodes"][0]["agent_steps"]
    assert film[0].shape == (64, 64, 3)
    assert "CemSettings.horizon = 3" in (tmp_path / "run" / "config.gin").read_text()
    code, out, _ = command("results", f"--runs={tmp_path / 'run' / 'eval.csv'}", f"--out={tmp_path / 'level.png'}")
    assert code == 0
    assert (tmp_path / "level.png").stat().st_size > 1000


MISTAKES = {
    "no_file": ([], ["no --gin_file given", "--gin_file=gin_configs/"]),
    "no_flag": (["gin_configs/ant.gin"], ["'gin_configs/ant.gin' is no flag"]),
    "missing_file": (["--gin_file=antt.gin"], ["--gin_file=antt.gin: no such file", "ant.gin"]),
    "no_task": (["--gin_file=slac.gin"], ["load_environment", "expected a task's file"]),
    "no_episodes": ([HOPPER, "--episodes=0"], ["--episodes=0"]),
    "no_horizon": (
        [HOPPER, "--gin_bindings=CemSettings.horizon = 0"],
        ["CemSettings.horizon: 0, expected an integer of at least 1 (--gin_bindings='CemSettings.horizon = 0')"],
    ),
    "more_elites_than_candidates": (
        [HOPPER, "--gin_bindings=CemSettings.candidates = 50"],
        ["CemSettings.elites: 100, expected at most candidates 50"],
    ),
    "misspelt": ([HOPPER, "--gin_bindings=CemSettings.horizn = 5"], ["'horizn', expected horizon"]),
    "without_effect": ([HOPPER, "--gin_bindings=build_slac.gamma = 0.9"], ["build_slac.gamma", "no effect"]),
    "no_reference": (
        [HOPPER, "--gin_bindings=train_eval.load_environment = 'hopper'"],
        ["train_eval.load_environment: 'hopper', expected a reference"],
    ),
    "another_task": (
        [HOPPER, "--gin_bindings=load_gymnasium.env_id = 'Swimmer-v4'", "--gin_bindings=load_gymnasium.camera = None"],
        ["Swimmer-v4: no task that plans can be simulated in, expected one of cheetah_run, "],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(command, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    arguments, named = MISTAKES[name]
    code, out, err = command("mpc", *arguments, "--root_dir=run")
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("mpc: ")
    for part in named:
        assert part in err
    assert not list(tmp_path.iterdir())  # nothing written


def test_directory_of_another_run(command, tmp_path):
    """Neither another planner's nor a training run's."""
    root = f"--root_dir={tmp_path / 'run'}"
    assert command("mpc", HOPPER, FAST, *TINY_BINDINGS, root, "--episodes=1")[0] == 0
    before = record(tmp_path / "run")
    for name, arguments, named in (
        ("mpc", [*TINY_BINDINGS, "--gin_bindings=CemSettings.elites = 3"], "now 'CemSettings.elites = 3'"),
        ("mpc", [*TINY_BINDINGS, "--seed=1"], "seed"),
        ("train_eval", ["--gin_file=gin_configs/debug.gin"], "another configuration"),
    ):
        code, _, err = command(name, HOPPER, FAST, *arguments, root)
        assert code == 2
        assert named in err
        gin.clear_config()
    assert record(tmp_path / "run") == before
    # Where a training run has all other bindings in common.
    assert "MADE_BY = 'bin/mpc'" in (tmp_path / "run" / "config.gin").read_text()


@pytest.mark.expensive
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal(tmp_path, number, code):
    long_plan = ("candidates = 100", "elites = 10", "iterations = 1000")  # minutes an action
    arguments = [HOPPER, FAST, *(f"--gin_bindings=CemSettings.{setting}" for setting in long_plan)]
    arguments.append(f"--root_dir={tmp_path / 'run'}")
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen([BIN / "mpc", *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=file)
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "run" / "config.gin").exists() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.1)
        time.sleep(2)  # within the first plan
        process.send_signal(number)
        assert process.wait(timeout=30) == code, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "0 of 10 episodes are kept: the same command goes on" in log.read_text()
    assert "Traceback" not in log.read_text()
