"""Runs in which the environment or a loss goes wrong: a line, files, and the same command goes on."""

import math
import os
import pathlib
import re
import subprocess

import faulty_point  # noqa: F401  registers load_faulty_point
import in_process
import numpy as np
import processes
import pytest

from slac_tf.config import configuration
from slac_tf.replay import errors
from slac_tf.runs import checkpoints, failures, run_dir
from slac_tf.training import experiment

ROOT = pathlib.Path(__file__).resolve().parents[2]
INITIAL_AGENT_STEPS, AGENT_STEPS = 30, 60  # episodes have 20
STATE, PIXELS = ("slac.gin", "agents/sac_state.gin", "debug.gin"), ("slac.gin", "debug.gin")  # SAC, SLAC
SETTINGS = (
    "import faulty_point",
    "train_eval.load_environment = @load_faulty_point",
    "load_faulty_point.observations = %OBSERVATIONS",
    f"Schedule.initial_collect_agent_steps = {INITIAL_AGENT_STEPS}",
    f"Schedule.num_env_steps = {AGENT_STEPS}",
    "Schedule.updates_per_agent_step = 1",
)


def trouble(name, **settings):
    return [f"load_faulty_point.trouble = '{name}'", *(f"load_faulty_point.{k} = {v}" for k, v in settings.items())]


def run(root, bindings, gin_files=STATE):
    """Runs in this process; gives the result, or the line that it ended with."""
    config = configuration.load([f"gin_configs/{name}" for name in gin_files], [*SETTINGS, *bindings])
    try:
        return in_process.run(root, config)
    except failures.RunFailedError as error:
        return configuration.one_line(error)


