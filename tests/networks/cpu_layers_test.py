"""Weights, results and gradients are those of Keras' own layers."""

import gin
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.networks import conv, cpu_layers, encoders, planet_conv
from slac_tf.utils import images

SAME = dict(strides=2, padding="same")
# The class' name, its arguments, and shapes of inputs.
LAYERS = {
    "convolution": ("Conv2D", dict(filters=3, kernel_size=4, strides=2), [(2, 8, 8, 4), (1, 5, 7, 1)]),
    "small map": ("Conv2D", dict(filters=3, kernel_size=3, **SAME), [(2, 8, 8, 4), (3, 2, 2, 1), (2, 6, 4, 5)]),
    "large map": ("Conv2D", dict(filters=3, kernel_size=3, **SAME), [(2, 12, 10, 4), (2, 8, 12, 4), (2, 7, 8, 4)]),
    "transposed": ("Conv2DTranspose", dict(filters=3, kernel_size=5, strides=2), [(2, 4, 4, 3), (1, 1, 1, 2)]),
    "small map, transposed": (
        "Conv2DTranspose",
        dict(filters=3, kernel_size=3, **SAME),
        [(2, 4, 4, 3), (3, 1, 1, 2), (2, 2, 3, 4)],
    ),
    "large map, transposed": ("Conv2DTranspose", dict(filters=3, kernel_size=3, **SAME), [(2, 4, 5, 3), (2, 6, 3, 4)]),
    "few channels": (
        "Conv2DTranspose",
        dict(filters=3, kernel_size=5, **SAME),
        [(2, 4, 4, 3), (1, 1, 1, 2), (2, 5, 3, 4)],
    ),
    "more channels": ("Conv2DTranspose", dict(filters=5, kernel_size=5, **SAME), [(2, 4, 3, 2)]),
    "dense": ("Dense", dict(units=3), [(4, 5)]),
    "dense without a bias": ("Dense", dict(units=3, use_bias=False), [(4, 5)]),
}
CASES = [(name, shape) for name, (*_, shapes) in LAYERS.items() for shape in shapes]
NETWORKS = {
    "encoder": (lambda: conv.Encoder(4), [64, 64, 3]),
    "decoder": (lambda: conv.Decoder(6, 4), [6]),
    "planet_encoder": (lambda: planet_conv.PlanetEncoder(4), [64, 64, 3]),
    "planet_decoder": (lambda: planet_conv.PlanetDecoder(6, 4), [6]),
    "max_pool": (lambda: encoders.build_max_pool_encoder(4), [64, 64, 3]),
}


def outputs_and_gradients(function, x, variables):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
        loss = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, [2, 3]))
    return [y, *tape.gradient(loss, [x, *variables])]


def assert_equal(results, expected):
    """To 1e-5 of the largest element."""
    assert len(results) == len(expected)
    for found, wanted in zip(results, expected):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.max(np.abs(wanted)))


def layer_results(library, activation, name, shape):
    class_name, arguments, _ = LAYERS[name]
    layer = getattr(library, class_name)(activation=activation, **arguments)
    layer.build(shape)
    values = [tf.random.stateless_normal(v.shape, [4, i]) for i, v in enumerate(layer.trainable_variables)]
    layer.set_weights(values)
    return outputs_and_gradients(layer, tf.random.stateless_normal(shape, [0, 1]), layer.trainable_variables)


def with_cpu_layers(make, on, seed=3):
    gin.bind_parameter("build_convolution_policy.cpu_layers", on)
    tf.keras.backend.clear_session()  # names count from the start
    tf.keras.utils.set_random_seed(seed)
    return make()


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_layers_are_keras(name, shape):
    results = layer_results(cpu_layers, cpu_layers.leaky_relu, name, shape)
    assert_equal(results, layer_results(tf.keras.layers, tf.nn.leaky_relu, name, shape))


def shifted_kernel_gradient(large, small):
    return tf.roll(right_kernel_gradient(large, small), 1, axis=0)


def reversed_5x5(inputs, kernel):
    return right_transposed_5x5(inputs, tf.reverse(kernel, axis=[0]))


right_kernel_gradient, right_transposed_5x5 = cpu_layers._kernel_gradient, cpu_layers._transposed_5x5


