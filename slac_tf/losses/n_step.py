"""Returns over several steps of a window that may cross the end of an episode."""

from typing import NamedTuple

import tensorflow as tf
from tf_agents.trajectories import time_step as ts


class NStep(NamedTuple):
    """Returns of the first steps and what is to be added to them: `returns + discount * value(s_m)`.

    Attributes:
        returns: Σ_{k<m} γ^k d_0…d_{k-1} r_k, `[B] float32`.
        discount: γ^m d_0…d_{m-1}; 0 after a termination, not after a time limit, `[B] float32`.
        steps: m, the transitions summed: n, or fewer where the episode ends before, `[B] int32`.
    """

    returns: tf.Tensor
    discount: tf.Tensor
    steps: tf.Tensor


def n_step(rewards: tf.Tensor, discounts: tf.Tensor, next_step_types: tf.Tensor, gamma: float) -> NStep:
    """Sums rewards over n transitions, or up to the episode's end.

    Args:
        rewards: Of each transition, `[B, n] float32`.
        discounts: The environment's, 0 at a true termination, `[B, n] float32`.
        next_step_types: Of the step that each transition leads to, `[B, n] int32`.
        gamma: Discount factor of an agent step.

    Returns:
        The returns.
    """
    goes_on = tf.cast(tf.not_equal(next_step_types, ts.StepType.LAST), tf.float32)
    counted = tf.math.cumprod(goes_on, axis=1, exclusive=True)  # [B, n], 1 up to the transition to the LAST step
    factors = tf.math.cumprod(gamma * discounts, axis=1, exclusive=True)  # γ^k d_0…d_{k-1}
    # What lies behind the end has no part: its factors are replaced by ones.
    through = tf.where(counted > 0.0, gamma * discounts, tf.ones_like(discounts))
    return NStep(
        returns=tf.reduce_sum(counted * factors * rewards, axis=1),
        discount=tf.reduce_prod(through, axis=1),
        steps=tf.cast(tf.reduce_sum(counted, axis=1), tf.int32),
    )
