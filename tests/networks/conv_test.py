import gin
import numpy as np
import pytest
import tensorflow as tf

from slac_tf.networks import conv, encoders, planet_conv


def count(module):
    return sum(int(np.prod(v.shape)) for v in module.trainable_variables)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (2, 1, 3)])
def test_leading_dimensions_are_kept(leading):
    features = conv.Encoder(base_depth=1)(tf.zeros([*leading, 64, 64, 3]))
    assert features.shape == (*leading, 8)
    frames = conv.Decoder(5, base_depth=1)(tf.zeros([*leading, 5]))
    assert frames.shape == (*leading, 64, 64, 3)


def test_leading_dimensions_are_folded_in_order():
    encoder, decoder = conv.Encoder(base_depth=1), conv.Decoder(5, base_depth=1)
    frames, latents = tf.random.uniform([2, 3, 64, 64, 3]), tf.random.normal([2, 3, 5])
    np.testing.assert_allclose(encoder(frames)[1, 2], encoder(frames[1, 2]), atol=1e-5)
    np.testing.assert_allclose(decoder(latents)[1, 0], decoder(latents[1, 0]), atol=1e-5)


def test_an_unknown_batch_size_keeps_the_static_shape():
    encoder, decoder = conv.Encoder(base_depth=1), conv.Decoder(8, base_depth=1)

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 64, 64, 3])])
    def reconstruct(frames):
        features = encoder(frames)
        assert features.shape.as_list() == [None, 3, 8]
        return decoder(features)

    assert reconstruct.get_concrete_function().output_shapes.as_list() == [None, 3, 64, 64, 3]
    assert reconstruct(tf.zeros([2, 3, 64, 64, 3])).shape == (2, 3, 64, 64, 3)


def test_encoder_parameters_at_the_papers_size():
    # kernel height * width * inputs * outputs + biases, Appendix B:
    # 5*5*3*32+32 + 3*3*32*64+64 + 3*3*64*128+128 + 3*3*128*256+256 + 4*4*256*256+256
    # = 2432 + 18496 + 73856 + 295168 + 1048832
    assert count(conv.Encoder()) == 1_438_784


def test_decoder_parameters_at_the_papers_size():
    # 4*4*288*256+256 + 3*3*256*128+128 + 3*3*128*64+64 + 3*3*64*32+32 + 5*5*32*3+3
    # = 1179904 + 295040 + 73792 + 18464 + 2403
    assert count(conv.Decoder(288)) == 1_569_603


def test_the_encoders_last_layer_is_a_convolution():
    encoder = conv.Encoder(base_depth=2)
    kernel, bias = encoder._last.trainable_variables
    bias.assign(tf.random.normal(bias.shape))
    x = tf.random.normal([3, 4, 4, 16])
    # The same weights as a 4x4 kernel, VALID: one output position.
    expected = tf.nn.conv2d(x, tf.reshape(kernel, [4, 4, 16, 16]), 1, "VALID")[:, 0, 0] + bias
    np.testing.assert_allclose(encoder._last(tf.reshape(x, [3, -1])), tf.nn.leaky_relu(expected, 0.2), atol=1e-5)


def test_the_decoders_first_layer_is_a_transposed_convolution():
    decoder = conv.Decoder(5, base_depth=2)
    (kernel,) = decoder._first.trainable_variables
    layer = tf.keras.layers.Conv2DTranspose(16, 4, padding="valid", activation=tf.nn.leaky_relu)
    layer.build([None, 1, 1, 5])
    bias = tf.random.normal([16])
    decoder._first_bias.assign(bias)
    # [L, 4 * 4 * D] -> height, width, outputs, inputs
    layer.set_weights([tf.transpose(tf.reshape(kernel, [5, 4, 4, 16]), [1, 2, 3, 0]), bias])
    x = tf.random.normal([3, 5])
    np.testing.assert_allclose(decoder._grow(x), layer(x[:, None, None]), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        # Glorot's limit is sqrt(6 / (fan in + fan out)), of the convolution: receptive field * channels.
        (lambda: conv.Encoder(base_depth=4)._last, 16 * 32, 16 * 32),
        (lambda: conv.Decoder(10, base_depth=4)._first, 16 * 32, 16 * 10),
    ],
)
def test_initial_weights_of_the_matrix_products_are_those_of_convolutions(layer, fan_in, fan_out):
    kernel, *biases = layer().get_weights()
    limit = np.sqrt(6 / (fan_in + fan_out))
    assert 0.98 * limit < np.max(np.abs(kernel)) <= limit
    np.testing.assert_allclose(np.std(kernel), limit / np.sqrt(3), rtol=0.05)
    assert not any(np.any(bias) for bias in biases)


def test_the_output_layer_is_leaky_too():
    decoder = conv.Decoder(5, base_depth=1)
    for variable in decoder.trainable_variables:
        variable.assign(tf.zeros(variable.shape))
    decoder._deconvolutions[-1].bias.assign([-1.0, 0.5, 0.0])
    np.testing.assert_allclose(decoder(tf.ones([5]))[7, 9], [-0.2, 0.5, 0.0])


ENCODERS = {
    "slac": lambda: conv.Encoder(1),
    "planet": lambda: planet_conv.PlanetEncoder(1),
    "max_pool": lambda: encoders.build_max_pool_encoder(4),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_bfloat16_is_for_the_convolutions_alone(name):
    tf.keras.utils.set_random_seed(0)
    frames = tf.random.stateless_uniform([2, 64, 64, 3], [0, 1])
    exact = ENCODERS[name]()
    gin.parse_config("build_convolution_policy.dtype = 'bfloat16'")
    rounded = ENCODERS[name]()
    for source, target in zip(exact.variables, rounded.variables):
        assert target.dtype == tf.float32
        target.assign(source)
    with tf.GradientTape() as tape:
        features = rounded(frames)
        loss = tf.reduce_sum(tf.square(features))
    assert features.dtype == tf.float32
    assert {gradient.dtype for gradient in tape.gradient(loss, rounded.trainable_variables)} == {tf.float32}
    expected = exact(frames)
    assert np.any(expected != features)  # it was rounded
    np.testing.assert_allclose(features, expected, atol=0.03 * np.max(np.abs(expected)))


@pytest.mark.parametrize("make", [conv.Decoder, planet_conv.PlanetDecoder])
def test_decoders_in_bfloat16(make):
    latents = tf.random.stateless_normal([3, 5], [0, 1])
    exact = make(5, base_depth=1)
    gin.parse_config("build_convolution_policy.dtype = 'bfloat16'")
    rounded = make(5, base_depth=1)
    for source, target in zip(exact.variables, rounded.variables):
        assert target.dtype == tf.float32
        target.assign(source)
    frames = rounded(latents)
    assert frames.dtype == tf.float32
    np.testing.assert_allclose(frames, exact(latents), atol=0.05)
