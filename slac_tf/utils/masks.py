"""What a step may see of the steps before it, when a window crosses an episode's start."""

from typing import Any

import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types


def is_first(step_types: tf.Tensor) -> tf.Tensor:
    """Marks the first steps of episodes.

    Args:
        step_types: `[…] int32`.

    Returns:
        `[…] bool`.
    """
    return tf.equal(step_types, ts.StepType.FIRST)


def where(mask: tf.Tensor, if_true: tf_types.NestedTensor, if_false: tf_types.NestedTensor) -> Any:
    """`tf.where` on nests, with a mask of fewer dimensions, aligned with the leading ones.

    Args:
        mask: `[B, …] bool`.
        if_true: `[B, …, *]`.
        if_false: Same structure, shapes and dtypes as `if_true`.

    Returns:
        Same structure, shapes and dtypes as `if_true`.
    """

    def choose(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        ones = tf.ones([a.shape.rank - mask.shape.rank], tf.int32)
        return tf.where(tf.reshape(mask, tf.concat([tf.shape(mask), ones], axis=0)), a, b)

    return tf.nest.map_structure(choose, if_true, if_false)


def hide_before_first(features: tf.Tensor, actions: tf.Tensor, step_types: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Hides what a history holds of the episode before the last step's own.

    Frames before the first one repeat it and actions before it are zero, which is also what a policy
    sees at the start of an episode.

    Args:
        features: `[B, H, F] float32`.
        actions: `[B, H-1, A] float32`; `actions[:, h]` leads from step h to step h+1.
        step_types: `[B, H] int32`.

    Returns:
        Features `[B, H, F]` and actions `[B, H-1, A]`.
    """
    length = features.shape[1]
    steps = tf.range(length)
    first = tf.reduce_max(tf.where(is_first(step_types), steps, 0), axis=1, keepdims=True)  # [B, 1]
    features = tf.gather(features, tf.maximum(steps, first), axis=1, batch_dims=1)
    known = tf.cast(steps[: length - 1] >= first, actions.dtype)  # [B, H-1]
    return features, actions * known[..., tf.newaxis]


def history_steps(step_types: tf.Tensor, step: tf.Tensor, length: int) -> tf.Tensor:
    """Steps of a window that make up the history which a policy would have had at one of them.

    Steps before the first one of the episode repeat that one.

    Args:
        step_types: `[B, W] int32`.
        step: The history's last step, `[B] int32`, at least `length - 1`.
        length: H.

    Returns:
        Indices into the window, `[B, H] int32`.
    """
    steps = tf.range(step_types.shape[1])  # [W]
    begins = is_first(step_types) & (steps <= step[:, tf.newaxis])
    first = tf.reduce_max(tf.where(begins, steps, 0), axis=1, keepdims=True)  # [B, 1]
    return tf.maximum(step[:, tf.newaxis] + tf.range(1 - length, 1), first)


def push(history: tf.Tensor, new: tf.Tensor, begins: tf.Tensor) -> tf.Tensor:
    """Drops the oldest entry of a history for a new one; where an episode begins, repeats the new one.

    Args:
        history: `[B, H, …]`.
        new: `[B, …]`.
        begins: Whether an episode begins with the new one, `[B] bool`.

    Returns:
        `[B, H, …]`.
    """
    new = new[:, tf.newaxis]
    return where(begins, tf.repeat(new, history.shape[1], axis=1), tf.concat([history[:, 1:], new], axis=1))
