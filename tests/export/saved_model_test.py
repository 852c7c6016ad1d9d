import json
import os

import fakes
import numpy as np
import plain_tensorflow
import pytest
import tensorflow as tf
from fakes import FIRST, MID
from tf_agents.trajectories import time_step as ts

from slac_tf.export import player, saved_model

HISTORY = 3
STEP_TYPES = [FIRST, MID, MID, MID, MID, FIRST, MID]  # more steps than the history holds, then another episode
MANIFEST = {"env_step": 40, "task": "counting", "action_repeat": 1, "config": "a.b = 1\n", "seed": 3}


@pytest.fixture(scope="module")
def built():
    return fakes.build_agent(seed=5, sequence_length=HISTORY)


@pytest.fixture(scope="module")
def exported(built, tmp_path_factory):
    directory = tmp_path_factory.mktemp("policies")
    return saved_model.Exporter(built.policies).export(
        {"greedy": np.array([1.0, 2.00004])}, MANIFEST, directory, keep=1
    )


@pytest.fixture(scope="module")
def frames():
    return np.random.RandomState(0).randint(0, 256, (len(STEP_TYPES), 64, 64, 3)).astype(np.uint8)


def time_step(step_type, frame):
    """As an environment gives it, without batch dimension."""
    return ts.TimeStep(np.int32(step_type), np.float32(0.5), np.float32(1.0), {"pixels": frame})


@pytest.fixture(scope="module")
def actions(built, frames):
    """Of the greedy policy in this process, `[steps, A]`."""
    policy = built.policies["greedy"]
    state = policy.get_initial_state(1)
    found = []
    for step_type, frame in zip(STEP_TYPES, frames):
        batched = tf.nest.map_structure(lambda x: tf.constant(x[np.newaxis]), time_step(step_type, frame))
        step = policy.action(batched, state)
        state = step.state
        found.append(step.action[0].numpy())
    return np.array(found)


def play(policy, frames):
    state = policy.get_initial_state()
    found = []
    for step_type, frame in zip(STEP_TYPES, frames):
        step = policy.action(time_step(step_type, frame), state)
        state = step.state
        found.append(step.action)
    return np.array(found)


def test_manifest(exported):
    greedy = json.loads((exported / "greedy_policy" / "manifest.json").read_text())
    for name, value in MANIFEST.items():
        assert greedy[name] == value
    assert greedy["policy"] == "greedy"
    assert greedy["returns"] == [1.0, 2.0]
    assert greedy["observation_spec"] == {"pixels": {"shape": [64, 64, 3], "dtype": "uint8"}}
    assert greedy["action_spec"] == {"shape": [fakes.ACTION_SIZE], "dtype": "float32"}
    stochastic = json.loads((exported / "stochastic_policy" / "manifest.json").read_text())
    assert stochastic["policy"] == "stochastic"
    assert stochastic["returns"] == []  # it was not evaluated


def test_state_keeps_features_not_frames(exported, built, monkeypatch, frames):
    """One frame is encoded at each step, not the whole history."""
    spec = json.loads((exported / "greedy_policy" / "manifest.json").read_text())["policy_state_spec"]
    assert spec == {
        "features": {"shape": [HISTORY, 8], "dtype": "float32"},  # 8 channels at base depth 1
        "actions": {"shape": [HISTORY - 1, fakes.ACTION_SIZE], "dtype": "float32"},
    }
    policy = built.policies["greedy"]
    encode, shapes = policy._representation.encode, []
    monkeypatch.setattr(policy._representation, "encode", lambda x: shapes.append(tuple(x.shape)) or encode(x))
    batched = tf.nest.map_structure(lambda x: tf.constant(x[np.newaxis]), time_step(MID, frames[0]))
    policy.action(batched, policy.get_initial_state(1))
    assert shapes == [(1, 64, 64, 3)]


def test_player_acts_as_the_policy_in_this_process(exported, frames, actions):
    policy = player.ExportedPolicy(exported / "greedy_policy")
    assert policy.manifest["returns"] == [1.0, 2.0]
    np.testing.assert_allclose(play(policy, frames), actions, atol=1e-6)
    assert np.std(actions, axis=0).min() > 1e-4  # the frames matter


def test_an_episode_begins_anew_at_first(exported, frames):
    policy = player.ExportedPolicy(exported / "greedy_policy")
    after = policy.action(time_step(MID, frames[0]), policy.get_initial_state()).state
    fresh = policy.action(time_step(FIRST, frames[1]), policy.get_initial_state())
    again = policy.action(time_step(FIRST, frames[1]), after)
    np.testing.assert_array_equal(fresh.action, again.action)


def test_stochastic_policy_samples(exported, frames):
    policy = player.ExportedPolicy(exported / "stochastic_policy")
    step = time_step(FIRST, frames[0])
    drawn = np.array([policy.action(step, policy.get_initial_state()).action for _ in range(20)])
    assert np.abs(drawn).max() <= 1.0
    assert np.std(drawn, axis=0).min() > 0.05


PROGRAM = """
    directory, data, out = sys.argv[1:]
    model = tf.saved_model.load(directory)
    data = np.load(data)
    state = model.get_initial_state(batch_size=1)
    actions = []
    for step_type, frame in zip(data["step_types"], data["frames"]):
        time_step = TimeStep(
            step_type=tf.constant([step_type], tf.int32),
            reward=tf.constant([0.0]),
            discount=tf.constant([1.0]),
            observation={"pixels": tf.constant(frame[np.newaxis])},
        )
        step = model.action(time_step, state)
        state = step.state
        actions.append(step.action[0].numpy())
    np.save(out, actions)
"""


