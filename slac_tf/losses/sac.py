"""Soft actor-critic losses (Haarnoja et al. 2018; Eqs. 10 and 11)."""

from typing import Sequence

import tensorflow as tf


def td_target(
    *,
    reward: tf.Tensor,
    discount: tf.Tensor,
    next_qs: Sequence[tf.Tensor],
    next_log_prob: tf.Tensor,
    alpha: tf.Tensor,
    gamma: float,
) -> tf.Tensor:
    """The target inside Eq. (10): y = r + γ d (min_i Q̄_i(s', a') - α log π(a' | s')).

    Args:
        reward: `[B] float32`.
        discount: The environment's, 0 at a true termination, `[B] float32`.
        next_qs: Target critics' values of the policy's next action, `[B] float32` each.
        next_log_prob: log π(a' | s'), `[B] float32`.
        alpha: Temperature, scalar.
        gamma: Discount factor of an agent step.

    Returns:
        `[B] float32`; no gradient flows through it.
    """
    next_value = tf.reduce_min(tf.stack(next_qs), axis=0) - alpha * next_log_prob
    return tf.stop_gradient(reward + gamma * discount * next_value)


def critic_loss(qs: Sequence[tf.Tensor], target: tf.Tensor) -> tf.Tensor:
    """J_Q, Eq. (10): ½ (Q_i - y)², summed over the critics.

    Args:
        qs: `[B] float32` each.
        target: y, `[B] float32`.

    Returns:
        `[B] float32`.
    """
    return tf.add_n([0.5 * tf.math.squared_difference(q, target) for q in qs])


def actor_loss(qs: Sequence[tf.Tensor], log_prob: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """J_π, Eq. (11): α log π(a | ·) - min_i Q_i(z, a), a reparameterised.

    Args:
        qs: `[B] float32` each.
        log_prob: log π(a | ·), `[B] float32`.
        alpha: Temperature, scalar.

    Returns:
        `[B] float32`.
    """
    return tf.stop_gradient(alpha) * log_prob - tf.reduce_min(tf.stack(qs), axis=0)


def alpha_loss(log_alpha: tf.Tensor, log_prob: tf.Tensor, target_entropy: float) -> tf.Tensor:
    """The temperature's loss, log α · (-log π - H̄): raises α while the policy's entropy is under its target.

    Args:
        log_alpha: Scalar.
        log_prob: log π(a | ·), `[B] float32`.
        target_entropy: H̄, in nats.

    Returns:
        `[B] float32`.
    """
    return log_alpha * tf.stop_gradient(-log_prob - target_entropy)
