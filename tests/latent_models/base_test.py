"""What every latent model has in common, seen on the two-layer model."""

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.latent_models import heads

LENGTH = 5  # T+1
FEATURE_SIZE = 8


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(1)
    return fakes.TwoLayerModel(action_size=fakes.ACTION_SIZE)


@pytest.fixture
def window():
    """Features and actions `[2, T+1, …]`."""
    random = np.random.RandomState(0)
    return (
        random.normal(size=(2, LENGTH, FEATURE_SIZE)).astype(np.float32),
        random.uniform(-1, 1, (2, LENGTH, fakes.ACTION_SIZE)).astype(np.float32),
    )


def unroll(model, features, actions, step_types):
    """Posterior and prior with the same noise at every call."""
    tf.random.set_seed(3)
    actions = tf.constant(actions)
    posterior = model.posterior(tf.constant(features), actions, tf.constant(step_types))
    return posterior, model.prior(posterior, actions, tf.constant(step_types))


def differs(a, b):
    """For each step `[B, T+1]`: does anything of the two states differ?"""
    parts = zip(tf.nest.flatten(a), tf.nest.flatten(b))
    return np.any([np.any(x.numpy() != y.numpy(), axis=-1) for x, y in parts], axis=0)


def test_shapes_and_the_vector_of_samples(model, window):
    posterior, prior = unroll(model, *window, [[MID] * LENGTH] * 2)
    for state in (posterior, prior):
        assert {name: layer["sample"].shape[-1] for name, layer in state.items()} == {"z1": 3, "z2": 4}
        assert all(x.shape[:2] == (2, LENGTH) for x in tf.nest.flatten(state))
    vector = model.vector(posterior)
    assert vector.shape == (2, LENGTH, model.latent_size) == (2, LENGTH, 7)
    np.testing.assert_array_equal(vector[..., :3], posterior["z1"]["sample"])
    np.testing.assert_array_equal(vector[..., 3:], posterior["z2"]["sample"])
    assert model.decode(vector).shape == (2, LENGTH, 64, 64, 3)
    assert [x.shape for x in model.reward(vector, window[1])] == [(2, LENGTH - 1)] * 2


def test_the_priors_samples_are_the_posteriors(model, window):
    posterior, prior = unroll(model, *window, [[MID] * LENGTH, [MID, LAST, FIRST, MID, MID]])
    for layer in posterior:
        np.testing.assert_array_equal(prior[layer]["sample"], posterior[layer]["sample"])


# Row 0 restarts at step 2; row 1 has no reset there.
RESET = [[MID, LAST, FIRST, MID, MID], [MID] * LENGTH]
NO_RESET = [[MID] * LENGTH] * 2


@pytest.mark.parametrize("changed", ["first frame", "last frame before", "action before", "action of the reset"])
def test_nothing_crosses_a_reset(model, window, changed):
    features, actions = (x.copy() for x in window)
    before = unroll(model, features, actions, RESET)
    before_control = unroll(model, features, actions, NO_RESET)
    array, step = {
        "first frame": (features, 0),
        "last frame before": (features, 1),
        "action before": (actions, 0),
        "action of the reset": (actions, 1),  # leads from LAST to FIRST
    }[changed]
    array[:, step] += 1.0
    for old, new in zip(before, unroll(model, features, actions, RESET)):
        assert not np.any(differs(old, new)[0, 2:])
        assert np.all(differs(old, new)[1, 2:])  # another row's reset is not this row's
    for old, new in zip(before_control, unroll(model, features, actions, NO_RESET)):
        assert np.all(differs(old, new)[:, 2:])


def test_the_last_action_and_later_frames_are_not_looked_at(model, window):
    features, actions = (x.copy() for x in window)
    before = unroll(model, features, actions, NO_RESET)
    features[:, 3] += 1.0
    actions[:, 4] += 1.0
    for old, new in zip(before, unroll(model, features, actions, NO_RESET)):
        assert not np.any(differs(old, new)[:, :3])
    # A frame changes the posterior of its step; of the priors only those of the steps after.
    posterior, prior = unroll(model, features, actions, NO_RESET)
    assert np.any(posterior["z1"]["loc"][:, 3] != before[0]["z1"]["loc"][:, 3])
    np.testing.assert_array_equal(prior["z1"]["loc"][:, 3], before[1]["z1"]["loc"][:, 3])
    assert np.any(prior["z1"]["loc"][:, 4] != before[1]["z1"]["loc"][:, 4])


