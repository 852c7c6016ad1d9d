import math

import numpy as np
import pytest
import tensorflow as tf

from slac_tf.losses import elbo

LOG_2PI = math.log(2 * math.pi)


def test_frame_log_prob_by_hand():
    # Two frames of 1x2 pixels, one channel; variance 0.1.
    frames = tf.constant([[[0.5], [1.0]], [[0.0], [0.0]]])[:, None]  # [2, 1, 2, 1]
    means = tf.constant([[[0.0], [1.0]], [[0.0], [0.3]]])[:, None]
    # log N(x | m, v) = -(x - m)² / (2 v) - ½ log(2 π v), two values a frame:
    # frame 0: -0.25 / 0.2 = -1.25; frame 1: -0.09 / 0.2 = -0.45; both - log(2 π 0.1).
    constant = LOG_2PI + math.log(0.1)
    result = elbo.frame_log_prob(frames, means, variance=0.1)
    np.testing.assert_allclose(result, [-1.25 - constant, -0.45 - constant], rtol=1e-5)


def test_frame_log_prob_sums_over_pixels_and_channels():
    frames = tf.ones([2, 3, 4, 5, 3])
    result = elbo.frame_log_prob(frames, frames, variance=1.0)
    assert result.shape == (2, 3)
    np.testing.assert_allclose(result, np.full((2, 3), -0.5 * 60 * LOG_2PI), rtol=1e-5)


@pytest.fixture
def terms():
    return dict(
        frame_log_probs=tf.constant([[1.0, 2.0, 3.0], [0.0, 0.0, -4.0]]),
        rewards=tf.constant([[1.0, 0.0], [5.0, 2.0]]),
        reward_means=tf.constant([[0.0, 0.0], [5.0, 1.0]]),
        reward_stds=tf.constant([[1.0, 2.0], [1.0, 0.5]]),
        reward_mask=tf.ones([2, 2]),
        kl={"z1": tf.constant([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]), "z2": tf.constant([[0.0] * 3, [2.0] * 3])},
    )


def test_elbo_by_hand(terms):
    result = elbo.elbo(**terms)
    np.testing.assert_allclose(result.frame_log_prob, [6.0, -4.0])
    # -½ (r - m)² / s² - log s - ½ log 2π, two transitions a sequence:
    # sequence 0: -0.5 and -log 2; sequence 1: 0 and -½ (1 / 0.5)² - log 0.5 = -2 + log 2.
    rewards = [-0.5 - math.log(2) - LOG_2PI, -2 + math.log(2) - LOG_2PI]
    np.testing.assert_allclose(result.reward_log_prob, rewards, rtol=1e-5)
    np.testing.assert_allclose(result.kl["z1"], [1.0, 1.0])
    np.testing.assert_allclose(result.kl["z2"], [0.0, 6.0])
    np.testing.assert_allclose(result.loss, [1.0 - 6.0 - rewards[0], 7.0 + 4.0 - rewards[1]], rtol=1e-5)


def test_rewards_of_resets_do_not_count(terms):
    terms["reward_mask"] = tf.constant([[1.0, 0.0], [0.0, 0.0]])
    result = elbo.elbo(**terms)
    np.testing.assert_allclose(result.reward_log_prob, [-0.5 - 0.5 * LOG_2PI, 0.0], rtol=1e-5)
    np.testing.assert_allclose(result.loss, [-5.0 + 0.5 + 0.5 * LOG_2PI, 11.0], rtol=1e-5)


def test_a_model_without_kl(terms):
    terms["kl"] = {}
    result = elbo.elbo(**terms)
    np.testing.assert_allclose(result.loss, -result.frame_log_prob - result.reward_log_prob, rtol=1e-6)


def test_a_state_that_is_observed(terms):
    without = elbo.elbo(**terms)
    assert without.state_log_prob is None
    # Log N(s | m, diag(s²)): -½ ((3 - 1) / 2)² - log 2 and -½ (1 / 0.5)² - log 0.5, and twice -½ log 2π.
    log_prob = elbo.state_log_prob(tf.constant([[3.0, 1.0]]), tf.constant([[1.0, 0.0]]), tf.constant([[2.0, 0.5]]))
    np.testing.assert_allclose(log_prob, [-0.5 - 2.0 - 2 * 0.5 * math.log(2 * math.pi)], rtol=1e-5)
    result = elbo.elbo(**terms, state_log_probs=tf.constant([[1.0, 2.0, 4.0], [-1.0, 0.0, 0.5]]))
    np.testing.assert_allclose(result.state_log_prob, [7.0, -0.5])
    np.testing.assert_allclose(result.loss, without.loss - [7.0, -0.5], rtol=1e-5)
