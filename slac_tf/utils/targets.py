"""Delayed copies of networks."""

from typing import Sequence

import tensorflow as tf


def copy_periodically(
    step: tf.Tensor, period: int, sources: Sequence[tf.Variable], targets: Sequence[tf.Variable]
) -> None:
    """Copies variables where a step is a multiple of a period.

    Args:
        step: Scalar, int64.
        period: Steps between copies.
        sources: Variables.
        targets: As many, of the same shapes.
    """

    def copy() -> tf.Tensor:
        for source, target in zip(sources, targets):
            target.assign(source)
        return tf.constant(True)

    tf.cond(tf.equal(step % period, 0), copy, lambda: tf.constant(False))
