import inspect
import types as types_lib

import pytest

from slac_tf import types
from slac_tf.training import settings as settings_lib
from slac_tf.training import train_eval

VALID = settings_lib.Settings(
    num_env_steps=100,
    initial_collect_agent_steps=10,
    num_pretrain_steps=5,
    updates_per_agent_step=1,
    overlap_collection=True,
    replay_capacity=50,
    eval_interval_env_steps=20,
    num_eval_episodes=1,
    max_episode_agent_steps=1000,
    log_interval_seconds=30,
    summary_interval_train_steps=1,
    checkpoint_interval_seconds=600,
    keep_exports=3,
)
INTEGERS = (
    "num_env_steps",
    "initial_collect_agent_steps",
    "num_pretrain_steps",
    "replay_capacity",
    "eval_interval_env_steps",
    "num_eval_episodes",
    "max_episode_agent_steps",
    "summary_interval_train_steps",
    "keep_exports",
)
NUMBERS = ("updates_per_agent_step", "log_interval_seconds", "checkpoint_interval_seconds")
SWITCHES = ("overlap_collection", "replay_reachable_from_network")
MAY_BE_ZERO = ("num_pretrain_steps", "updates_per_agent_step", "log_interval_seconds", "keep_exports")


def test_the_lists_above_are_whole():
    assert {*INTEGERS, *NUMBERS, *SWITCHES} == set(settings_lib.Settings._fields)
    parameters = inspect.signature(inspect.unwrap(train_eval.train_eval)).parameters
    assert set(settings_lib.Settings._fields) <= set(parameters)


def test_valid():
    settings_lib.check(VALID)
    settings_lib.check(VALID._replace(updates_per_agent_step=0.5, log_interval_seconds=0.1))


@pytest.mark.parametrize("name", [*INTEGERS, *NUMBERS])
@pytest.mark.parametrize("value", ["100", None, True, (1,)])
def test_no_number(name, value):
    with pytest.raises(ValueError, match=rf"train_eval\.{name}: .*expected (a number|an integer) \(without quotes\)"):
        settings_lib.check(VALID._replace(**{name: value}))


@pytest.mark.parametrize("name", INTEGERS)
def test_a_fraction_where_an_integer_belongs(name):
    with pytest.raises(ValueError, match=rf"train_eval\.{name}: 1.5, expected an integer"):
        settings_lib.check(VALID._replace(**{name: 1.5}))


@pytest.mark.parametrize("name", [*INTEGERS, *NUMBERS])
def test_range(name):
    with pytest.raises(ValueError, match=rf"train_eval\.{name}: -1, expected"):
        settings_lib.check(VALID._replace(**{name: -1}))
    if name in MAY_BE_ZERO:
        settings_lib.check(VALID._replace(**{name: 0}))
    else:
        with pytest.raises(ValueError, match=rf"train_eval\.{name}: 0, expected more than 0"):
            settings_lib.check(VALID._replace(**{name: 0}))


def test_initial_data_hold_a_sequence():
    built = types.BuiltAgent(None, {}, sequence_length=8, batch_size=1, pretraining=None, report=None)
    settings_lib.check_initial_data(VALID._replace(initial_collect_agent_steps=9), built)
    with pytest.raises(ValueError, match=r"initial_collect_agent_steps: 8, expected at least 9.*sequence_length 8"):
        settings_lib.check_initial_data(VALID._replace(initial_collect_agent_steps=8), built)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_not_finite(value):
    with pytest.raises(ValueError, match=r"train_eval\.updates_per_agent_step: .*, expected a finite number"):
        settings_lib.check(VALID._replace(updates_per_agent_step=value))


def test_an_episode_holds_a_sequence_and_replay_a_batch():
    built = types.BuiltAgent(None, {}, sequence_length=8, batch_size=50, pretraining=None, report=None)

    def check(episode, settings=VALID):
        environment = types_lib.SimpleNamespace(episode_agent_steps=episode, task_name="dot", action_repeat=2)
        settings_lib.check_sequences(settings, built, environment)

    check(8)
    check(None)  # no time limit
    with pytest.raises(ValueError, match="sequence_length: 8 agent steps, expected at most 7, an episode of dot"):
        check(7)
    with pytest.raises(ValueError, match=r"replay_capacity: 49 sequences, expected at least batch_size 50"):
        check(8, VALID._replace(replay_capacity=49))


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", [1, "True", None])
def test_switches_are_true_or_false(name, value):
    with pytest.raises(ValueError, match=rf"train_eval\.{name}: .*, expected True or False"):
        settings_lib.check(VALID._replace(**{name: value}))
