"""The evidence lower bound of a sequence of frames and rewards (Eqs. 6 and 9)."""

import math
from typing import Mapping, NamedTuple, Optional

import tensorflow as tf
import tensorflow_probability as tfp


class Elbo(NamedTuple):
    """Terms of the bound, per sequence, in nats.

    Attributes:
        loss: -(frame + reward + state log-probability - sum of KLs), `[B] float32`.
        frame_log_prob: Sum over time and pixels of log p(x_t | z_t), `[B] float32`.
        reward_log_prob: Sum over the transitions inside episodes of log p(r_t | ·), `[B] float32`.
        kl: Sum over time of each layer's KL(q || p), `[B] float32`.
        state_log_prob: Sum over time and dimensions of log p(s_t | z_t), `[B] float32`; None without a state.
    """

    loss: tf.Tensor
    frame_log_prob: tf.Tensor
    reward_log_prob: tf.Tensor
    kl: Mapping[str, tf.Tensor]
    state_log_prob: Optional[tf.Tensor] = None


def frame_log_prob(frames: tf.Tensor, means: tf.Tensor, variance: float) -> tf.Tensor:
    """Log N(x | mean, variance I), summed over the pixels of each frame.

    Args:
        frames: `[…, H, W, C] float32`.
        means: Same shape.
        variance: Of each pixel's channel; 0.1 in the paper.

    Returns:
        `[…] float32`.
    """
    num_values = frames.shape[-3] * frames.shape[-2] * frames.shape[-1]
    constant = 0.5 * num_values * math.log(2.0 * math.pi * variance)
    # One sum along the last axis of a matrix: its gradient takes half the passes over the pixels.
    errors = tf.reshape(means - frames, [-1, num_values])
    squared_errors = tf.reshape(tf.reduce_sum(errors * errors, axis=1), tf.shape(means)[:-3])
    return tf.ensure_shape(-0.5 / variance * squared_errors - constant, means.shape[:-3])


def state_log_prob(states: tf.Tensor, means: tf.Tensor, stds: tf.Tensor) -> tf.Tensor:
    """Log N(s | mean, std² I), summed over the dimensions of each state.

    Args:
        states: `[…, S] float32`.
        means: Same shape.
        stds: Same shape.

    Returns:
        `[…] float32`.
    """
    return tfp.distributions.MultivariateNormalDiag(means, stds).log_prob(states)


def elbo(
    *,
    frame_log_probs: tf.Tensor,
    rewards: tf.Tensor,
    reward_means: tf.Tensor,
    reward_stds: tf.Tensor,
    reward_mask: tf.Tensor,
    kl: Mapping[str, tf.Tensor],
    state_log_probs: Optional[tf.Tensor] = None,
) -> Elbo:
    """J_M, Eq. (9), as the negative bound: the equation is printed without the minus sign.

    Args:
        frame_log_probs: log p(x_t | z_t), `[B, T+1] float32`.
        rewards: `[B, T] float32`.
        reward_means: Mean of p(r_t | z_t, a_t, z_{t+1}), `[B, T] float32`.
        reward_stds: Its standard deviation, `[B, T] float32`.
        reward_mask: 1 where the transition is the environment's own, 0 where it is a reset, `[B, T] float32`.
        kl: KL(q || p) of each layer, `[B, T+1] float32`.
        state_log_probs: log p(s_t | z_t), `[B, T+1] float32`; None where no state is observed.

    Returns:
        The loss to minimise and its terms, per sequence.
    """
    frame_term = tf.reduce_sum(frame_log_probs, axis=1)
    reward_log_probs = tfp.distributions.Normal(reward_means, reward_stds).log_prob(rewards)
    reward_term = tf.reduce_sum(reward_log_probs * reward_mask, axis=1)
    kl_terms = {layer: tf.reduce_sum(values, axis=1) for layer, values in kl.items()}
    loss = sum(kl_terms.values()) - frame_term - reward_term  # J_M, Eq. (9)
    if state_log_probs is None:
        return Elbo(loss, frame_term, reward_term, kl_terms)
    state_term = tf.reduce_sum(state_log_probs, axis=1)
    return Elbo(loss - state_term, frame_term, reward_term, kl_terms, state_term)
