"""PlaNet's model loss (Hafner et al. 2019, Eq. 3, as the published code computes it)."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from slac_tf.losses import elbo

_UNIT_VARIANCE = 1.0


class PlanetLoss(NamedTuple):
    """Terms of the loss, per sequence: means over time, in nats.

    Attributes:
        loss: KL minus the frames' log-probability and reward_scale times the rewards', `[B] float32`.
        frame_log_prob: log p(x_t | z_t), summed over the pixels, `[B] float32`.
        reward_log_prob: log p(r_t | z_{t+1}), `[B] float32`.
        kl: KL(q || p) above the free nats, `[B] float32`.
    """

    loss: tf.Tensor
    frame_log_prob: tf.Tensor
    reward_log_prob: tf.Tensor
    kl: tf.Tensor


def planet_loss(
    *,
    frames: tf.Tensor,
    frame_means: tf.Tensor,
    rewards: tf.Tensor,
    reward_means: tf.Tensor,
    kl: tf.Tensor,
    reward_scale: float,
) -> PlanetLoss:
    """The loss. Unlike SLAC's it is a mean over time: Adam's epsilon and the clip norm are meant for that.

    Args:
        frames: `[B, T+1, 64, 64, 3] float32`.
        frame_means: Same shape.
        rewards: Of the steps from t to t+1, `[B, T] float32`; 0 where that is a reset.
        reward_means: Predicted from the states arrived at, `[B, T] float32`.
        kl: KL(q || p) of each step, above the free nats, `[B, T+1] float32`.
        reward_scale: Weight of the reward's term; 10 in the published code.

    Returns:
        The loss and its terms.
    """
    frames_log_prob = tf.reduce_mean(elbo.frame_log_prob(frames, frame_means, _UNIT_VARIANCE), axis=1)
    rewards_log_prob = tf.reduce_mean(tfp.distributions.Normal(reward_means, 1.0).log_prob(rewards), axis=1)
    kl = tf.reduce_mean(kl, axis=1)
    return PlanetLoss(kl - frames_log_prob - reward_scale * rewards_log_prob, frames_log_prob, rewards_log_prob, kl)