def start(name, *arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    command = [str(ROOT / "bin" / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=environment)


def newest(root):
    return checkpoints.newest(root / "train" / "checkpoints")


def evaluations(root):
    return [int(row["agent_step"]) for row in processes.rows(root)]


def check_whole(root, result):
    """The run, however often it was resumed, has done everything once."""
    assert result.exit_code == 0
    assert newest(root).state["agent_step"] == AGENT_STEPS
    assert [line["train_step"] for line in processes.lines(root, "train")] == list(
        range(1, AGENT_STEPS - INITIAL_AGENT_STEPS + 1)
    )
    assert evaluations(root) == [INITIAL_AGENT_STEPS, AGENT_STEPS]


# Trouble, and what the line says of it.
TROUBLES = {
    "step": r"step\(\) raised ZeroDivisionError: division by zero, faulty_point.py:\d+",
    "reset": r"reset\(\) raised RuntimeError: no simulator answers on port 5555, faulty_point.py:\d+",
    "nan_reward": "reward is nan, expected finite numbers",
    "vector_reward": r"reward is float32 \(2,\), expected one number",
    "infinite_state": "state is inf in 1 of 2 numbers, expected finite numbers",
    "state_shape": r"state is float32 \(3,\), expected numbers of shape \(2,\)",
    "state_dtype": r"state is <U5 \(2,\), expected numbers of shape \(2,\)",
    "frame_shape": r"rendered uint8 \(32, 64, 3\), expected uint8 \(64, 64, 3\)",
    "frame_dtype": r"rendered float64 \(64, 64, 3\), expected uint8 \(64, 64, 3\)",
}


def test_a_start_that_fails_lets_go_of_the_directory(tmp_path, monkeypatch):
    config = configuration.load([f"gin_configs/{name}" for name in STATE], [*SETTINGS, *trouble("step", at=1000)])
    plan = experiment.train_eval(tmp_path, 0, config)

    def no_replay(plan):
        raise errors.ReplayError("no replay server")

    monkeypatch.setattr(experiment, "_replay", no_replay)
    with pytest.raises(errors.ReplayError, match="no replay server"), experiment.started(plan):
        pass
    run_dir.RunDir(tmp_path).open(config, "", 0)  # is in use where `plan`, which is still there, holds the lock


@pytest.mark.parametrize("name", TROUBLES)
def test_in_random_collection(tmp_path, name):
    root = tmp_path / "run"
    gin_files = PIXELS if name.startswith("frame") else STATE
    # The 25th step is the 5th of the second episode; there is no reset but after the 20th.
    line = run(root, trouble(name, at=20 if name == "reset" else 25), gin_files)
    done, step = (20, 0) if name == "reset" else (24, 5)
    checkpoint = newest(root)
    assert re.search(
        rf"^point: {TROUBLES[name]} \(control step {step} of episode 2\) at train step 0, env step {done}; "
        rf"{checkpoint.directory} is written, and the same command resumes there; traceback in {root}/failure.txt$",
        line,
    ), line
    assert checkpoint.state["agent_step"] == done
    assert "Traceback" in (root / "failure.txt").read_text()


@pytest.mark.expensive
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("name, at", [("step", 45), ("nan_reward", 45), ("reset", 50)])
def test_in_training_and_then_the_rest(tmp_path, overlap, name, at):
    bindings = [*trouble(name, at=at), f"RolloutDriver.overlap = {overlap}"]
    line = run(tmp_path, bindings)
    # Training begins with an episode: its first reset after the 50th step comes after 30 + 20.
    done = at - 1 if name != "reset" else at
    assert re.search(rf"^point: {TROUBLES[name]} \(control step .*, env step {done}; .* resumes there", line), line
    assert newest(tmp_path).state["agent_step"] == done
    check_whole(tmp_path, run(tmp_path, bindings))  # the trouble begins later than the rest ends


@pytest.mark.expensive
def test_in_evaluation_and_then_the_rest(tmp_path):
    # The first evaluation has an episode of each policy, 40 steps in all; the second begins with the 41st.
    bindings = trouble("step", at=45, in_training=False, in_evaluation=True)
    line = run(tmp_path, bindings)
    assert line.startswith("evaluation of the greedy policy: point: step() raised ZeroDivisionError: division by zero")
    assert "(control step 5 of episode 3) at train step 30, env step 60; " in line
    assert evaluations(tmp_path) == [INITIAL_AGENT_STEPS]
    check_whole(tmp_path, run(tmp_path, bindings))


@pytest.mark.expensive
@pytest.mark.parametrize("overlap", [False, True])
def test_episodes_of_one_step(tmp_path, overlap, caplog):
    bindings = [
        *trouble("one_step", in_evaluation=True),
        f"RolloutDriver.overlap = {overlap}",
    ]
    result = run(tmp_path, bindings, PIXELS)
    check_whole(tmp_path, result)
    assert math.isfinite(result.random_return) and math.isfinite(result.greedy_return)
    assert [line["pretrain_step"] for line in processes.lines(tmp_path, "pretrain")] == [1, 2, 3]
    for line in processes.lines(tmp_path, "train"):
        assert np.isfinite([value for name, value in line.items() if "loss" in name]).all()
    assert [line["AverageEpisodeLength"] for line in processes.lines(tmp_path, "eval")] == [1.0, 1.0]
    assert newest(tmp_path).state["counters"]["episodes"] == AGENT_STEPS
    # 30 random steps with the 29 resets between them, then 30 of the agent's: twice 59 steps, 56 windows of 4, of
    # which every second one is trained on at a reset and left out.
    caplog.set_level("INFO", logger="absl")
    assert run(tmp_path, bindings, PIXELS) == result
    assert "restored agent step 60, train step 30, 56 sequences" in caplog.text


@pytest.mark.expensive
def test_episodes_without_an_end(tmp_path):
    root, other = tmp_path / "run", tmp_path / "other"
    limit = "EvaluationSettings.max_episode_agent_steps = {}".format
    result = run(root, [*trouble("endless"), limit(40)])
    check_whole(root, result)  # collection goes on; there is no return to report
    assert math.isnan(result.random_return) and math.isfinite(result.greedy_return)
    assert {line["return"] for line in processes.lines(root, "train")} == {None}

    ended = start("play", f"--policy={root}/policies/latest/greedy_policy", "--episodes=1", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == (
        "play: point: episode 1 has not ended after 40 agent steps: give the environment a time limit, or bind "
        "EvaluationSettings.max_episode_agent_steps to more\n"
    )

    endless = trouble("endless", in_training=False, in_evaluation=True)
    line = run(other, [*endless, limit(40)])
    assert line.startswith("evaluation of the greedy policy: point: episode 1 has not ended after 40 agent steps: ")
    assert newest(other).state["agent_step"] == INITIAL_AGENT_STEPS
    line = run(other, [*endless, limit(50)])  # no other configuration: what the line advises
    assert "has not ended after 50 agent steps" in line


def check_batch(root, line, shape):
    assert re.search(r"experience/observation/.*, experience/reward \S+ to \S+, mean \S+", line), line
    assert f"the batch is in {root}/failed_batch.npz, statistics in {root}/failure.txt" in line
    with np.load(root / "failed_batch.npz") as batch:
        assert batch["experience/reward"].shape == shape
        return dict(batch)


def test_rewards_that_are_too_large(tmp_path):
    line = run(tmp_path, trouble("huge_reward", at=10))
    assert re.search(r"^\w+ is inf at train step \d+, env step [45]\d, .* as in the 9 steps before; ", line), line
    assert "to 1e+38" in line
    batch = check_batch(tmp_path, line, (4, 2))
    assert batch["experience/reward"].max() == np.float32(1e38)
    assert (tmp_path / "failure.txt").read_text().count("expected a finite number") >= 2  # the first one and the last
    for line in processes.lines(tmp_path, "train"):
        assert line["skipped_steps"] <= line["train_step"]


def test_pretraining_that_diverges(tmp_path):
    line = run(tmp_path, ["build_slac.model_learning_rate = 1e30", "Schedule.num_pretrain_steps = 30"], PIXELS)
    assert re.search(
        r"^\w+ is (nan|inf) at pretrain step 1[12], env step 30, expected a finite number, as in the 9 steps before; "
        r"experience/observation/pixels 0 to 255",
        line,
    ), line
    assert "there is no checkpoint yet" in line
    check_batch(tmp_path, line, (2, 4))


@pytest.mark.expensive
def test_simulators_that_cannot_be_closed(tmp_path, caplog):
    check_whole(tmp_path, run(tmp_path, trouble("close", in_evaluation=True)))
    assert caplog.text.count("closing an environment raised OSError: the simulator is gone") == 2


def test_bin_exit_code_and_line(tmp_path):
    flags = [f"--gin_file={name}" for name in STATE]
    flags += [f"--gin_bindings={binding}" for binding in (*SETTINGS, *trouble("reset", at=20))]
    ended = start("train_eval", *flags, "--root_dir=run", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    errors = [line for line in ended.stderr.splitlines() if "RuntimeError" in line]
    assert len(errors) == 1, ended.stderr
    assert re.search(rf"point: {TROUBLES['reset']} .* is written, and the same command resumes there", errors[0])
    assert "no simulator answers\n  on port 5555" in (tmp_path / "run" / "failure.txt").read_text()
