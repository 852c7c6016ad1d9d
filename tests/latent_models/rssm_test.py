"""PlaNet's model where its numbers are known."""

import math

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.latent_models import rssm

SIZE = 3
LENGTH = 4
ARRIVAL = dict(h_size=6, s_size=SIZE, base_depth=1, hidden_sizes=(8,), reward_hidden_sizes=(8,), reward_of_arrival=True)
RESET = tf.constant([[MID, LAST, FIRST, MID]])


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    return rssm.RSSM(fakes.ACTION_SIZE, **ARRIVAL)


def window(model):
    random = np.random.RandomState(0)
    features = random.normal(size=(1, LENGTH, model.encoder.feature_size)).astype(np.float32)
    return tf.constant(features), tf.constant(random.uniform(-1, 1, (1, LENGTH, fakes.ACTION_SIZE)), tf.float32)


def states_of_kl(*values):
    """Posterior and prior of scale 1, whose means are so far apart that the steps' KLs are `values`."""
    distances = tf.sqrt(2.0 * tf.constant([values]))[..., tf.newaxis]  # KL = ½ distance²
    loc = tf.pad(distances, [[0, 0], [0, 0], [0, SIZE - 1]])
    layer = lambda loc: {"s": {"loc": loc, "scale": tf.ones_like(loc), "sample": loc}}  # noqa: E731
    return layer(loc), layer(tf.zeros_like(loc))


def test_each_steps_kl_counts_from_three_nats_on(model):
    step_types = tf.constant([[MID, MID]])
    np.testing.assert_allclose(model.kl(*states_of_kl(5.0, 2.0), step_types)["s"], [[2.0, 0.0]], rtol=1e-5)
    # Clipped before the mean: KLs of 0 and 6 cost (0 + 3) / 2, where their mean of 3 would cost nothing.
    assert float(tf.reduce_mean(model.kl(*states_of_kl(0.0, 6.0), step_types)["s"])) == pytest.approx(1.5, rel=1e-5)


@pytest.mark.parametrize("kl, moves", [(5.0, True), (2.0, False)])
def test_below_the_free_nats_there_is_no_gradient(model, kl, moves):
    posterior, prior = states_of_kl(kl)
    with tf.GradientTape() as tape:
        tape.watch(posterior["s"]["loc"])
        total = tf.reduce_sum(model.kl(posterior, prior, tf.constant([[MID]]))["s"])
    assert bool(np.any(tape.gradient(total, posterior["s"]["loc"]))) == moves


@pytest.mark.parametrize("delta", [0.0, 0.7])
def test_kl_of_a_shifted_mean(delta):
    model = rssm.RSSM(fakes.ACTION_SIZE, **{**ARRIVAL, "s_size": 30}, free_nats=0.0)
    bias = np.zeros(60, np.float32)
    fakes.make_constant(model._prior, bias)
    fakes.make_constant(model._posterior, bias + np.repeat(np.float32([delta, 0.0]), 30))  # means, then scales
    features, actions = window(model)
    posterior = model.posterior(features, actions, RESET)
    kl = model.kl(posterior, model.prior(posterior, actions, RESET), RESET)["s"]
    scale = math.log(2.0) + 0.1  # softplus(0) + 0.1
    np.testing.assert_allclose(kl, np.full([1, LENGTH], 30 * delta**2 / (2 * scale**2)), rtol=1e-4, atol=1e-5)


def test_h_is_that_of_zeros_where_an_episode_begins(model):
    features, actions = window(model)
    h = model.posterior(features, actions, RESET)["h"]["sample"][0]
    zeros = model.first_posterior(tf.zeros([1, model.encoder.feature_size]))["h"]["sample"][0]
    same = [np.allclose(h[t], zeros, atol=1e-6) for t in range(LENGTH)]
    assert same == [True, False, True, False]


def test_the_reward_is_of_the_state_arrived_at(model):
    random = np.random.RandomState(0)
    latents = random.normal(size=(1, 3, model.latent_size)).astype(np.float32)
    actions = random.normal(size=(1, 3, fakes.ACTION_SIZE)).astype(np.float32)
    before, scale = model.reward(latents, actions)
    np.testing.assert_array_equal(scale, np.ones([1, 2]))
    for changed, expected in ((0, [False, False]), (1, [True, False]), (2, [False, True])):
        other = latents.copy()
        other[:, changed] += 1.0
        np.testing.assert_array_equal(model.reward(other, actions)[0][0] != before[0], expected)
    np.testing.assert_array_equal(model.reward(latents, actions + 1.0)[0], before)
