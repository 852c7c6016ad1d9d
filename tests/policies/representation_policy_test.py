import functools

import fakes
import numpy as np
import plain_tensorflow
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.policies import py_tf_eager_policy
from tf_agents.trajectories import time_step as ts

from slac_tf.agents.sac import builder
from slac_tf.export import saved_model
from slac_tf.networks import encoders, representations, tanh_gaussian_actor
from slac_tf.policies import representation_policy

STATE_SIZE = 4
LENGTH = 3
STEP_TYPES = np.int32([[FIRST, MID, MID, MID, LAST, FIRST, MID], [FIRST, MID, LAST, FIRST, MID, MID, MID]])
NUM_STEPS = STEP_TYPES.shape[1]
RANDOM = np.random.RandomState(0)
OBSERVATIONS = {
    "pixels": RANDOM.randint(0, 256, (2, NUM_STEPS, 64, 64, 3)).astype(np.uint8),
    "state": RANDOM.normal(size=(2, NUM_STEPS, STATE_SIZE)).astype(np.float32),
}


def specs(kind):
    time_step_spec, action_spec = fakes.specs()
    if kind == "state":
        time_step_spec = time_step_spec._replace(observation={"state": tf.TensorSpec([STATE_SIZE], tf.float32)})
    return time_step_spec, action_spec


def time_step(kind, t, rows=slice(None)):
    seen = OBSERVATIONS[kind][rows, t]
    ones = tf.ones([len(seen)])
    return ts.TimeStep(tf.constant(STEP_TYPES[rows, t]), 0 * ones, ones, {kind: tf.constant(seen)})


def act(policy, kind="pixels", batch_size=2, rows=slice(None)):
    """Actions `[B, N, A]` and the states after each."""
    state = policy.get_initial_state(batch_size)
    actions, states = [], []
    for t in range(NUM_STEPS):
        step = policy.action(time_step(kind, t, rows), state)
        state = step.state
        actions.append(step.action)
        states.append(state)
    return np.stack(actions, axis=1), states


small_frame_features = functools.partial(
    representations.FrameFeatures, functools.partial(encoders.build_slac_encoder, base_depth=1), LENGTH
)


@pytest.fixture(scope="module")
def networks():
    tf.keras.utils.set_random_seed(4)
    seen = small_frame_features()
    return seen, tanh_gaussian_actor.TanhGaussianActor(seen.size, fakes.ACTION_SIZE, (8,))


def make_policy(networks, **kwargs):
    representation, actor = networks
    return representation_policy.RepresentationPolicy(
        *specs("pixels"), representation, actor.mode, actor.variables, **kwargs
    )


def of_state(action, **kwargs):
    """A policy on the state that wants `action` whatever it sees."""
    time_step_spec, action_spec = specs("state")
    representation = representations.State(time_step_spec.observation["state"])

    def constant(states):
        return tf.tile(tf.constant([action]), [tf.shape(states)[0], 1])

    return representation_policy.RepresentationPolicy(
        time_step_spec, action_spec, representation, constant, (), **kwargs
    )


def test_history_is_kept_and_repeated_at_first(networks):
    policy = make_policy(networks)
    spec = policy.policy_state_spec["history"]
    assert (spec.shape, spec.dtype) == ((LENGTH, 64, 64, 3), tf.uint8)
    _, states = act(policy)
    expected = {  # step -> the frames of both rows
        0: ((0, 0, 0), (0, 0, 0)),
        1: ((0, 0, 1), (0, 0, 1)),
        2: ((0, 1, 2), (0, 1, 2)),
        3: ((1, 2, 3), (3, 3, 3)),
        4: ((2, 3, 4), (3, 3, 4)),
        5: ((5, 5, 5), (3, 4, 5)),
        6: ((5, 5, 6), (4, 5, 6)),
    }
    for t, rows in expected.items():
        for row, frames in enumerate(rows):
            np.testing.assert_array_equal(states[t]["history"][row], OBSERVATIONS["pixels"][row, list(frames)])


