"""PlaNet's loss on values made by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from slac_tf.losses import planet

B, T = 2, 3
LOG_2_PI = math.log(2.0 * math.pi)
RANDOM = np.random.RandomState(0)
INPUTS = dict(
    frames=RANDOM.uniform(size=(B, T + 1, 64, 64, 3)).astype(np.float32),
    frame_means=RANDOM.uniform(size=(B, T + 1, 64, 64, 3)).astype(np.float32),
    rewards=RANDOM.normal(size=(B, T)).astype(np.float32),
    reward_means=RANDOM.normal(size=(B, T)).astype(np.float32),
    kl=RANDOM.uniform(size=(B, T + 1)).astype(np.float32),
)


def loss(reward_scale=10.0, **inputs):
    return planet.planet_loss(**{**INPUTS, **inputs}, reward_scale=reward_scale)


def test_terms_by_hand():
    found = loss()
    squares = np.sum((INPUTS["frames"] - INPUTS["frame_means"]) ** 2, axis=(2, 3, 4))
    expected = -np.mean(0.5 * squares + 6144 * LOG_2_PI, axis=1)
    np.testing.assert_allclose(found.frame_log_prob, expected, rtol=1e-6)
    errors = (INPUTS["rewards"] - INPUTS["reward_means"]) ** 2
    np.testing.assert_allclose(found.reward_log_prob, -np.mean(0.5 * errors + 0.5 * LOG_2_PI, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.kl, np.mean(INPUTS["kl"], axis=1), rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_sum(scale):
    # 12,288 values each 0.1 off, rewards 2 off, a KL of 4 at one of four steps.
    frames, ones = np.zeros((1, 4, 64, 64, 3), np.float32), np.ones((1, 3), np.float32)
    kl = np.float32([[0, 4, 0, 0]])
    found = loss(scale, frames=frames, frame_means=frames + 0.1, rewards=ones, reward_means=3 * ones, kl=kl)
    expected = (0.5 * 12288 * 0.01 + 6144 * LOG_2_PI) + scale * (0.5 * 4 + 0.5 * LOG_2_PI) + 1.0
    np.testing.assert_allclose(found.loss, [expected], rtol=1e-6)


def total_and_gradients(**inputs):
    """Of the batch's loss, with gradients by an offset of all frames, rewards and KLs."""
    offset = tf.zeros([])
    with tf.GradientTape() as tape:
        tape.watch(offset)
        moved = {name: inputs[name] + offset for name in ("frame_means", "reward_means", "kl")}
        total = tf.reduce_mean(loss(**{**inputs, **moved}).loss)
    return float(total), float(tape.gradient(total, offset))


def test_it_is_a_mean_over_time():
    repeated = {name: np.repeat(value, 2, axis=1) for name, value in INPUTS.items()}
    once, twice = (total_and_gradients(**inputs) for inputs in (INPUTS, repeated))
    np.testing.assert_allclose(twice, once, rtol=1e-5)  # a sum would be twice as much
