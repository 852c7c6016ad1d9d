"""PlaNet's whole runs, as a user makes them; on a task that is drawn without GL, in this process."""

import os
import pathlib
import signal

import in_process
import numpy as np
import point_task  # registers load_point
import pytest
from processes import lines, rows
from tf_agents.trajectories import time_step as ts

from slac_tf.config import configuration
from slac_tf.export import player
from slac_tf.runs import keeper
from slac_tf.training import experiment, prediction

pytestmark = pytest.mark.expensive
FILES = ("gin_configs/slac.gin", "gin_configs/agents/planet.gin", "gin_configs/debug.gin")
UPDATES, STOPPED_AT = 4, 2
BINDINGS = (
    "train_eval.load_environment = @load_point",
    "load_point.observations = %OBSERVATIONS",
    "Schedule.initial_collect_episodes = 2",
    f"Schedule.updates_per_episode = {UPDATES}",
    "Schedule.num_env_steps = 80",  # two random episodes, then two that are planned
)


def run(root: pathlib.Path, *bindings: str):
    """A run, or what is left of it."""
    return in_process.run(root, configuration.load(FILES, [*BINDINGS, *bindings]))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Of a run that was stopped in the middle of a block of train steps, and resumed."""
    root = tmp_path_factory.mktemp("planet") / "run"
    log = keeper.Keeper.log_train_step

    def log_and_stop(self, values):
        log(self, values)
        if self.train_step == STOPPED_AT:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper.Keeper, "log_train_step", log_and_stop)
        assert run(root).exit_code == 128 + signal.SIGTERM
    assert run(root).exit_code == 0
    return root


def test_a_block_of_train_steps_is_finished_where_it_was_broken_off(root):
    trained = lines(root, "train")
    assert [line["train_step"] for line in trained] == list(range(1, 2 * UPDATES + 1))
    assert [line["agent_step"] for line in trained] == [60] * UPDATES + [80] * UPDATES
    assert [line["pretrain_step"] for line in lines(root, "pretrain")] == [1, 2, 3]


def test_both_policies_are_evaluated(root):
    found = rows(root)
    assert [row["agent_step"] for row in found] == ["40", "80"]
    for column in ("AverageReturnEvalPolicy", "AverageReturnEvalGreedyPolicy"):
        assert all(np.isfinite(float(row[column])) for row in found)


def test_tensorboard_and_films(root):
    for line in lines(root, "train"):
        assert {"loss", "model_loss", "frame_log_prob", "reward_log_prob", "kl", "model_gradient_norm"} <= set(line)
    assert {path.name for path in (root / "videos").iterdir()} == {f"env_step_{n:09d}.mp4" for n in (40, 80)}
    assert list((root / "eval").glob("events*"))


def test_the_exported_planner_plays(root):
    policy = player.ExportedPolicy(root / "policies" / "latest" / "greedy_policy")
    assert set(policy.manifest["policy_state_spec"]) == {"h", "s", "action"}
    state, returns = policy.get_initial_state(), 0.0
    environment = point_task.load_point(seed=0)
    step = environment.reset()
    while not step.is_last():
        found = policy.action(step, state)
        state, step = found.state, environment.step(found.action)
        returns += float(step.reward)
    assert step.step_type == ts.StepType.LAST and np.isfinite(returns)


def test_predictions(root):
    settings = dict(num_sequences=1, num_frames=8, context_frames=5, seed=0)
    configuration.load_run(root)
    picture = prediction.predict(root, **settings)
    assert picture.shape == (4 * 64, 8 * 64, 3)


def test_another_run_starts_from_its_model(root, tmp_path):
    config = configuration.load(FILES, [*BINDINGS, f"InitialModel.root_dir = '{root}'", "InitialModel.freeze = True"])
    plan = experiment.train_eval(tmp_path / "run", 0, config)
    assert not plan.transferred.other_shapes and not plan.transferred.absent
    assert {"encoder", "_decoder", "_reward", "_cell", "_prior", "_posterior"} <= set(plan.transferred.loaded)