@pytest.mark.parametrize(
    ("replaced", "by", "name"),
    [
        ("_kernel_gradient", shifted_kernel_gradient, "small map"),
        ("_kernel_gradient", shifted_kernel_gradient, "small map, transposed"),
        ("_transposed_5x5", reversed_5x5, "few channels"),
        ("leaky_relu", lambda inputs: tf.nn.leaky_relu(inputs, 0.21), "transposed"),
    ],
)
def test_the_comparison_finds_what_is_wrong(replaced, by, name, monkeypatch):
    monkeypatch.setattr(cpu_layers, replaced, by)
    shape = LAYERS[name][2][0]
    expected = layer_results(tf.keras.layers, tf.nn.leaky_relu, name, shape)
    with pytest.raises(AssertionError):
        assert_equal(layer_results(cpu_layers, cpu_layers.leaky_relu, name, shape), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same_with_keras_layers(name):
    make, shape = NETWORKS[name]
    x = tf.random.stateless_uniform([3, *shape], [0, 1])
    results = []
    for on in (False, True):
        network = with_cpu_layers(make, on)
        described = [(variable.name, variable.numpy().tolist()) for variable in network.trainable_variables]
        results.append((described, outputs_and_gradients(network, x, network.trainable_variables)))
    (plain_weights, plain), (weights, found) = results
    assert weights == plain_weights  # names, order, shapes and initial values
    assert_equal(found, plain)


@pytest.mark.parametrize("name", ["encoder", "max_pool"])
@pytest.mark.parametrize("on", [False, True])
def test_bytes_are_floats(name, on):
    network = with_cpu_layers(NETWORKS[name][0], on)
    frames = tf.cast(tf.random.stateless_uniform([3, 64, 64, 3], [0, 1], 0, 256, tf.int32), tf.uint8)
    assert_equal([network(frames)], [network(images.to_float(frames))])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("to", [True, False])
def test_a_checkpoint_is_of_use_to_both(name, to, tmp_path):
    make, shape = NETWORKS[name]
    source, target = with_cpu_layers(make, not to), with_cpu_layers(make, to, seed=4)
    path = tf.train.Checkpoint(network=source).write(str(tmp_path / "checkpoint"))
    status = tf.train.Checkpoint(network=target).read(path)
    status.assert_consumed()
    x = tf.random.stateless_uniform([3, *shape], [0, 1])
    assert_equal([target(x)], [source(x)])


def test_the_layers_where_there_is_a_gpu_and_where_there_is_none(monkeypatch):
    def libraries(**arguments):
        made = conv.build_convolution_policy(**arguments)
        layers = made.conv2d(3, 3), made.conv2d_transpose(3, 3), made.dense(3)
        plain = {type(layer).__module__ != cpu_layers.__name__ for layer in layers}
        return plain | {made.leaky_relu is tf.nn.leaky_relu}

    devices = {"GPU": []}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices[kind])
    assert libraries() == libraries(cpu_layers=None) == libraries(cpu_layers=True) == {False}
    assert libraries(dtype="bfloat16") == libraries(dtype="bfloat16", cpu_layers=True) == {False}
    assert libraries(cpu_layers=False) == {True}
    with pytest.raises(ValueError, match="cpu_layers: False with dtype 'bfloat16' and no GPU, expected None or True"):
        libraries(dtype="bfloat16", cpu_layers=False)
    devices["GPU"] = ["a GPU"]
    assert libraries() == libraries(dtype="bfloat16") == libraries(dtype="bfloat16", cpu_layers=False) == {True}
    assert libraries(cpu_layers=True) == {False}


def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch):
    def dtype(**arguments):
        return conv.build_convolution_policy("auto", **arguments).conv2d(3, 3).compute_dtype

    devices = {"GPU": []}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices[kind])
    monkeypatch.setattr(conv.processor, "multiplies_bfloat16", lambda: True)
    assert dtype() == dtype(cpu_layers=True) == "bfloat16"
    assert dtype(cpu_layers=False) == "float32"  # Keras' layers would not learn
    devices["GPU"] = ["a GPU"]
    assert dtype() == "float32"
    devices["GPU"] = []
    monkeypatch.setattr(conv.processor, "multiplies_bfloat16", lambda: False)
    assert dtype() == "float32"


@pytest.mark.parametrize("value", ["no", 0, 1.5, ()])
def test_another_switch_is_refused(value):
    with pytest.raises(ValueError, match=r"build_convolution_policy\.cpu_layers: .*, expected None, True or False"):
        conv.build_convolution_policy(cpu_layers=value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function])
def test_leaky_relu_and_its_gradient(dtype, wrap):
    x = tf.cast([-2.0, 3.0, 0.0, -0.5], dtype)

    def evaluate():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = cpu_layers.leaky_relu(x)
        return y, tape.gradient(y, x, output_gradients=tf.cast([1.0, 2.0, 4.0, -8.0], dtype))

    y, gradient = wrap(evaluate)()
    assert y.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(tf.cast(y, tf.float32), [-0.4, 3.0, 0.0, -0.1], rtol=0.004)
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), [0.2, 2.0, 0.8, -1.6], rtol=0.004)


def errors_of_gradients_in_bfloat16(depth):
    """Of all variables, relative to the gradients in float32."""
    results, weights = [], []
    frames = tf.cast(tf.random.stateless_uniform([24, 64, 64, 3], [0, 1], 0, 256, tf.int32), tf.uint8)
    latents = tf.random.stateless_normal([24, 6], [2, 3])
    for dtype in ("float32", "bfloat16"):
        gin.bind_parameter("build_convolution_policy.dtype", dtype)
        networks = tf.Module()
        networks.encoder, networks.decoder = conv.Encoder(depth), conv.Decoder(6, depth)
        variables = networks.trainable_variables
        for variable, value in zip(variables, weights):
            variable.assign(value)
        weights = [variable.numpy() for variable in variables]
        with tf.GradientTape() as tape:
            # Sums over many pixels, all of one sign: as the errors of a model that does not yet draw the background.
            loss = tf.reduce_sum(networks.decoder(latents) - 1.0) ** 2 + tf.reduce_sum(networks.encoder(frames))
        results.append(tape.gradient(loss, variables))
    return [float(tf.norm(found - expected) / tf.norm(expected)) for expected, found in zip(*results)]


@pytest.mark.parametrize("depth", [4, 8])
def test_gradients_in_bfloat16_are_those_of_float32_but_for_rounding(depth):
    errors = errors_of_gradients_in_bfloat16(depth)
    assert max(errors) < 0.05, errors


@pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose"])
def test_with_keras_layers_they_are_not(name, monkeypatch):
    monkeypatch.setattr(cpu_layers, name, getattr(tf.keras.layers, name))
    monkeypatch.setattr(cpu_layers, "pixels", images.to_float)  # Keras' layers take no bytes
    assert max(errors_of_gradients_in_bfloat16(4)) > 0.2
