"""Each agent learns to drive a point to a target, from pixels; with a loss turned around it does not."""

import functools
import pathlib
from typing import NamedTuple, Sequence, Tuple

import in_process
import numpy as np
import point_task  # registers load_point
import pytest

from slac_tf.config import configuration
from slac_tf.losses import a2c, dpg, mpo, sac
from slac_tf.policies import planner_policy

# Random actions get 4 to 7 of 20, the way straight to the target 17 to 18.
SOLVED = 11.0
COMMON = (
    "BASE_DEPTH = 4",
    "BATCH_SIZE = 32",
    "HIDDEN_SIZES = (64, 64)",
    "CRITIC_HIDDEN_SIZES = (64, 64)",
    "train_eval.load_environment = @load_point",
    "load_point.observations = %OBSERVATIONS",
    "Schedule.initial_collect_agent_steps = 500",
    "ReplaySettings.capacity = 10000",
    "EvaluationSettings.interval_env_steps = 1000000",  # once before training and once after it
    "EvaluationSettings.num_episodes = 10",
)
SMALL_STACK = (
    "StackedFrames.length = 1",  # the task has no velocities
    "StackedFrames.encoder = @build_strided_encoder",
    "build_strided_encoder.base_depth = 4",
)


class Case(NamedTuple):
    agent_steps: int
    bindings: Tuple[str, ...]


CASES = {
    "sac_state": Case(2000, ("build_sac.critic_learning_rate = 1e-3", "build_sac.actor_learning_rate = 1e-3")),
    "sac_pixels": Case(
        2000,
        (
            "build_sac.critic_learning_rate = 1e-3",
            "build_sac.actor_learning_rate = 1e-3",
            "build_sac.initial_alpha = 0.1",
            "FrameFeatures.length = 1",
        ),
    ),
    "mpo": Case(
        2500,
        (
            *SMALL_STACK,
            "build_mpo.critic_learning_rate = 1e-3",
            "build_mpo.actor_learning_rate = 1e-3",
            "build_mpo.gamma = 0.9",
            "build_mpo.num_steps = 3",
            "build_mpo.target_update_period = 20",
            "build_mpo.epsilon_mean = 0.05",
            "build_mpo.epsilon_std = 1e-3",
        ),
    ),
    "d4pg": Case(
        3000,
        (
            *SMALL_STACK,
            "build_d4pg.critic_learning_rate = 1e-3",
            "build_d4pg.actor_learning_rate = 3e-4",  # at 1e-3 the actor of two seeds in four got stuck at a bound
            "build_d4pg.gamma = 0.9",
            "build_d4pg.num_steps = 3",
            "build_d4pg.target_update_period = 20",
            "build_d4pg.num_atoms = 31",
            "build_d4pg.min_value = -5.0",
            "build_d4pg.max_value = 10.0",
            "build_d4pg.exploration_scales = (0.1, 0.3, 0.6)",
            "build_d4pg.priority_exponent = 0.6",
        ),
    ),
}

NAMES = [pytest.param(name, marks=() if name.startswith("sac") else pytest.mark.long) for name in CASES]

# The losses are the published ones.
PLANET = (
    "train_eval.load_environment = @load_point",
    "load_point.observations = %OBSERVATIONS",
    "BASE_DEPTH = 4",
    "BATCH_SIZE = 16",
    "SEQUENCE_LENGTH = 5",
    "H_SIZE = 50",
    "S_SIZE = 10",
    "HIDDEN_SIZES = (50,)",
    "HEAD_SIZES = (50, 50)",
    "PLAN_HORIZON = 6",
    "PLAN_ITERATIONS = 4",
    "PLAN_CANDIDATES = 60",
    "PLAN_ELITES = 6",
    "Schedule.initial_collect_episodes = 15",
    "Schedule.num_pretrain_steps = 200",
    "Schedule.updates_per_episode = 40",
    "Schedule.num_env_steps = 500",
    "ReplaySettings.capacity = 10000",
    "EvaluationSettings.interval_env_steps = 1000000",
    "EvaluationSettings.num_episodes = 10",
)

