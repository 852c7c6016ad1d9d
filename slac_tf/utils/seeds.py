"""The random generators of a process."""

import random
from typing import Optional

import numpy as np
import tensorflow as tf


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow.

    Args:
        seed: At least 0.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    tf.random.set_seed(seed)


def of_draw() -> Optional[int]:
    """What a draw of TensorFlow without a seed of its own is to have as `seed`.

    In eager mode TensorFlow builds a kernel of 43 kB for each draw without a seed, and keeps it; draws with one seed
    share a kernel and go on in its sequence. In a graph they would all be the same.
    """
    return 0 if tf.executing_eagerly() else None
