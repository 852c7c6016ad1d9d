"""Results and gradients are those of Keras' own layers."""

import gin
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.networks import conv, convolution_layers

LAYERS = {
    "convolution": (
        lambda: convolution_layers.Conv2D(3, 4, strides=2, activation=conv.leaky_relu),
        lambda: tf.keras.layers.Conv2D(3, 4, strides=2, activation=conv.leaky_relu),
        [(2, 8, 8, 4), (1, 5, 7, 1)],
    ),
    "transposed": (
        lambda: convolution_layers.Conv2DTranspose(3, 5, strides=2, activation=conv.leaky_relu),
        lambda: tf.keras.layers.Conv2DTranspose(3, 5, strides=2, activation=conv.leaky_relu),
        [(2, 4, 4, 3), (1, 1, 1, 2)],
    ),
    "transposed, same": (
        lambda: convolution_layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation=conv.leaky_relu),
        lambda: tf.keras.layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation=conv.leaky_relu),
        [(2, 4, 5, 3)],
    ),
    "dense": (
        lambda: convolution_layers.Dense(3, activation=conv.leaky_relu),
        lambda: tf.keras.layers.Dense(3, activation=conv.leaky_relu),
        [(4, 5)],
    ),
    "few channels": (
        lambda: convolution_layers.FewChannelsConv2DTranspose(3, activation=conv.leaky_relu),
        lambda: tf.keras.layers.Conv2DTranspose(3, 5, strides=2, padding="same", activation=conv.leaky_relu),
        [(2, 4, 4, 3), (1, 1, 1, 2), (2, 5, 3, 4)],
    ),
    "small map": (
        lambda: convolution_layers.SmallMapConv2D(3, activation=conv.leaky_relu),
        lambda: tf.keras.layers.Conv2D(3, 3, strides=2, padding="same", activation=conv.leaky_relu),
        [(2, 8, 8, 4), (3, 2, 2, 1), (2, 6, 4, 5), (2, 12, 10, 4)],
    ),
    "small map, transposed": (
        lambda: convolution_layers.SmallMapConv2DTranspose(3, activation=conv.leaky_relu),
        lambda: tf.keras.layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation=conv.leaky_relu),
        [(2, 4, 4, 3), (3, 1, 1, 2), (2, 5, 3, 4), (2, 3, 6, 4)],
    ),
}


@pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name, (*_, shapes) in LAYERS.items() for shape in shapes]
)
def test_layers_computed_in_another_way_are_keras(name, shape):
    layer, reference = LAYERS[name][0](), LAYERS[name][1]()
    x = tf.random.stateless_normal(shape, [0, 1])
    layer(x)
    layer.bias.assign([0.1, -0.2, 0.3])
    reference.build(x.shape)
    reference.set_weights(layer.get_weights())
    results = []
    for made in (reference, layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = made(x)
            loss = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, [2, 3]))
        results.append([y, *tape.gradient(loss, [x, *made.trainable_variables])])
    for expected, actual in zip(*results):
        assert expected.shape == actual.shape
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_bytes_give_what_floats_give():
    layer = convolution_layers.Conv2D(4, 5, strides=2, padding="same", activation=tf.nn.relu)
    frames = np.random.RandomState(0).randint(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    floats = tf.cast(frames, tf.float32) / 255.0
    usual = tf.keras.layers.Conv2D(4, 5, strides=2, padding="same", activation=tf.nn.relu)
    layer.build(floats.shape)
    usual.build(floats.shape)
    layer.bias.assign([0.1, -0.1, 0.3, 0.0])
    usual.set_weights(layer.get_weights())
    with tf.GradientTape(persistent=True) as tape:
        outputs = [layer(tf.constant(frames)), layer(floats), usual(floats)]
        sums = [tf.reduce_sum(x**2) for x in outputs]
    for output in outputs[:2]:
        np.testing.assert_allclose(output, outputs[2], atol=1e-5)
    expected = tape.gradient(sums[2], usual.trainable_variables)
    for total in sums[:2]:
        for found, wanted in zip(tape.gradient(total, layer.trainable_variables), expected):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [4, 8])
def test_gradients_in_bfloat16_are_those_of_float32_but_for_rounding(depth):
    results = []
    frames = tf.cast(tf.random.stateless_uniform([24, 64, 64, 3], [0, 1], 0, 256, tf.int32), tf.uint8)
    latents = tf.random.stateless_normal([24, 6], [2, 3])
    weights = None
    for dtype in ("float32", "bfloat16"):
        gin.bind_parameter("build_convolution_policy.dtype", dtype)
        networks = tf.Module()
        networks.encoder, networks.decoder = conv.Encoder(depth), conv.Decoder(6, depth)
        variables = networks.trainable_variables
        for variable, value in zip(variables, weights or ()):
            variable.assign(value)
        weights = [variable.numpy() for variable in variables]
        with tf.GradientTape() as tape:
            # Sums over many pixels, all of one sign: as the errors of a model that does not yet draw the background.
            loss = tf.reduce_sum(networks.decoder(latents) - 1.0) ** 2 + tf.reduce_sum(networks.encoder(frames))
        results.append(tape.gradient(loss, variables))
    for variable, expected, found in zip(variables, *results):
        error = tf.norm(found - expected) / tf.norm(expected)
        assert error < 0.05, f"{variable.name} {variable.shape}: {error}"
