"""Whole runs in processes of their own, through bin/, under debug.gin."""

import io
import json
import pathlib
import re
import shutil
from typing import NamedTuple

import imageio.v2 as imageio
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from processes import COMMAND, NAME, SEED, lines, rows, run
from tensorboard.backend.event_processing import event_accumulator
from tf_agents.trajectories import time_step as ts

from slac_tf.export import player
from slac_tf.training import experiment

BINDINGS = ("--gin_bindings=EvaluationSettings.keep_exports = 5",)
TASK_NAME = "Hopper-v4"  # in tables


def contents(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def manifest(root, env_step, name="greedy"):
    return json.loads((root / "policies" / f"env_step_{env_step:09d}" / f"{name}_policy" / "manifest.json").read_text())


class Finished(NamedTuple):
    cwd: pathlib.Path
    root: pathlib.Path
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run to its end, started in another directory than the project's, without --root_dir."""
    cwd = tmp_path_factory.mktemp("elsewhere")
    ended = run("train_eval", *COMMAND, *BINDINGS, cwd=cwd)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return Finished(cwd, cwd / "logs" / NAME / f"seed{SEED}", ended.stdout, ended.stderr)


@pytest.fixture
def copy(finished, tmp_path):
    """The finished run's directory, to be tried on."""
    shutil.copytree(finished.root, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_last_line(finished):
    last = finished.stdout.splitlines()[-1]
    found = re.fullmatch(rf"{NAME}: random (-?\d+\.\d), trained (-?\d+\.\d)", last)
    assert found, last
    assert float(found.group(1)) > 0.0
    assert float(found.group(2)) == pytest.approx(float(rows(finished.root)[-1]["AverageReturnEvalPolicy"]), abs=0.051)


def test_log(finished):
    assert "Traceback" not in finished.stderr
    assert "starting at step 0" in finished.stderr
    for phase in ("pretrain", "train"):
        assert re.search(rf"\b{phase} \d+/\d+ .*\| eta \d+s", finished.stderr), finished.stderr


def test_eval_csv(finished):
    found = rows(finished.root)
    assert list(found[0]) == [
        *("task", "seed", "OriginalEnvironmentSteps", "agent_step", "train_step", "NumberOfEpisodes"),
        *("AverageReturnEvalPolicy", "StdReturnEvalPolicy", "AverageEpisodeLength"),
        *("AverageReturnEvalGreedyPolicy", "StdReturnEvalGreedyPolicy", "wall_seconds"),
    ]
    assert [row["OriginalEnvironmentSteps"] for row in found] == ["120", "400"]
    assert [row["agent_step"] for row in found] == ["60", "200"]
    assert [row["train_step"] for row in found] == ["0", "7"]  # 0.05 updates for each of 140 agent steps
    for row in found:
        assert (row["task"], row["seed"], row["NumberOfEpisodes"]) == (TASK_NAME, str(SEED), "1")
        assert float(row["AverageReturnEvalPolicy"]) > 0.0
        assert float(row["AverageEpisodeLength"]) > 1.0


def test_metrics(finished):
    assert [line["pretrain_step"] for line in lines(finished.root, "pretrain")] == [1, 2, 3]
    assert [line["train_step"] for line in lines(finished.root, "train")] == list(range(1, 8))
    assert [line["env_step"] for line in lines(finished.root, "eval")] == [120, 400]
    for line in lines(finished.root, "train"):
        assert np.isfinite([value for name, value in line.items() if "loss" in name]).all()


def events(place):
    found = event_accumulator.EventAccumulator(str(place), size_guidance={"tensors": 0})
    found.Reload()
    return {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }


def test_tensorboard(finished):
    train = events(finished.root / "train")
    losses = {tag: values for tag, values in train.items() if tag.startswith("Losses/")}
    assert "Losses/loss" in losses
    assert len(losses) > 4
    for values in losses.values():
        assert [step for step, _ in values] == [line["env_step"] for line in lines(finished.root, "train")]
    evaluation = events(finished.root / "eval")
    returns = [float(row["AverageReturnEvalPolicy"]) for row in rows(finished.root)]
    assert [step for step, _ in evaluation["Metrics/AverageReturn"]] == [120, 400]
    np.testing.assert_allclose([value for _, value in evaluation["Metrics/AverageReturn"]], returns, atol=1e-3)
    for tag in ("rollout/greedy", "model/truth_posterior_conditional_prior_prior"):
        assert [step for step, _ in evaluation[tag]] == [120, 400]
        assert Image.open(io.BytesIO(evaluation[tag][0][1][2])).n_frames > 1


def test_films(finished):
    lengths = events(finished.root / "eval")["Metrics/AverageEpisodeLengthGreedy"]  # of one episode
    for env_step, length in lengths:
        film = imageio.mimread(finished.root / "videos" / f"env_step_{env_step:09d}.mp4", memtest=False)
        assert len(film) == length
        assert film[0].shape == (64, 64, 3)
        assert np.std(film[0]) > 5.0


def test_records(finished):
    root = finished.root
    assert (root / "config.gin").read_text().startswith(f"# seed = {SEED}\n")
    assert "build_slac.gamma = 0.99" in (root / "config.gin").read_text()
    # A default that no file binds.
    assert "build_slac.actor_loss_on_next_step = False" in (root / "operative_config.gin").read_text()
    assert "tensorflow 2.15" in (root / "versions.txt").read_text()
    assert "--gin_file=gin_configs/debug.gin" in (root / "command.txt").read_text()


def test_exported_policies(finished):
    for name in ("greedy", "stochastic"):
        folder = finished.root / "policies" / "latest" / f"{name}_policy"
        policy = player.ExportedPolicy(folder)
        assert (policy.manifest["task"], policy.manifest["env_step"]) == (TASK_NAME, 400)
        time_step = ts.TimeStep(np.int32(0), 0.0, 1.0, {"pixels": np.zeros((64, 64, 3), np.uint8)})
        action = policy.action(time_step, policy.get_initial_state()).action
        assert action.shape == (3,)
        assert np.abs(action).max() <= 1.0


def test_the_same_command_again_does_nothing(finished):
    before = (finished.root / "eval.csv").read_bytes(), (finished.root / "metrics.jsonl").read_bytes()
    again = run("train_eval", *COMMAND, *BINDINGS, cwd=finished.cwd)
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == finished.stdout.splitlines()[-1]
    assert "restored agent step 200, train step 7, 194 sequences" in again.stderr  # 60 - 3 and 140 - 3
    assert ((finished.root / "eval.csv").read_bytes(), (finished.root / "metrics.jsonl").read_bytes()) == before
    assert len((finished.root / "command.txt").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "change, named",
    [
        pytest.param(("--seed=4",), "# seed = 4", id="seed"),
        pytest.param(
            ("--gin_bindings=build_slac.gamma = 0.5",),
            "build_slac.gamma = 0.5",
            id="binding",
            marks=pytest.mark.expensive,
        ),
    ],
)
def test_another_run_is_refused(copy, tmp_path, change, named):
    before = contents(copy)
    ended = run("train_eval", *COMMAND, *BINDINGS, *change, f"--root_dir={copy}", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert named in ended.stderr
    assert str(copy) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert contents(copy) == before


def test_play_repeats_the_evaluation(finished, tmp_path):
    """The exported greedy policy in the evaluation's first environment achieves what it did there."""
    (expected,) = manifest(finished.root, 120)["returns"]
    assert expected > 1.0
    ended = run(
        "play",
        f"--policy={finished.root}/policies/env_step_000000120/greedy_policy",
        "--episodes=1",
        f"--seed={SEED + experiment.EVAL_SEED_OFFSET}",
        "--video=play.mp4",
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = re.search(r"^episode 1: return ([\d.]+), (\d+) agent steps$", ended.stdout, re.M)
    assert float(found.group(1)) == pytest.approx(expected, abs=0.051)  # it prints one decimal
    assert re.search(rf"^mean return {found.group(1)} ± 0.0 in 1 episodes$", ended.stdout, re.M)
    assert len(imageio.mimread(tmp_path / "play.mp4", memtest=False)) == int(found.group(2))


def test_export_of_the_checkpoint_is_the_last_evaluations_policy(finished, tmp_path):
    before = contents(finished.root)
    ended = run("export", f"--root_dir={finished.root}", "--out=out", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    folder = tmp_path / ended.stdout.strip()
    assert folder == tmp_path / "out" / "env_step_000000400"
    assert contents(finished.root) == before
    policies = [
        player.ExportedPolicy(place / "greedy_policy") for place in (folder, finished.root / "policies" / "latest")
    ]
    states = [policy.get_initial_state() for policy in policies]
    frames = np.random.RandomState(0).randint(0, 256, (6, 64, 64, 3)).astype(np.uint8)
    for index, frame in enumerate(frames):
        time_step = ts.TimeStep(np.int32(index > 0), 0.0, 1.0, {"pixels": frame})
        steps = [policy.action(time_step, state) for policy, state in zip(policies, states)]
        states = [step.state for step in steps]
        np.testing.assert_array_equal(steps[0].action, steps[1].action)
    differing = {name for name, value in policies[0].manifest.items() if policies[1].manifest[name] != value}
    assert differing <= {"returns", "config", "git_commit"}
    assert policies[0].manifest["returns"] == []


@pytest.mark.expensive
@pytest.mark.parametrize(
    "task",
    [
        *("ant", "cheetah_run"),
        *(
            pytest.param(task, marks=pytest.mark.long)
            for task in ("ball_in_cup_catch", "finger_spin", "half_cheetah", "hopper", "walker2d", "walker_walk")
        ),
    ],
)
def test_every_task_to_its_end(tmp_path, task):
    ended = run("train_eval", f"--gin_file={task}.gin", "--gin_file=debug.gin", "--root_dir=run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert re.fullmatch(rf"{task}-debug: random \S+, trained \S+", ended.stdout.splitlines()[-1])
    root = tmp_path / "run"
    assert len(rows(root)) == 2
    assert len(lines(root, "train")) > 0
    assert "Losses/loss" in events(root / "train")
    assert len(events(root / "eval")["Metrics/AverageReturn"]) == 2
    for name in ("greedy", "stochastic"):
        player.ExportedPolicy(root / "policies" / "latest" / f"{name}_policy")
