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


def test_layer_normalization_stands_before_the_activation():
    net = mlp.MLP(2, (2,), 1, tf.nn.relu, layer_norm=True)
    hidden, norm, _, output = net._layers
    hidden.set_weights([np.eye(2), np.zeros(2)])
    norm.set_weights([np.array([2.0, 3.0]), np.array([4.0, 0.5])])
    output.set_weights([np.array([[1.0], [10.0]]), np.array([-1.0])])
    # (1, 3) has mean 2 and variance 1, so ∓z with z = 1 / sqrt(1 + 1e-5): relu(4 - 2z) + 10 relu(0.5 + 3z) - 1.
    # Normalized after the activation, or without scale and offset, it would be another number.
    z = 1 / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(net(tf.constant([[1.0, 3.0]])), [[(4 - 2 * z) + 10 * (0.5 + 3 * z) - 1]], rtol=1e-5)
    # And (3, 1): the second one's relu(0.5 - 3z) is 0.
    np.testing.assert_allclose(net(tf.constant([[3.0, 1.0]])), [[4 + 2 * z - 1]], rtol=1e-5)


def test_every_hidden_layer_is_normalized_and_the_output_is_not():
    net = mlp.MLP(2, (3, 5), 4, tf.nn.relu, layer_norm=True)
    shapes = [tuple(v.shape) for v in net.trainable_variables]
    assert shapes == [(2, 3), (3,), (3,), (3,), (3, 5), (5,), (5,), (5,), (5, 4), (4,)]
    x = tf.random.normal([6, 2])
    np.testing.assert_allclose(net(1e3 * x), net(1e4 * x), rtol=1e-3, atol=1e-3)  # their scale is lost


def test_redrawn_weights_are_new_initial_values():
    tf.random.set_seed(0)
    net = mlp.MLP(100, (60,), 40, tf.nn.relu, layer_norm=True)
    first, norm, _, last = net._layers
    begun, found = [first.kernel.numpy()], []
    redraw = tf.function(net.redraw)
    for _ in range(2):
        for variable in net.variables:
            variable.assign(variable + 5.0)
        redraw()
        found.append(first.kernel.numpy())
        for layer, inputs, outputs in ((first, 100, 60), (last, 60, 40)):
            kernel, bias = layer.get_weights()
            limit = np.sqrt(6 / (inputs + outputs))
            assert 0.98 * limit < np.max(kernel) <= limit and 0.98 * limit < -np.min(kernel) <= limit
            assert not np.any(bias)
        np.testing.assert_array_equal(norm.gamma, np.ones(60))
        np.testing.assert_array_equal(norm.beta, np.zeros(60))
    # New ones each time, not the first ones again.
    for a, b in ((begun[0], found[0]), (found[0], found[1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06
