"""The task files as they are, with the paper's settings, and under debug.gin."""

import copy
import importlib
import inspect
import pathlib
import re

import gin
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import array_spec, tensor_spec
from tf_agents.trajectories import time_step as ts

from slac_tf.agents.planet import builder as planet_builder
from slac_tf.agents.slac import builder
from slac_tf.config import configuration
from slac_tf.environments import suite_dm_control, suite_gymnasium
from slac_tf.latent_models import two_layer
from slac_tf.networks import conv
from slac_tf.planning import cem
from slac_tf.rollouts import rollout_driver
from slac_tf.training import experiment, settings

GIN_CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "gin_configs"
# Table 1's action repeat, and the number of actions.
TASKS = {
    "cheetah_run": (4, 6),
    "walker_walk": (2, 6),
    "ball_in_cup_catch": (4, 2),
    "finger_spin": (2, 2),
    "half_cheetah": (1, 6),
    "walker2d": (4, 6),
    "hopper": (2, 3),
    "ant": (4, 8),
}
PAPER = {
    "build_slac.batch_size": 256,
    "build_slac.model_batch_size": 32,
    "build_slac.sequence_length": 8,
    "build_slac.hidden_sizes": (256, 256),
    "build_slac.model_learning_rate": 1e-4,
    "build_slac.critic_learning_rate": 3e-4,
    "build_slac.actor_learning_rate": 3e-4,
    "build_slac.alpha_learning_rate": 3e-4,
    "build_slac.decoder_variance": 0.1,
    "build_slac.gamma": 0.99,
    "build_slac.target_update_tau": 0.005,
    "build_slac.initial_alpha": 1.0,
    "TwoLayerModel.z1_size": 32,
    "TwoLayerModel.z2_size": 256,
    "TwoLayerModel.base_depth": 32,
    "TwoLayerModel.hidden_sizes": (256, 256),
    "build_convolution_policy.dtype": "float32",
    "Schedule.initial_collect_agent_steps": 10_000,
    "Schedule.num_pretrain_steps": 100_000,
    "Schedule.updates_per_agent_step": 1,
    "ReplaySettings.capacity": 100_000,
    "EvaluationSettings.interval_env_steps": 10_000,
    "EvaluationSettings.num_episodes": 10,
}
# Bound to names that other agents and latent models share.
MACROS = {
    "build_slac.batch_size": "BATCH_SIZE/gin.macro.value",
    "build_slac.hidden_sizes": "HIDDEN_SIZES/gin.macro.value",
    "TwoLayerModel.z1_size": "Z1_SIZE/gin.macro.value",
    "TwoLayerModel.z2_size": "Z2_SIZE/gin.macro.value",
    "TwoLayerModel.base_depth": "BASE_DEPTH/gin.macro.value",
    "TwoLayerModel.hidden_sizes": "HEAD_SIZES/gin.macro.value",
}
CONFIGURABLES = {
    "build_slac": builder.build_slac,
    "build_planet": planet_builder.build_planet,
    "CemSettings": cem.CemSettings,
    "RolloutDriver": rollout_driver.RolloutDriver,
    "build_convolution_policy": conv.build_convolution_policy,
    "TwoLayerModel": two_layer.TwoLayerModel,
    "train_eval": experiment.train_eval,
    "Schedule": settings.Schedule,
    "ReplaySettings": settings.ReplaySettings,
    "EvaluationSettings": settings.EvaluationSettings,
    "Intervals": settings.Intervals,
    "Processor": settings.Processor,
    "load_dm_control": suite_dm_control.load_dm_control,
    "load_gymnasium": suite_gymnasium.load_gymnasium,
}


def parameters_of(configurable):
    function = CONFIGURABLES[configurable]
    return inspect.signature(function.__init__ if inspect.isclass(function) else function).parameters


def specs(num_actions, observation=None):
    pixels = {"pixels": array_spec.BoundedArraySpec((64, 64, 3), np.uint8, 0, 255)}
    return (
        tensor_spec.from_spec(ts.time_step_spec(observation or pixels)),
        tensor_spec.from_spec(array_spec.BoundedArraySpec((num_actions,), np.float32, -1.0, 1.0)),
    )


def build(num_actions):
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    return build_agent(*specs(num_actions), tf.Variable(0, dtype=tf.int64, trainable=False))


def bound():
    """All bindings by `name.parameter`."""
    return {
        f"{selector.split('.')[-1]}.{parameter}": value
        for (_, selector), parameters in gin.config._CONFIG.items()
        for parameter, value in parameters.items()
    }