def test_actions_are_those_of_the_history(networks):
    representation, actor = networks
    actions, states = act(make_policy(networks))
    for t in range(NUM_STEPS):
        expected = actor.mode(representation(states[t]["history"]))
        np.testing.assert_allclose(actions[:, t], expected, atol=1e-6)
    assert np.all(np.std(actions, axis=1) > 1e-4)  # they do depend on what is seen


def test_rows_of_a_batch_do_not_touch_each_other(networks):
    policy = make_policy(networks)
    together, _ = act(policy)
    for row in (0, 1):
        alone, _ = act(policy, batch_size=1, rows=slice(row, row + 1))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_a_stale_state_does_not_matter_at_an_episodes_start(networks):
    policy = make_policy(networks)
    stale = tf.nest.map_structure(lambda x: x + 5, policy.get_initial_state(2))
    fresh = policy.action(time_step("pixels", 0), policy.get_initial_state(2))
    for a, b in zip(tf.nest.flatten(fresh), tf.nest.flatten(policy.action(time_step("pixels", 0), stale))):
        np.testing.assert_array_equal(a, b)


def test_the_encoder_is_that_of_the_moment(networks):
    """All frames of the history are seen through the weights of now, not of when they came."""
    representation, actor = networks
    policy = make_policy(networks)
    _, states = act(policy)
    saved = [v.numpy() for v in representation.variables]
    try:
        for variable in representation.variables:
            variable.assign(1.5 * variable + 0.1)
        step = policy.action(time_step("pixels", 3), states[2])
        np.testing.assert_allclose(step.action, actor.mode(representation(step.state["history"])), atol=1e-6)
        moved = step.action.numpy()
    finally:
        for variable, value in zip(representation.variables, saved):
            variable.assign(value)
    assert np.any(np.abs(moved - policy.action(time_step("pixels", 3), states[2]).action) > 1e-4)


def test_variables_are_those_of_encoder_and_actor(networks):
    representation, actor = networks
    found = {v.ref() for v in make_policy(networks).variables()}
    assert found == {v.ref() for v in (*representation.variables, *actor.variables)}
    assert len(found) == 10 + 4


def test_of_the_state_nothing_is_kept():
    policy = of_state([0.25, -0.5])
    assert policy.policy_state_spec == ()
    actions, states = act(policy, "state")
    assert states == [()] * NUM_STEPS
    np.testing.assert_array_equal(actions, np.tile([0.25, -0.5], (2, NUM_STEPS, 1)))


def test_actions_are_clipped():
    actions, _ = act(of_state([1.5, -7.0]), "state")
    np.testing.assert_array_equal(actions, np.tile([1.0, -1.0], (2, NUM_STEPS, 1)))
    actions, _ = act(of_state([1.0, -1.0], exploration_scales=(3.0,)), "state")
    assert np.abs(actions).max() == 1.0
    assert np.std(actions) > 0


def still(step_types):
    """Time steps whose states are zero."""
    count = len(step_types)
    states = {"state": tf.zeros([count, STATE_SIZE])}
    return ts.TimeStep(tf.constant(step_types), tf.zeros([count]), tf.ones([count]), states)


def test_an_exploration_scale_is_drawn_for_each_episode():
    tf.keras.utils.set_random_seed(0)
    scales = (0.25, 0.5, 1.0, 2.0)
    policy = of_state([0.0, 0.0], exploration_scales=scales)
    assert list(policy.policy_state_spec) == ["scale"]
    drawn = []
    for _ in range(6):
        found = np.stack([state["scale"] for state in act(policy, "state")[1]], axis=1)
        for row in range(2):
            begins = np.flatnonzero(STEP_TYPES[row] == FIRST)
            for begin, end in zip(begins, [*begins[1:], NUM_STEPS]):
                assert len(set(found[row, begin:end])) == 1
                drawn.append(found[row, begin])
    assert set(drawn) == set(scales)
    # Each is as likely: of 2000 there are 500, with a deviation of 19.
    many = policy.action(still([FIRST] * 2000), policy.get_initial_state(2000)).state["scale"].numpy()
    assert all(abs(np.sum(many == scale) - 500) < 100 for scale in scales)


