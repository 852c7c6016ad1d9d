"""The deterministic policy gradient as a loss (Silver et al. 2014)."""

import tensorflow as tf


def actor_loss(actions: tf.Tensor, action_gradients: tf.Tensor, clip_norm: float) -> tf.Tensor:
    """A loss whose gradient with respect to the action is -∂Q/∂a, scaled to a norm at the most.

    Args:
        actions: The actor's, `[B, A] float32`.
        action_gradients: ∂Q/∂a at them, `[B, A] float32`.
        clip_norm: Greatest norm of one state's gradient.

    Returns:
        `[B] float32`; its value, -a ∂Q/∂a, has no meaning beyond its gradient.
    """
    clipped = tf.stop_gradient(tf.clip_by_norm(action_gradients, clip_norm, axes=[-1]))
    return -tf.reduce_sum(actions * clipped, axis=-1)