@pytest.mark.parametrize("name", TASKS)
def test_settings_are_the_papers(name):
    configuration.load([f"gin_configs/{name}.gin"], [])
    for parameter, expected in PAPER.items():
        value = gin.query_parameter(MACROS.get(parameter, parameter))
        assert value == expected, parameter
        assert type(value) is type(expected), parameter
    suite = "load_gymnasium" if "-v4" in (GIN_CONFIGS / f"{name}.gin").read_text() else "load_dm_control"
    assert gin.query_parameter(f"{suite}.action_repeat") == TASKS[name][0]
    assert gin.query_parameter("OBSERVATIONS/gin.macro.value") == ("pixels",)
    assert gin.query_parameter("RENDER_QUALITY/gin.macro.value") == "default"


@pytest.mark.parametrize("name", TASKS)
def test_header_cites_table_1(name):
    header = (GIN_CONFIGS / f"{name}.gin").read_text().split("\n\n")[0]
    assert all(line.startswith("# ") for line in header.splitlines())
    action_repeat, control, agent = re.search(
        r"^# Table 1: action repeat (\d+); with control steps of ([\d.]+) s, one agent step lasts ([\d.]+) s\.$",
        header,
        re.M,
    ).groups()
    assert int(action_repeat) == TASKS[name][0]
    assert float(agent) == pytest.approx(float(control) * int(action_repeat))


@pytest.mark.parametrize("path", sorted(GIN_CONFIGS.glob("*.gin")), ids=lambda path: path.stem)
def test_header_and_order(path):
    text = path.read_text()
    assert text.startswith("# ")
    kinds = [
        0 if line.startswith("import ") else 1 if line.startswith("include ") else 2
        for line in text.splitlines()
        if line and not line.startswith(("#", " "))
    ]
    assert kinds == sorted(kinds)  # import, then include, then bindings


MORE_TASKS = ["quickstart", "cartpole_swingup", "reacher_easy"]
PLANET = "quickstart_planet"  # a task and an agent in one


@pytest.mark.parametrize("name", [*TASKS, *MORE_TASKS, PLANET])
@pytest.mark.parametrize("last", [[], ["debug.gin"]], ids=["alone", "debug"])
def test_what_is_bound_exists(name, last):
    configuration.load([f"{name}.gin", *last], [])
    for parameter in bound():
        configurable, _, argument = parameter.rpartition(".")
        if configurable != "macro":
            assert argument in parameters_of(configurable), parameter
    settings.bound()


# Of the NeurIPS version: action repeat, and the best decoder variance.
NEURIPS = {
    "cheetah_run": (4, 0.1),
    "walker_walk": (2, 0.4),
    "ball_in_cup_catch": (4, 0.04),
    "finger_spin": (1, 0.1),
    "cartpole_swingup": (4, 0.1),
    "reacher_easy": (4, 0.01),
}


def test_the_neurips_version_has_six_tasks():
    assert {path.stem for path in (GIN_CONFIGS / "neurips2020").glob("*.gin")} == set(NEURIPS)


@pytest.mark.parametrize("name", NEURIPS)
def test_settings_are_the_neurips_versions(name):
    configuration.load([f"neurips2020/{name}.gin"], [])
    repeat, variance = NEURIPS[name]
    assert gin.query_parameter("load_dm_control.action_repeat") == repeat
    assert gin.query_parameter("build_slac.decoder_variance") == variance
    bound_now = settings.bound()
    assert bound_now.schedule.initial_collect_episodes == 10
    assert bound_now.schedule.num_pretrain_steps == 50_000
    domain, _, task = name.rpartition("_") if name != "ball_in_cup_catch" else ("ball_in_cup", "_", "catch")
    assert gin.query_parameter("load_dm_control.domain_name") == domain
    assert gin.query_parameter("load_dm_control.task_name") == task


@pytest.mark.parametrize("name", [*TASKS, *MORE_TASKS[1:]])
def test_the_cpu_profile_follows_any_task(name):
    configuration.load([f"{name}.gin", "cpu.gin"], [])
    for parameter in bound():
        configurable, _, argument = parameter.rpartition(".")
        if configurable != "macro":
            assert argument in parameters_of(configurable), parameter
    assert settings.bound().schedule.num_env_steps == 100_000
    built = build(2)
    assert (built.batch_size, built.pretraining.batch_size) == (32, 8)


def test_signature_defaults_are_the_papers_too():
    """So that a file that includes nothing trains with the same settings."""
    for parameter, expected in PAPER.items():
        configurable, _, argument = parameter.rpartition(".")
        assert parameters_of(configurable)[argument].default == expected, parameter


@pytest.mark.parametrize("name", TASKS)
def test_agent_under_debug(name):
    configuration.load([f"{name}.gin", "debug.gin"], [])
    num_actions = TASKS[name][1]
    built = build(num_actions)
    assert (built.sequence_length, built.batch_size, built.pretraining.batch_size) == (3, 4, 2)
    assert set(built.policies) == {"greedy", "stochastic"}
    assert built.agent.collect_data_spec.action.shape == (num_actions,)
    assert built.policies["greedy"].policy_state_spec["actions"].shape == (2, num_actions)


