import numpy as np
import tensorflow as tf

from slac_tf.networks import mlp


def test_hand_worked():
    net = mlp.MLP(2, (2,), 1, tf.nn.relu)
    hidden, output = net._layers
    hidden.set_weights([np.array([[1.0, -1.0], [2.0, 0.0]]), np.array([0.5, 0.0])])
    output.set_weights([np.array([[3.0], [7.0]]), np.array([-20.0])])
    # Hidden: relu(1*1 + 2*2 + 0.5) = 5.5, relu(-1) = 0. Output, linear: 3 * 5.5 - 20 = -3.5.
    np.testing.assert_allclose(net(tf.constant([[1.0]]), tf.constant([[2.0]])), [[-3.5]])


def test_weights_are_glorot_uniform_and_biases_zero():
    net = mlp.MLP(100, (60,), 40, tf.nn.relu)
    for layer, inputs, outputs in zip(net._layers, (100, 60), (60, 40)):
        kernel, bias = layer.get_weights()
        limit = np.sqrt(6 / (inputs + outputs))
        assert 0.98 * limit < np.max(np.abs(kernel)) <= limit
        assert not np.any(bias)


def test_leading_dimensions_are_kept():
    assert mlp.MLP(3, (4,), 5, tf.nn.relu)(tf.zeros([2, 6, 1]), tf.zeros([2, 6, 2])).shape == (2, 6, 5)
