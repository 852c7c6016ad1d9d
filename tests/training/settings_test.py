import dataclasses
import re
import types as types_lib
import typing

import gin
import pytest

from slac_tf import types
from slac_tf.training import settings

REQUIRED = {"Schedule": {"num_env_steps": 100}, "InitialModel": {"root_dir": "logs/a"}}
COUNTS = (
    (settings.Schedule, "num_env_steps"),
    (settings.ReplaySettings, "capacity"),
    (settings.EvaluationSettings, "interval_env_steps"),
    (settings.EvaluationSettings, "num_episodes"),
    (settings.EvaluationSettings, "keep_exports"),
    (settings.EvaluationSettings, "max_episode_agent_steps"),
    (settings.Intervals, "summary_train_steps"),
    (settings.Distributed, "max_lead_agent_steps"),
    (settings.Distributed, "learner_devices"),
)
WHOLE = (
    (settings.Schedule, "initial_collect_agent_steps"),
    (settings.Schedule, "num_pretrain_steps"),
    (settings.Processor, "intra_op_threads"),
)
NOT_NEGATIVE = (
    (settings.Schedule, "updates_per_agent_step"),
    (settings.Intervals, "log_seconds"),
)
POSITIVE = ((settings.Intervals, "checkpoint_seconds"), (settings.Distributed, "peer_wait_seconds"))
SWITCHES = (
    (settings.ReplaySettings, "reachable_from_network"),
    (settings.InitialModel, "encoder_only"),
    (settings.InitialModel, "freeze"),
)


def make(kind, **values):
    return kind(**{**REQUIRED.get(kind.__name__, {}), **values})


def test_the_lists_above_are_whole():
    optional = {(settings.Schedule, name) for name in ("initial_collect_episodes", "updates_per_episode")}
    listed = {*optional, *COUNTS, *WHOLE, *NOT_NEGATIVE, *POSITIVE, *SWITCHES, (settings.InitialModel, "root_dir")}
    kinds = typing.get_type_hints(settings.Settings).values()
    assert listed == {(kind, field.name) for kind in kinds for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    "kind, name, value, wanted",
    [
        *(
            (*each, value, "an integer of at least 1")
            for each in COUNTS
            for value in ("100", None, True, (1,), 1.5, 0, -1)
        ),
        *((*each, value, "an integer of at least 0") for each in WHOLE for value in ("100", None, True, 1.5, -1)),
        *((*each, value, "a number of at least 0") for each in NOT_NEGATIVE for value in ("1", True, -1, float("inf"))),
        *((*each, value, "a number above 0") for each in POSITIVE for value in ("1", None, True, 0, float("nan"))),
        *((*each, value, "True or False") for each in SWITCHES for value in (1, "True", None)),
        (settings.InitialModel, "root_dir", 3, "a run's directory, in quotes"),
    ],
)
def test_what_is_refused(kind, name, value, wanted):
    with pytest.raises(ValueError, match=re.escape(f"{kind.__name__}.{name}: {value!r}, expected {wanted}")):
        make(kind, **{name: value})