def test_debug_follows_the_cpu_profile():
    configuration.load(["cheetah_run.gin", "cpu.gin", "debug.gin"], [])
    assert build(6).sequence_length == 3


def test_agent_of_the_paper():
    configuration.load(["cheetah_run.gin"], [])
    built = build(6)
    assert (built.sequence_length, built.batch_size, built.pretraining.batch_size) == (8, 256, 32)
    # 8 features of 256 channels, 7 actions between them.
    assert built.policies["greedy"].policy_state_spec["features"].shape == (8, 256)
    assert built.policies["greedy"].policy_state_spec["actions"].shape == (7, 6)
    shapes = [tuple(variable.shape) for variable in built.agent.variables]
    assert (5, 5, 3, 32) in shapes  # the encoder's first convolution
    assert (8 * 256 + 7 * 6, 256) in shapes  # the actor's first layer
    assert (32 + 256 + 6, 256) in shapes  # a critic's first layer: z1, z2, a
    frames = built.agent.collect_policy.policy_state_spec["frames"]
    assert (frames.shape, frames.dtype) == ((8, 64, 64, 3), tf.uint8)


@pytest.mark.parametrize("path", sorted((GIN_CONFIGS / "latent_models").glob("*.gin")), ids=lambda path: path.stem)
def test_latent_models_take_the_two_layer_models_place(path):
    configuration.load(["gin_configs/cheetah_run.gin", str(path), "gin_configs/debug.gin"], [])
    built = build(6)
    model = built.reusable.module
    assert type(model) is not two_layer.TwoLayerModel
    assert model.encoder.feature_size <= 64  # debug.gin makes it small, too


AGENTS = sorted((GIN_CONFIGS / "agents").glob("*.gin"))
PIXELS = {"pixels": array_spec.BoundedArraySpec((64, 64, 3), np.uint8, 0, 255)}
STATE = {"state": array_spec.ArraySpec((17,), np.float32)}
agent_files = pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)


def load_agent(path, *last):
    """Loads an agent's file after a task; returns its builder."""
    configuration.load(["gin_configs/cheetah_run.gin", str(path), *last], [])
    return gin.query_parameter("train_eval.build_agent").scoped_configurable_fn


def check_built(built, observation):
    # debug.gin's; an agent on its own steps alone has one window of four transitions
    assert (built.sequence_length if built.on_policy else built.batch_size) == 4
    assert set(built.policies) == {"greedy", "stochastic"}
    assert (built.pretraining is None) == (type(built.agent).__name__ != "PlanetAgent")
    spec = built.agent.collect_data_spec
    assert set(spec.observation) == set(observation)
    assert spec.action.shape == (6,)
    assert sum(int(np.prod(variable.shape)) for variable in built.agent.variables) < 2_000_000  # small, too
    time_step = tf.nest.map_structure(lambda spec: tf.zeros([1, *spec.shape], spec.dtype), specs(6, observation)[0])
    for policy in built.policies.values():
        assert policy.action(time_step, policy.get_initial_state(1)).action.shape == (1, 6)


def test_the_other_agents_are_there():
    assert {path.stem for path in AGENTS} >= {"sac_pixels", "sac_state", "mpo", "d4pg", "planet", "dvrl"}


@agent_files
def test_agents_take_slacs_place_under_debug(path):
    build_agent = load_agent(path, "debug.gin")
    observation = STATE if path.stem == "sac_state" else PIXELS
    check_built(build_agent(*specs(6, observation), tf.Variable(0, dtype=tf.int64, trainable=False)), observation)
    shown = gin.query_parameter("OBSERVATIONS/gin.macro.value")
    assert shown == tuple(observation)
    assert copy.deepcopy(gin.query_parameter("load_dm_control.observations")) == shown


@pytest.mark.parametrize("path", [path for path in AGENTS if path.stem != "planet"], ids=lambda path: path.stem)
def test_agents_see_the_state_where_only_that_is_shown(path):
    configuration.load(["cheetah_run.gin", str(path), "debug.gin"], ["OBSERVATIONS = ('state',)"])
    assert copy.deepcopy(gin.query_parameter("load_dm_control.observations")) == ("state",)
    build_agent = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    built = build_agent(*specs(6, STATE), tf.Variable(0, dtype=tf.int64, trainable=False))
    check_built(built, STATE)
    assert built.on_policy or built.policies["greedy"].policy_state_spec == ()


@agent_files
@pytest.mark.parametrize("task", TASKS)
def test_agents_follow_any_task(path, task):
    configuration.load([f"{task}.gin", str(path), "debug.gin"], [])
    name = gin.query_parameter("train_eval.build_agent").scoped_configurable_fn.__name__
    assert name != "build_slac"
    assert name in path.read_text()