def test_gradients_do_not_cross_a_reset_and_stay_finite(model, window):
    features, actions = (tf.constant(x) for x in window)
    with tf.GradientTape() as tape:
        tape.watch([features, actions])
        posterior = model.posterior(features, actions, tf.constant(RESET))
        prior = model.prior(posterior, actions, tf.constant(RESET))
        loss = tf.reduce_sum(model.kl(posterior, prior, tf.constant(RESET))["z1"][:, 2:])
    by_features, by_actions = (g.numpy() for g in tape.gradient(loss, [features, actions]))
    assert np.all(np.isfinite(by_features)) and np.all(np.isfinite(by_actions))
    assert not np.any(by_features[0, :2])
    assert not np.any(by_actions[0, :2])
    assert np.all(np.any(by_features[0, 2:], axis=-1))
    assert np.all(np.any(by_features[1], axis=-1))


def test_a_reset_gives_the_state_that_a_window_beginning_there_has(model, window, monkeypatch):
    monkeypatch.setattr(heads, "_noise", tf.zeros)
    features, actions = window
    whole = unroll(model, features, actions, RESET)
    tail = unroll(model, features[:, 2:], actions[:, 2:], [row[2:] for row in RESET])
    for long, short in zip(whole, tail):
        for a, b in zip(tf.nest.flatten(long), tf.nest.flatten(short)):
            np.testing.assert_allclose(a[0, 2:], b[0], atol=1e-6)


def test_the_first_step_of_a_window_starts_afresh_whatever_its_type(model, window, monkeypatch):
    monkeypatch.setattr(heads, "_noise", tf.zeros)
    mid = unroll(model, *window, NO_RESET)
    first = unroll(model, *window, [[FIRST, MID, MID, MID, MID]] * 2)
    for a, b in zip(tf.nest.flatten(mid), tf.nest.flatten(first)):
        np.testing.assert_array_equal(a, b)


def open_loop(model, features, actions, context_frames):
    tf.random.set_seed(5)
    return model.open_loop(tf.constant(features), tf.constant(actions), context_frames)


@pytest.mark.parametrize("context_frames", range(LENGTH + 1))
def test_open_loop_uses_as_many_frames_as_it_is_given(model, window, context_frames):
    features, actions = window
    before = open_loop(model, features, actions, context_frames)
    for step in range(LENGTH):
        changed = features.copy()
        changed[:, step] += 1.0
        after = open_loop(model, changed, actions, context_frames)
        used = step < context_frames
        np.testing.assert_array_equal(differs(before, after)[0], [used and t >= step for t in range(LENGTH)])


def test_open_loop_follows_the_actions(model, window):
    features, actions = (x.copy() for x in window)
    before = open_loop(model, features, actions, 1)
    actions[:, 2] += 1.0
    np.testing.assert_array_equal(differs(before, open_loop(model, features, actions, 1))[0], [0, 0, 0, 1, 1])


def test_open_loop_with_all_frames_is_the_posterior(model, window, monkeypatch):
    monkeypatch.setattr(heads, "_noise", tf.zeros)
    posterior, _ = unroll(model, *window, NO_RESET)
    for a, b in zip(tf.nest.flatten(posterior), tf.nest.flatten(open_loop(model, *window, LENGTH))):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("context_frames", [-1, LENGTH + 1])
def test_open_loop_refuses_more_frames_than_there_are(model, window, context_frames):
    with pytest.raises(ValueError, match=f"context_frames: {context_frames}, expected 0 to {LENGTH}"):
        open_loop(model, *window, context_frames)


def no_noise(monkeypatch):
    monkeypatch.setattr(heads, "_noise", tf.zeros)


def test_imagined_steps_are_the_priors(model, window, monkeypatch):
    no_noise(monkeypatch)
    features, actions = (tf.constant(x) for x in window)
    state = model.first_posterior(features[:, 0])
    states, taken = model.imagine(state, actions[:, :3], 3)
    np.testing.assert_array_equal(taken, actions[:, :3])
    for t in range(3):
        state = model.prior_step(state, actions[:, t])
        for expected, found in zip(tf.nest.flatten(state), tf.nest.flatten(states)):
            np.testing.assert_array_equal(found[:, t], expected)


def test_a_policy_imagines_with_the_latent_before_each_action(model, window, monkeypatch):
    no_noise(monkeypatch)
    state = model.first_posterior(tf.constant(window[0][:, 0]))
    states, taken = model.imagine(state, lambda latent: tf.tanh(latent[:, : fakes.ACTION_SIZE]), 3)
    before = tf.concat([model.vector(state)[:, tf.newaxis], model.vector(states)[:, :-1]], axis=1)
    np.testing.assert_array_equal(taken, tf.tanh(before[..., : fakes.ACTION_SIZE]))
    given, _ = model.imagine(state, taken, 3)  # the same actions, given
    for a, b in zip(tf.nest.flatten(states), tf.nest.flatten(given)):
        np.testing.assert_array_equal(a, b)
