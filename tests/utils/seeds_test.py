import random

import numpy as np
import tensorflow as tf

from slac_tf.utils import seeds


def test_seeds_of_everything():
    def draw():
        return random.random(), np.random.rand(), float(tf.random.uniform([]))

    seeds.seed_everything(2**40)
    first = draw()
    seeds.seed_everything(2**40)
    assert draw() == first
    seeds.seed_everything(1)
    assert draw() != first