@agent_files
def test_what_agents_bind_exists_and_is_the_signatures_default(path):
    """So that a file that includes nothing trains with the same settings."""
    configuration.load(["cheetah_run.gin"], [])
    before = {selector: set(parameters) for (_, selector), parameters in gin.config._CONFIG.items()}
    load_agent(path)
    checked = set()
    for (_, selector), parameters in gin.config._CONFIG.items():
        module, _, name = selector.rpartition(".")
        for argument, value in parameters.items():
            # The rest of a run, such as PlaNet's schedule, has the defaults of SLAC.
            own = module.startswith(("slac_tf.agents.", "slac_tf.networks.", "slac_tf.planning."))
            if name == "macro" or not own or argument in before.get(selector, ()):
                continue
            function = getattr(importlib.import_module(module), name)
            signature = inspect.signature(function.__init__ if inspect.isclass(function) else function)
            assert argument in signature.parameters, f"{selector}.{argument}"
            found, default = copy.deepcopy(value), signature.parameters[argument].default  # references are resolved
            assert found == default, f"{selector}.{argument}"
            assert type(found) is type(default), f"{selector}.{argument}"
            checked.add(name)
    assert len([name for name in checked if name.startswith("build_") and "encoder" not in name]) == 1


@agent_files
def test_agents_files_begin_like_the_others(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# Second --gin_file of any task: ")
    assert any(line.startswith("import slac_tf.agents.") for line in lines)
    assert not any(line.startswith("include ") for line in lines)
    assert max(map(len, lines)) <= 120
    for readme in re.findall(r"slac_tf/agents/\w+/README\.md", path.read_text()):
        assert (GIN_CONFIGS.parent / pathlib.Path(readme).parent).is_dir()


@pytest.mark.parametrize("encoder", ["slac", "strided", "control_suite", "max_pool"])
def test_encoders_of_sac_from_pixels(encoder):
    bindings = [f"FrameFeatures.encoder = @build_{encoder}_encoder"]
    configuration.load(["cheetah_run.gin", "agents/sac_pixels.gin", "debug.gin"], bindings)
    built = build(6)
    size = {"slac": 16, "strided": 128, "control_suite": 1682, "max_pool": 512}[encoder]  # at debug.gin's depth 2
    assert built.sequence_length == 4
    assert (4 * size, 16) in [tuple(variable.shape) for variable in built.agent.variables]


@pytest.mark.parametrize("belief", ["ParticleBelief", "ObservationBelief"])
def test_mountain_hike(belief):
    configuration.load(["mountain_hike_dvrl.gin", "debug.gin"], [f"build_dvrl.belief = @{belief}"])
    environment = gin.query_parameter("train_eval.load_environment").scoped_configurable_fn(seed=0)
    assert environment.task_name == "mountain_hike"
    built = experiment.build_agent_for(
        environment, gin.query_parameter("train_eval.build_agent").scoped_configurable_fn
    )
    assert built.on_policy
    assert type(built.agent._networks.belief).__name__ == belief
    assert settings.bound().schedule.initial_collect_agent_steps == 60  # debug.gin's


@pytest.mark.parametrize("before", [["cheetah_run.gin", "cpu.gin"], ["neurips2020/cheetah_run.gin"]])
def test_dvrl_begins_without_random_data(before):
    configuration.load([*before, "agents/dvrl.gin"], [])
    assert settings.bound().schedule.random_data_is_complete(agent_step=0, episodes=0)


def test_the_schedule_of_planet():
    """Five random episodes, 100 train steps, then for ever an episode and 100 train steps."""
    load_agent(GIN_CONFIGS / "agents" / "planet.gin")
    schedule = settings.bound().schedule
    assert (schedule.initial_collect_episodes, schedule.num_pretrain_steps) == (5, 100)
    assert [schedule.updates_due(episode_ends) for episode_ends in (False, True)] == [0.0, 100]
    assert gin.query_parameter("RolloutDriver.overlap") is False


def test_planets_quickstart_is_small():
    configuration.load([f"{PLANET}.gin"], [])
    built = build(2)
    assert (built.sequence_length + 1, built.batch_size, built.pretraining.batch_size) == (16, 8, 8)
    state = {name: tuple(spec.shape) for name, spec in built.policies["greedy"].policy_state_spec.items()}
    assert state == {"h": (100,), "s": (20,), "action": (2,), "plan": (12, 2)}
    assert cem.CemSettings() == cem.CemSettings(horizon=12, iterations=5, candidates=200, elites=20, warm_start=True)
    bound_now = settings.bound()
    assert (bound_now.schedule.num_env_steps, bound_now.schedule.updates_per_episode) == (50_000, 400)
    assert bound_now.processor.intra_op_threads == 1
