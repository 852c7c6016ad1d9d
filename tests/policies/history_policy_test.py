import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.policies import py_tf_eager_policy
from tf_agents.trajectories import time_step as ts

from slac_tf.networks import conv, representations, tanh_gaussian_actor
from slac_tf.policies import history_policy

LENGTH = 3  # H
# Two rows whose episodes begin at different times; the second one's second episode has a single action.
STEP_TYPES = np.int32(
    [
        [FIRST, MID, MID, MID, LAST, FIRST, MID, MID],
        [FIRST, MID, LAST, FIRST, LAST, FIRST, MID, MID],
    ]
)
NUM_STEPS = STEP_TYPES.shape[1]
FRAMES = np.random.RandomState(0).randint(0, 256, (2, NUM_STEPS, 64, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def networks():
    tf.keras.utils.set_random_seed(4)
    history = representations.FeatureHistory(conv.Encoder(base_depth=1), fakes.ACTION_SIZE, LENGTH)
    actor = tanh_gaussian_actor.TanhGaussianActor(history.size, fakes.ACTION_SIZE, (8,))
    return history, actor


def make_policy(networks, *, greedy=True, keep_features=False):
    return history_policy.HistoryPolicy(*fakes.specs(), *networks, greedy=greedy, keep_features=keep_features)


def time_step(t, rows=slice(None)):
    frames = FRAMES[rows, t]
    ones = tf.ones([len(frames)])
    return ts.TimeStep(tf.constant(STEP_TYPES[rows, t]), 0 * ones, ones, {"pixels": tf.constant(frames)})


def act(policy, batch_size=2, rows=slice(None)):
    """Actions `[B, N, A]` of an episode after the other, and the states after each."""
    state = policy.get_initial_state(batch_size)
    actions, states = [], []
    for t in range(NUM_STEPS):
        step = policy.action(time_step(t, rows), state)
        state = step.state
        actions.append(step.action)
        states.append(state)
    return np.stack(actions, axis=1), states


def test_frames_and_features_in_the_state_give_the_same_actions(networks):
    by_frames, _ = act(make_policy(networks))
    by_features, _ = act(make_policy(networks, keep_features=True))
    np.testing.assert_allclose(by_frames, by_features, atol=1e-6)
    assert np.all(np.std(by_frames, axis=1) > 1e-4)  # they do depend on what is seen


def test_rows_of_a_batch_do_not_touch_each_other(networks):
    policy = make_policy(networks)
    together, _ = act(policy)
    for row in (0, 1):
        alone, _ = act(policy, 1, slice(row, row + 1))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


@pytest.mark.parametrize("keep_features", [False, True])
def test_actions_are_those_of_the_history_that_training_sees(networks, keep_features):
    history, actor = networks
    actions, _ = act(make_policy(networks, keep_features=keep_features))
    # Before the first episode stands another one, as in replay: an action may be looked back on from any
    # step then, also where fewer than H frames of its own episode exist.
    noise = np.random.RandomState(1)
    before = noise.randint(0, 256, (2, LENGTH, 64, 64, 3)).astype(np.uint8)
    frames = tf.constant(np.concatenate([before, FRAMES], axis=1))
    taken = tf.constant(np.concatenate([noise.uniform(-1, 1, (2, LENGTH, 2)).astype(np.float32), actions], axis=1))
    step_types = tf.constant(np.concatenate([np.int32([[MID] * (LENGTH - 1) + [LAST]] * 2), STEP_TYPES], axis=1))
    features = history.encode(frames)
    for t in range(NUM_STEPS):
        # A window of T+1 = 4 steps that ends with the step.
        window = slice(t, t + LENGTH + 1)
        seen = history.at(LENGTH, features[:, window], taken[:, window], step_types[:, window])
        np.testing.assert_allclose(actor.mode(seen), actions[:, t], atol=1e-6)


def test_the_state_holds_the_last_frames_and_the_actions_between_them(networks):
    actions, states = act(make_policy(networks, greedy=False))
    nothing = np.zeros(fakes.ACTION_SIZE)
    # After step t of an episode: frames t-2, t-1, t and actions t-1, t, the newest leading on from frame t.
    expected = {  # step -> for both rows the numbers of the frames, then of the actions
        0: (((0, 0, 0), (None, 0)), ((0, 0, 0), (None, 0))),
        1: (((0, 0, 1), (0, 1)), ((0, 0, 1), (0, 1))),
        2: (((0, 1, 2), (1, 2)), ((0, 1, 2), (1, 2))),
        3: (((1, 2, 3), (2, 3)), ((3, 3, 3), (None, 3))),
        4: (((2, 3, 4), (3, 4)), ((3, 3, 4), (3, 4))),
        5: (((5, 5, 5), (None, 5)), ((5, 5, 5), (None, 5))),
        7: (((5, 6, 7), (6, 7)), ((5, 6, 7), (6, 7))),
    }
    for t, rows in expected.items():
        for row, (frames, taken) in enumerate(rows):
            np.testing.assert_array_equal(states[t]["frames"][row], FRAMES[row, list(frames)])
            taken = [nothing if i is None else actions[row, i] for i in taken]
            np.testing.assert_array_equal(states[t]["actions"][row], taken)


def test_a_stale_state_does_not_matter_at_an_episodes_start(networks):
    policy = make_policy(networks, keep_features=True)
    state = tf.nest.map_structure(lambda x: x + 5.0, policy.get_initial_state(2))
    fresh = policy.action(time_step(0), policy.get_initial_state(2))
    stale = policy.action(time_step(0), state)
    for a, b in zip(tf.nest.flatten(fresh), tf.nest.flatten(stale)):
        np.testing.assert_array_equal(a, b)


def test_a_history_of_one_frame(networks):
    encoder = networks[0]._encoder
    history = representations.FeatureHistory(encoder, fakes.ACTION_SIZE, 1)
    actor = tanh_gaussian_actor.TanhGaussianActor(history.size, fakes.ACTION_SIZE, (8,))
    actions, _ = act(make_policy((history, actor)))
    expected = [actor.mode(history.encode(tf.constant(FRAMES[:, t]))) for t in range(NUM_STEPS)]
    np.testing.assert_allclose(actions, np.stack(expected, axis=1), atol=1e-6)


def test_stochastic_actions_vary_and_stay_in_bounds(networks):
    history, _ = networks
    actor = tanh_gaussian_actor.TanhGaussianActor(history.size, fakes.ACTION_SIZE, (8,))
    fakes.make_constant(actor, [2.0, 0.0, 2.0, -1.0])
    first, _ = act(make_policy((history, actor), greedy=False))
    second, _ = act(make_policy((history, actor), greedy=False))
    assert np.all(np.abs(first) <= 1)
    assert np.any(first != second)


def test_variables_are_those_of_encoder_and_actor(networks):
    history, actor = networks
    found = {v.ref() for v in make_policy(networks).variables()}
    assert found == {v.ref() for v in (*history.variables, *actor.variables)}
    assert len(found) == 10 + 4


def test_it_acts_in_an_environment(networks):
    policy = py_tf_eager_policy.PyTFEagerPolicy(make_policy(networks, greedy=False), use_tf_function=True)
    environment = fakes.CountingEnvironment(length=2)
    step, state = environment.reset(), policy.get_initial_state(1)
    for _ in range(4):
        action = policy.action(step, state)
        assert action.action.shape == (fakes.ACTION_SIZE,)
        step, state = environment.step(action.action), action.state
    # Emitted were 0, 1, 2 (last), 3 (reset), 4; the action on step 4 is still to come.
    np.testing.assert_array_equal(fakes.counts(state["frames"]).ravel(), [3, 3, 3])
