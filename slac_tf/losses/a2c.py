"""Advantage actor-critic (Mnih et al. 2016, Section 4), on windows that may cross the end of an episode."""

import tensorflow as tf
from tf_agents.trajectories import time_step as ts


def n_step_returns(
    rewards: tf.Tensor,
    discounts: tf.Tensor,
    next_step_types: tf.Tensor,
    next_values: tf.Tensor,
    gamma: float,
    num_steps: int,
) -> tf.Tensor:
    """Returns up to the end of each piece of n transitions, and the value of the step where it ends.

    An episode that ends inside a piece ends the returns: with nothing after a termination, with the value of its last
    step after a time limit. What stands at a transition between two episodes has no meaning.

    Args:
        rewards: Of each transition, `[B, T] float32`.
        discounts: The environment's, 0 at a true termination, `[B, T] float32`.
        next_step_types: Of the step that each transition leads to, `[B, T] int32`.
        next_values: Of that step, `[B, T] float32`.
        gamma: Discount factor of an agent step.
        num_steps: n; where it does not divide T, the last piece is shorter.

    Returns:
        R_t = r_t + γ d_t R_{t+1}, or r_t + γ d_t V(s_{t+1}) at the end of a piece or an episode, `[B, T] float32`.
    """
    length = rewards.shape[1]
    ends_piece = [t + 1 == length or (t + 1) % num_steps == 0 for t in range(length)]
    ends = tf.equal(next_step_types, ts.StepType.LAST) | tf.constant(ends_piece)  # [B, T]

    def earlier(following: tf.Tensor, transition: tf.Tensor) -> tf.Tensor:
        reward, discount, end, value = transition
        return reward + gamma * discount * tf.where(end, value, following)

    by_time = tf.nest.map_structure(tf.transpose, (rewards, discounts, ends, next_values))  # [T, B]
    return tf.transpose(tf.scan(earlier, by_time, tf.zeros_like(rewards[:, 0]), reverse=True))


def policy_loss(log_prob: tf.Tensor, returns: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """-log π(a) (R - V), the advantage without a gradient.

    Args:
        log_prob: log π of the actions that were taken, `[B, T] float32`.
        returns: `[B, T] float32`.
        values: `[B, T] float32`.

    Returns:
        `[B, T] float32`.
    """
    return -log_prob * tf.stop_gradient(returns - values)


def value_loss(returns: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """(R - V)², the return without a gradient.

    Args:
        returns: `[B, T] float32`.
        values: `[B, T] float32`.

    Returns:
        `[B, T] float32`.
    """
    return (tf.stop_gradient(returns) - values) ** 2
