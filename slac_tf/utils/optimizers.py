"""The one optimizer of all agents, with its moments made before the first step."""

from typing import Iterable, Optional

import tensorflow as tf


def adam(
    learning_rate: float, variables: Iterable[tf.Variable] = (), clip_norm: Optional[float] = None
) -> tf.keras.optimizers.Optimizer:
    """Adam with TensorFlow 1's epsilon, 1e-8.

    Args:
        learning_rate: Its learning rate.
        variables: Their moments are made now, so that a checkpoint restored before training finds them.
        clip_norm: Gradients are scaled to this global norm at the most.

    Returns:
        The optimizer.
    """
    # The legacy class updates each variable with one fused operation.
    optimizer = tf.keras.optimizers.legacy.Adam(learning_rate, epsilon=1e-8, global_clipnorm=clip_norm)
    optimizer._create_all_weights(list(variables))
    return optimizer
