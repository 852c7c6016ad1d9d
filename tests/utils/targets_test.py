import numpy as np
import pytest
import tensorflow as tf

from slac_tf.utils import targets


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def copy(request):
    return tf.function(targets.copy_periodically) if request.param else targets.copy_periodically


def test_copies_at_multiples_of_the_period(copy):
    step = tf.Variable(0, dtype=tf.int64)
    sources, copies = (
        [tf.Variable(0.0), tf.Variable([0.0, 0.0])],
        [tf.Variable(-1.0), tf.Variable([-1.0, -1.0])],
    )
    found = []
    for i in range(7):
        step.assign(i)
        sources[0].assign(10.0 + i)
        sources[1].assign([20.0 + i, 30.0 + i])
        copy(step, 3, sources, copies)
        found.append([float(copies[0]), *copies[1].numpy()])
    # Steps 0, 3 and 6 copy; between them the copies stay behind.
    np.testing.assert_array_equal(found, [[10 + i, 20 + i, 30 + i] for i in (0, 0, 0, 3, 3, 3, 6)])


def test_a_period_of_one_copies_every_time(copy):
    source, target = tf.Variable(0.0), tf.Variable(-1.0)
    for i in range(3):
        source.assign(float(i))
        copy(tf.constant(i, tf.int64), 1, [source], [target])
        assert float(target) == i


def test_the_sources_stay_as_they_are():
    source, target = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])
    targets.copy_periodically(tf.constant(0, tf.int64), 2, [source], [target])
    np.testing.assert_array_equal(source, [1.0, 2.0])
    target.assign([5.0, 5.0])  # a copy, not the same memory
    np.testing.assert_array_equal(source, [1.0, 2.0])
