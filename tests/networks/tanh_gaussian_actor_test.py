import fakes
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.networks import tanh_gaussian_actor

MEAN = np.array([0.3, -0.8])
LOG_STD = np.array([-0.5, 0.2])


@pytest.fixture
def actor():
    actor = tanh_gaussian_actor.TanhGaussianActor(3, 2, (4,))
    fakes.make_constant(actor, [*MEAN, *LOG_STD])
    return actor


def log_prob(action, mean, log_std):
    """Of a = tanh(u), u ~ N(mean, std): log N(u) - log |da/du|, and da/du = 1 - tanh(u)² = 1 - a²."""
    u = np.arctanh(action)
    gaussian = -0.5 * ((u - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    return np.sum(gaussian - np.log(1 - action**2), axis=-1)


def test_log_prob_by_hand(actor):
    actions = np.array([[0.5, -0.2], [-0.9, 0.99]])
    distribution = actor(tf.zeros([2, 3]))
    assert distribution.batch_shape == (2,)
    assert distribution.event_shape == (2,)
    expected = log_prob(actions, MEAN, LOG_STD)
    np.testing.assert_allclose(distribution.log_prob(tf.constant(actions, tf.float32)), expected, rtol=1e-4)


def test_log_prob_of_its_own_samples(actor):
    actions, log_probs = actor(tf.zeros([50, 3])).experimental_sample_and_log_prob()
    assert np.all(np.abs(actions) < 1)
    expected = log_prob(actions.numpy().astype(np.float64), MEAN, LOG_STD)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-2, atol=1e-2)  # arctanh of float32 near 1


def test_mode_is_the_tanh_of_the_mean(actor):
    np.testing.assert_allclose(actor.mode(tf.zeros([1, 3]))[0], np.tanh(MEAN), rtol=1e-6)


@pytest.mark.parametrize(("log_std", "clipped"), [(5.0, 2.0), (-30.0, -20.0)])
def test_log_std_is_clipped(actor, log_std, clipped):
    fakes.make_constant(actor, [0.0, 0.0, log_std, log_std])
    std = actor(tf.zeros([1, 3])).distribution.stddev()
    np.testing.assert_allclose(std, np.full((1, 2), np.exp(clipped)), rtol=1e-5)


def test_log_prob_stays_finite_where_the_action_saturates(actor):
    fakes.make_constant(actor, [40.0, -40.0, 2.0, -20.0])
    actions, log_probs = actor(tf.zeros([20, 3])).experimental_sample_and_log_prob()
    assert np.all(np.isfinite(log_probs))
    assert np.all(np.abs(actions) <= 1)


def test_samples_are_reparameterised(actor):
    with tf.GradientTape() as tape:
        action, log_probs = actor(tf.zeros([1, 3])).experimental_sample_and_log_prob()
    bias = actor._mlp._layers[-1].bias
    gradient = tape.gradient([tf.reduce_sum(action), log_probs], bias)
    assert np.all(gradient.numpy() != 0)
