import numpy as np
import pytest
import tensorflow as tf

from slac_tf.networks import layer_norm_mlp

# Layer normalization of (1, 3): mean 2, variance 1, so ∓1 over sqrt(1 + 1e-5); then tanh.
X = np.tanh(1 / np.sqrt(1 + 1e-5))


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def test_by_hand():
    net = layer_norm_mlp.LayerNormMLP(2, (2, 2), 1)
    net._first.set_weights([np.eye(2), np.zeros(2)])
    net._layers[0].set_weights([np.array([[1.0, 2.0], [1.0, 0.0]]), np.array([0.5, 0.0])])
    net._layers[1].set_weights([np.array([[3.0], [10.0]]), np.array([-1.0])])
    # ELU layer: -X + X + 0.5 and -2 X; the output is linear.
    expected = 3 * elu(0.5) + 10 * elu(-2 * X) - 1
    np.testing.assert_allclose(net(tf.constant([[1.0, 3.0]])), [[expected]], rtol=1e-5)


def test_normalization_has_a_scale_and_an_offset_to_train():
    net = layer_norm_mlp.LayerNormMLP(2, (2,), 1)
    net._first.set_weights([np.eye(2), np.zeros(2)])
    net._norm.set_weights([np.array([2.0, 3.0]), np.array([0.1, 0.2])])
    net._layers[0].set_weights([np.array([[1.0], [10.0]]), np.zeros(1)])
    z = 1 / np.sqrt(1 + 1e-5)
    expected = np.tanh(-2 * z + 0.1) + 10 * np.tanh(3 * z + 0.2)
    np.testing.assert_allclose(net(tf.constant([[1.0, 3.0]])), [[expected]], rtol=1e-5)
    assert len(net.trainable_variables) == 2 + 2 + 2


def test_what_joins_does_so_after_the_first_layer():
    net = layer_norm_mlp.LayerNormMLP(2, (2, 1), 1, joining_size=2)
    assert net._first.kernel.shape == (2, 2)
    assert net._layers[0].kernel.shape == (2 + 2, 1)
    net._first.set_weights([np.eye(2), np.zeros(2)])
    net._layers[0].set_weights([np.array([[0.0], [1.0], [2.0], [3.0]]), np.zeros(1)])
    net._layers[1].set_weights([np.ones((1, 1)), np.zeros(1)])
    # It is neither normalized nor squashed: X + 2 * 100 + 3 * 10.
    inputs = tf.constant([[1.0, 3.0]])
    np.testing.assert_allclose(net(inputs, tf.constant([[100.0, 10.0]])), [[X + 230]], rtol=1e-6)
    np.testing.assert_allclose(net(inputs, tf.constant([[100.0]]), tf.constant([[10.0]])), [[X + 230]], rtol=1e-6)


def test_the_first_layer_does_not_see_the_inputs_scale():
    net = layer_norm_mlp.LayerNormMLP(3, (8, 4), 2)
    inputs = tf.random.normal([5, 3])
    np.testing.assert_allclose(net(1000 * inputs), net(10 * inputs), atol=1e-3)


def test_initial_weights():
    net = layer_norm_mlp.LayerNormMLP(50, (60, 40), 30)
    limits = (np.sqrt(3 * 0.333 / 60), np.sqrt(3 * 0.333 / 40), np.sqrt(6 / (40 + 30)))
    for layer, limit in zip((net._first, *net._layers), limits):
        kernel, bias = layer.get_weights()
        assert 0.95 * limit < np.max(np.abs(kernel)) <= limit
        assert not np.any(bias)


def test_the_output_is_small_at_a_small_scale():
    inputs = 10 * tf.random.normal([100, 5])
    outputs = layer_norm_mlp.LayerNormMLP(5, (16, 16), 2, output_scale=1e-4)(inputs).numpy()
    assert 0 < np.max(np.abs(outputs)) < 0.1
    kernel, bias = layer_norm_mlp.LayerNormMLP(5, (16, 400), 40, output_scale=1e-4)._layers[-1].get_weights()
    np.testing.assert_allclose(np.std(kernel), np.sqrt(1e-4 / 400), rtol=0.03)  # of the fan-in, as Acme's
    assert not np.any(bias)
    usual = layer_norm_mlp.LayerNormMLP(5, (16, 16), 2)(inputs).numpy()
    assert np.max(np.abs(outputs)) < 0.2 * np.max(np.abs(usual))


def test_at_least_one_hidden_layer():
    with pytest.raises(ValueError, match="hidden_sizes: empty, expected at least one"):
        layer_norm_mlp.LayerNormMLP(3, (), 1)