def test_plain_tensorflow_is_enough(exported, frames, actions, tmp_path):
    np.savez(tmp_path / "data.npz", frames=frames, step_types=STEP_TYPES)
    plain_tensorflow.run(PROGRAM, exported / "greedy_policy", tmp_path / "data.npz", tmp_path / "actions.npy")
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), actions, atol=1e-6)


@pytest.mark.parametrize(
    "observation, found",
    [
        ({"pixels": np.zeros((64, 64, 3), np.float32)}, "float32[64, 64, 3]"),
        ({"pixels": np.zeros((84, 84, 3), np.uint8)}, "uint8[84, 84, 3]"),
        ({"pixels": np.zeros((1, 64, 64, 3), np.uint8)}, "uint8[1, 64, 64, 3]"),
        ({"state": np.zeros(3, np.float32)}, "object[]"),
    ],
)
def test_wrong_observation(exported, observation, found):
    policy = player.ExportedPolicy(exported / "greedy_policy")
    step = time_step(FIRST, None)._replace(observation=observation)
    with pytest.raises(ValueError) as caught:
        policy.action(step, policy.get_initial_state())
    assert str(caught.value) == f"observation 'pixels': {found}, expected uint8[64, 64, 3]"


@pytest.mark.parametrize("missing", ["", "no_such_policy"])
def test_no_policy_there(tmp_path, missing):
    with pytest.raises(ValueError, match=r"no saved_model.pb, expected .*greedy_policy"):
        player.ExportedPolicy(tmp_path / missing)


def test_the_next_export_has_new_weights_and_traces_nothing_anew(tmp_path, frames):
    policies = fakes.build_agent(seed=6, sequence_length=HISTORY).policies
    exporter = saved_model.Exporter({"greedy": policies["greedy"]})
    first = player.ExportedPolicy(exporter.export({}, MANIFEST, tmp_path, keep=None) / "greedy_policy")
    savers = dict(exporter._savers)
    for variable in policies["greedy"].variables():
        variable.assign(variable * 1.5)
    place = exporter.export({}, {**MANIFEST, "env_step": 80}, tmp_path, keep=None) / "greedy_policy"
    second = player.ExportedPolicy(place)
    assert (first.manifest["env_step"], second.manifest["env_step"]) == (40, 80)
    assert json.loads(tf.saved_model.load(str(place)).get_metadata()["manifest"].numpy()) == second.manifest
    step = time_step(FIRST, frames[0])
    actions = [policy.action(step, policy.get_initial_state()).action for policy in (first, second)]
    assert np.abs(actions[0] - actions[1]).max() > 1e-4
    assert exporter._savers == savers


# The folders; what is in them is not looked at.


@pytest.fixture
def export(tmp_path, monkeypatch, built):
    def save(self, name, manifest, directory):
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").write_text(str(manifest["env_step"]))

    monkeypatch.setattr(saved_model.Exporter, "_save", save)

    def call(env_step, keep=3):
        return saved_model.Exporter(built.policies).export(
            {}, {**MANIFEST, "env_step": env_step}, tmp_path / "policies", keep=keep
        )

    return call


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_folders_and_link(export, tmp_path):
    place = export(10)
    assert place == tmp_path / "policies" / "env_step_000000010"
    assert names(place) == ["greedy_policy", "stochastic_policy"]
    export(20)
    latest = tmp_path / "policies" / "latest"
    assert latest.is_symlink()
    assert os.readlink(latest) == "env_step_000000020"  # relative: the run's directory can be moved
    assert (latest / "greedy_policy" / "saved_model.pb").read_text() == "20"
    assert names(place.parent) == ["env_step_000000010", "env_step_000000020", "latest"]


@pytest.mark.parametrize("keep, expected", [(1, [30]), (2, [20, 30]), (5, [10, 20, 30])])
def test_the_newest_are_kept(export, tmp_path, keep, expected):
    for env_step in (10, 20, 30):
        export(env_step, keep)
    assert names(tmp_path / "policies") == [f"env_step_{step:09d}" for step in expected] + ["latest"]


def test_the_one_written_is_kept_though_older(export, tmp_path):
    for env_step in (20, 30, 10):
        export(env_step, 2)
    assert names(tmp_path / "policies") == ["env_step_000000010", "env_step_000000030", "latest"]
    assert (tmp_path / "policies" / "latest").resolve().name == "env_step_000000010"


def test_the_same_step_is_replaced(export, tmp_path):
    (export(10) / "mark").touch()
    assert not (export(10) / "mark").exists()
    assert names(tmp_path / "policies") == ["env_step_000000010", "latest"]


@pytest.mark.parametrize("env_step", [10, 20])  # the step that is there, another one
def test_an_interrupted_export_leaves_the_one_before(export, tmp_path, monkeypatch, env_step):
    export(10)
    save = saved_model.Exporter._save

    def save_one_and_a_half(self, name, manifest, directory):
        save(self, name, manifest, directory)
        if manifest["policy"] == "stochastic":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saved_model.Exporter, "_save", save_one_and_a_half)
        with pytest.raises(KeyboardInterrupt):
            export(env_step)
    directory = tmp_path / "policies"
    assert names(directory) == ["env_step_000000010", f"incomplete-env_step_{env_step:09d}", "latest"]
    assert (directory / "latest" / "greedy_policy" / "saved_model.pb").read_text() == "10"
    export(env_step)  # as a resumed run does
    assert names(directory) == [f"env_step_{step:09d}" for step in sorted({10, env_step})] + ["latest"]
    assert (directory / "latest" / "greedy_policy" / "saved_model.pb").read_text() == str(env_step)