DVRL = (
    "train_eval.load_environment = @load_point",
    "load_point.observations = %OBSERVATIONS",
    "BASE_DEPTH = 4",
    "ROLLOUT_LENGTH = 10",
    "NUM_PARTICLES = 3",
    "MEMORY_SIZE = 32",
    "Z2_SIZE = 8",
    "ParticleBelief.action_features = 16",
    "build_dvrl.learning_rate = 1e-3",
    "build_dvrl.gamma = 0.5",
    "build_dvrl.evidence_weight = 1e-3",  # at 0.1 the frames' gradient leaves little of the clipped step to the policy
    "Schedule.num_env_steps = 10000",
    "EvaluationSettings.interval_env_steps = 1000000",
    "EvaluationSettings.num_episodes = 10",
)


def run(name: str, agent_steps: int, root: pathlib.Path, seed: int = 0) -> float:
    """Return of the greedy policy after so many agent steps, 500 of them random."""
    bindings = [*COMMON, *CASES[name].bindings, f"Schedule.num_env_steps = {agent_steps}"]
    config = configuration.load(["gin_configs/slac.gin", f"gin_configs/agents/{name}.gin"], bindings)
    return in_process.run(root, config, seed).greedy_return


def turn_around(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes an agent prefer what its critic thinks worst."""
    if name.startswith("sac"):
        right_loss = sac.actor_loss
        monkeypatch.setattr(
            sac, "actor_loss", lambda qs, log_prob, alpha: right_loss([-q for q in qs], log_prob, alpha)
        )
    elif name == "mpo":
        right_weights = mpo.e_step_weights
        monkeypatch.setattr(mpo, "e_step_weights", lambda qs, temperature: right_weights(-qs, temperature))
    else:
        right_gradient = dpg.actor_loss
        monkeypatch.setattr(dpg, "actor_loss", lambda *args: -right_gradient(*args))


@pytest.mark.expensive
@pytest.mark.parametrize("name", NAMES)
def test_learns(name, tmp_path):
    # Reverb's sampling has no seed, and one of fifteen runs of D4PG got stuck at a bound: a second one decides.
    assert any(run(name, CASES[name].agent_steps, tmp_path / str(seed), seed) > SOLVED for seed in range(2))


@pytest.mark.expensive
@pytest.mark.parametrize("name", NAMES)
def test_a_loss_turned_around_does_not(name, tmp_path, monkeypatch):
    turn_around(name, monkeypatch)
    assert run(name, 1000, tmp_path) < SOLVED


@pytest.fixture
def coloured_fields(monkeypatch):
    """The whole frame shows where the point is: a small point takes a decoder many more train steps."""

    def render(self, mode="rgb_array"):
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[..., :2] = np.round((self._point + 1.0) / 2.0 * 255.0)
        return frame

    monkeypatch.setattr(point_task.PointEnvironment, "render", render)


def run_with_model(agent: str, settings: Sequence[str], root: pathlib.Path, seed: int, *bindings: str) -> float:
    """Return of the policy without noise of its own after a whole run."""
    config = configuration.load(["gin_configs/slac.gin", f"gin_configs/agents/{agent}.gin"], [*settings, *bindings])
    return in_process.run(root, config, seed).greedy_return


run_planet = functools.partial(run_with_model, "planet", PLANET)
run_dvrl = functools.partial(run_with_model, "dvrl", DVRL)


@pytest.mark.expensive
@pytest.mark.long
def test_planet_learns(tmp_path, coloured_fields):
    assert any(run_planet(tmp_path / str(seed), seed) > SOLVED for seed in range(2))


@pytest.mark.expensive
@pytest.mark.long
def test_a_planner_turned_around_does_not(tmp_path, coloured_fields, monkeypatch):
    right = planner_policy.PlannerPolicy.value
    monkeypatch.setattr(planner_policy.PlannerPolicy, "value", lambda *args: -right(*args))
    assert run_planet(tmp_path, 0, "Schedule.num_env_steps = 360") < SOLVED


@pytest.mark.expensive
@pytest.mark.long
def test_dvrl_learns(tmp_path, coloured_fields):
    assert any(run_dvrl(tmp_path / str(seed), seed) > SOLVED for seed in range(2))


@pytest.mark.expensive
@pytest.mark.long
def test_dvrl_with_its_policy_loss_turned_around_does_not(tmp_path, coloured_fields, monkeypatch):
    right = a2c.policy_loss
    monkeypatch.setattr(a2c, "policy_loss", lambda *args: -right(*args))
    assert run_dvrl(tmp_path, 0, "Schedule.num_env_steps = 4000") < SOLVED
