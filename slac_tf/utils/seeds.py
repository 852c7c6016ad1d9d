"""The random generators of a process."""

import random

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