def test_exploration_noise_has_the_scale_of_the_state():
    tf.keras.utils.set_random_seed(0)
    policy = of_state([0.0, 0.0], exploration_scales=(0.1,))
    step = still([MID] * 2000)
    for scale in (0.0, 0.05, 0.2):
        noise = policy.action(step, {"scale": tf.fill([2000], scale)}).action.numpy()
        np.testing.assert_allclose(np.std(noise, axis=0), scale, rtol=0.1)
        np.testing.assert_allclose(np.mean(noise, axis=0), 0.0, atol=scale / 10)
    # At an episode's first step the scale in the state is of another episode.
    first = policy.action(step._replace(step_type=tf.fill([2000], FIRST)), {"scale": tf.fill([2000], 5.0)})
    np.testing.assert_allclose(np.std(first.action), 0.1, rtol=0.1)
    np.testing.assert_allclose(first.state["scale"], 0.1)


def test_scale_and_history_are_kept_together(networks):
    policy = make_policy(networks, exploration_scales=(0.3,))
    assert sorted(policy.policy_state_spec) == ["history", "scale"]
    _, states = act(policy)
    np.testing.assert_array_equal(states[1]["history"][0], OBSERVATIONS["pixels"][0, [0, 0, 1]])


def test_it_acts_in_an_environment(networks):
    policy = py_tf_eager_policy.PyTFEagerPolicy(make_policy(networks), use_tf_function=True)
    environment = fakes.CountingEnvironment(length=2)
    step, state = environment.reset(), policy.get_initial_state(1)
    for _ in range(5):
        action = policy.action(step, state)
        step, state = environment.step(action.action), action.state
    # Emitted were 0, 1, 2 (last), 3 (reset), 4, 5 (last); the action on step 5 is still to come.
    np.testing.assert_array_equal(fakes.counts(state["history"]).ravel(), [3, 3, 4])


# Saved, and played by TensorFlow alone.

PROGRAM = """
    data = np.load(sys.argv[1])
    found = {}
    for kind, directory in zip(("pixels", "state"), sys.argv[3:]):
        model = tf.saved_model.load(directory)
        state = model.get_initial_state(batch_size=2)
        actions = []
        for t in range(data["step_types"].shape[1]):
            time_step = TimeStep(
                step_type=tf.constant(data["step_types"][:, t]),
                reward=tf.zeros([2]),
                discount=tf.ones([2]),
                observation={kind: tf.constant(data[kind][:, t])},
            )
            step = model.action(time_step, state)
            state = step.state
            actions.append(step.action.numpy())
        found[kind] = np.stack(actions, axis=1)
    np.savez(sys.argv[2], **found)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """SAC's greedy policies by kind of observation, and where they were saved."""
    tf.keras.utils.set_random_seed(5)
    found = {}
    for kind in ("pixels", "state"):
        counter = tf.Variable(0, dtype=tf.int64, trainable=False)
        built = builder.build_sac(*specs(kind), counter, hidden_sizes=(8,), representation=small_frame_features)
        place = saved_model.Exporter(built.policies).export(
            {}, {"env_step": 1}, tmp_path_factory.mktemp(kind), keep=None
        )
        found[kind] = built.policies["greedy"], place
    return found


def test_saved_policies_of_sac_need_tensorflow_alone(saved, tmp_path):
    np.savez(tmp_path / "data.npz", step_types=STEP_TYPES, **OBSERVATIONS)
    places = [saved[kind][1] / "greedy_policy" for kind in ("pixels", "state")]
    plain_tensorflow.run(PROGRAM, tmp_path / "data.npz", tmp_path / "out.npz", *places)
    found = np.load(tmp_path / "out.npz")
    for kind, (policy, _) in saved.items():
        actions, _ = act(policy, kind)
        assert np.all(np.std(actions, axis=1) > 1e-4)  # what is seen matters
        np.testing.assert_allclose(found[kind], actions, atol=1e-6)


@pytest.mark.parametrize("kind", ["pixels", "state"])
def test_saved_stochastic_policies_of_sac_sample(saved, kind):
    model = tf.saved_model.load(str(saved[kind][1] / "stochastic_policy"))
    drawn = np.array([model.action(time_step(kind, 0), model.get_initial_state(2)).action for _ in range(10)])
    assert np.abs(drawn).max() <= 1.0
    assert np.all(np.std(drawn, axis=0) > 0.05)
