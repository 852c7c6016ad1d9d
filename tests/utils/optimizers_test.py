import numpy as np
import pytest
import tensorflow as tf

from slac_tf.utils import optimizers


def moments(optimizer, variable):
    return [optimizer.get_slot(variable, name).numpy() for name in ("m", "v")]


def test_moments_are_there_before_the_first_step():
    variables = [tf.Variable([1.0, 2.0]), tf.Variable(3.0)]
    optimizer = optimizers.adam(0.1, variables)
    assert len(optimizer.variables()) == 1 + 2 * 2  # iterations, two moments each
    for variable in variables:
        for moment in moments(optimizer, variable):
            np.testing.assert_array_equal(moment, np.zeros(variable.shape))
    optimizer.apply_gradients([(tf.ones_like(v), v) for v in variables])
    assert len(optimizer.variables()) == 1 + 2 * 2
    assert len(optimizers.adam(0.1).variables()) <= 1  # no variables, no moments


@pytest.mark.parametrize("gradient", [1.0, -3.0, 1e-6])
def test_first_step_by_hand(gradient):
    variable = tf.Variable(5.0)
    optimizers.adam(0.1, [variable]).apply_gradients([(tf.constant(gradient), variable)])
    # TensorFlow 1's epsilon stands beside the uncorrected second moment: m = 0.1 g, v = 0.001 g².
    rate = 0.1 * np.sqrt(1 - 0.999) / (1 - 0.9)
    expected = rate * 0.1 * gradient / (np.sqrt(0.001) * abs(gradient) + 1e-8)
    assert 5.0 - float(variable) == pytest.approx(expected, rel=1e-4)
    if gradient == 1e-6:
        assert expected < 0.08  # where epsilon counts


@pytest.mark.parametrize(
    ("clip_norm", "expected"),
    [
        (None, (3.0, 4.0)),
        (1.0, (0.6, 0.8)),  # the norm of both together is 5
        (10.0, (3.0, 4.0)),
    ],
)
def test_gradients_are_clipped_by_their_common_norm(clip_norm, expected):
    variables = [tf.Variable(0.0), tf.Variable(0.0)]
    optimizer = optimizers.adam(0.1, variables, clip_norm)
    optimizer.apply_gradients(zip([tf.constant(3.0), tf.constant(4.0)], variables))
    first = [moments(optimizer, variable)[0] for variable in variables]
    np.testing.assert_allclose(first, 0.1 * np.array(expected), rtol=1e-5)


def test_a_checkpoint_read_before_training_brings_the_moments_back(tmp_path):
    variable = tf.Variable([1.0, 2.0])
    optimizer = optimizers.adam(0.1, [variable])
    optimizer.apply_gradients([(tf.constant([1.0, -2.0]), variable)])
    path = tf.train.Checkpoint(variable=variable, optimizer=optimizer).write(str(tmp_path / "adam"))
    other = tf.Variable([0.0, 0.0])
    restored = optimizers.adam(0.1, [other])
    tf.train.Checkpoint(variable=other, optimizer=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(other, variable)
    assert int(restored.iterations) == 1
    np.testing.assert_array_equal(moments(restored, other), moments(optimizer, variable))