@pytest.mark.parametrize(
    "kind, name, value",
    [
        *((*each, 1) for each in (*COUNTS, *POSITIVE)),
        *((*each, 0) for each in (*WHOLE, *NOT_NEGATIVE)),
        *((*each, 0.5) for each in (*NOT_NEGATIVE, *POSITIVE)),
        *((*each, True) for each in SWITCHES),
    ],
)
def test_what_is_taken(kind, name, value):
    assert getattr(make(kind, **{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("initial_collect_episodes", 0, "an integer of at least 1"),
        ("initial_collect_episodes", "all", "an integer of at least 1"),
        ("updates_per_episode", -1, "a number of at least 0"),
    ],
)
def test_what_may_be_none_is_looked_at_where_it_is_not(name, value, expected):
    assert getattr(make(settings.Schedule), name) is None
    with pytest.raises(ValueError, match=rf"Schedule\.{name}: {value!r}, expected {expected}"):
        make(settings.Schedule, **{name: value})


@pytest.mark.parametrize(
    ("per_episode", "ends", "due"), [(None, False, 0.5), (None, True, 0.5), (100, False, 0), (100, True, 100)]
)
def test_updates_due(per_episode, ends, due):
    assert make(settings.Schedule, updates_per_agent_step=0.5, updates_per_episode=per_episode).updates_due(ends) == due


def test_gin_binds_them_and_names_what_is_missing():
    with pytest.raises(RuntimeError, match=r"Required bindings for `Schedule` .*num_env_steps"):
        settings.bound()
    gin.parse_config("Schedule.num_env_steps = 7\nReplaySettings.capacity = 5")
    assert (settings.bound().schedule.num_env_steps, settings.bound().replay.capacity) == (7, 5)


def test_settings_do_not_change_and_some_may_at_resume():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(settings.Schedule).num_env_steps = 3
    assert settings.may_change() == {
        "Schedule.num_env_steps",
        "ReplaySettings.reachable_from_network",
        "EvaluationSettings.max_episode_agent_steps",
        "Intervals.checkpoint_seconds",
        "Intervals.log_seconds",
        "Processor.intra_op_threads",
        "Distributed.max_lead_agent_steps",
        "Distributed.peer_wait_seconds",
        "Distributed.learner_devices",
    }


@pytest.mark.parametrize("name", ["encoder_only", "freeze"])
def test_a_switch_of_a_model_that_is_not_there(name):
    with pytest.raises(ValueError, match=rf"InitialModel\.{name}: True, expected False where no InitialModel.root_dir"):
        settings.InitialModel(**{name: True})


@pytest.mark.parametrize(
    "episode, values, message",
    [
        (8, {}, None),
        (None, {}, None),  # no time limit
        (7, {}, "sequence_length: 8 agent steps, expected at most 7, an episode of dot at action repeat 2"),
        (8, {"capacity": 49}, "ReplaySettings.capacity: 49 sequences, expected at least batch_size 50"),
        (8, {"initial_collect_agent_steps": 9}, None),
        (
            8,
            {"initial_collect_agent_steps": 8},
            "Schedule.initial_collect_agent_steps: 8, expected at least 9, one more than sequence_length 8",
        ),
        (
            8,
            {"num_env_steps": 19999},
            "Schedule.num_env_steps: 19999, expected at least 20000, the random data: initial_collect_agent_steps "
            "10000 at action repeat 2",
        ),
        (8, {"num_env_steps": 19999, "initial_collect_episodes": 1}, None),
    ],
)
def test_sequences_of_a_replay_fit(episode, values, message):
    built = types.BuiltAgent(None, {}, sequence_length=8, batch_size=50)
    environment = types_lib.SimpleNamespace(episode_agent_steps=episode, task_name="dot", action_repeat=2)
    schedule = {name: value for name, value in values.items() if name != "capacity"}
    chosen = settings.Settings(
        make(settings.Schedule, **{"num_env_steps": 20000, **schedule}),
        settings.ReplaySettings(capacity=values.get("capacity", 100)),
        *(make(kind) for kind in (settings.EvaluationSettings, settings.Intervals, settings.InitialModel)),
    )
    if message is None:
        settings.check_fit(chosen, built, environment)
    else:
        with pytest.raises(ValueError, match=re.escape(message)):
            settings.check_fit(chosen, built, environment)


def test_windows_of_an_agents_own_steps_need_no_random_ones_and_may_hold_several_episodes():
    environment = types_lib.SimpleNamespace(episode_agent_steps=5, task_name="dot", action_repeat=2)
    chosen = settings.Settings(make(settings.Schedule, initial_collect_agent_steps=0))
    built = types.BuiltAgent(None, {}, sequence_length=8, batch_size=1, on_policy=True)
    settings.check_fit(chosen, built, environment)
    with pytest.raises(ValueError, match="sequence_length: 8 agent steps, expected at most 5"):
        settings.check_fit(chosen, dataclasses.replace(built, on_policy=False), environment)
