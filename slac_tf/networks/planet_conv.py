"""PlaNet's convolutional encoder and decoder of 64x64 frames (Hafner et al. 2019, Appendix A)."""

import functools

import tensorflow as tf

from slac_tf.networks import conv, encoders
from slac_tf.utils import images


class PlanetEncoder(encoders.ConvolutionStack):
    """Four 4x4 convolutions of stride 2, VALID, ReLU: 32-64-128-256 channels at base depth 32."""

    def __init__(self, base_depth: int = 32):
        conv2d = conv.build_convolution_policy().conv2d
        super().__init__(
            [conv2d(factor * base_depth, 4, strides=2, activation=tf.nn.relu) for factor in (1, 2, 4, 8)], 3
        )
        self._pixels = lambda frames: images.to_float(frames) - 0.5


class PlanetDecoder(tf.Module):
    """A linear layer, then transposed convolutions of stride 2: 128-64-32-3 channels at base depth 32."""

    def __init__(self, latent_size: int, base_depth: int = 32):
        super().__init__()
        self._first = tf.keras.layers.Dense(32 * base_depth)
        deconv = functools.partial(conv.build_convolution_policy().conv2d_transpose, strides=2)
        self._layers = [
            deconv(4 * base_depth, 5, activation=tf.nn.relu),
            deconv(2 * base_depth, 5, activation=tf.nn.relu),
            deconv(base_depth, 6, activation=tf.nn.relu),
            deconv(3, 6),
        ]
        self(tf.zeros([1, latent_size]))

    def __call__(self, latents: tf.Tensor) -> tf.Tensor:
        """Decodes latents.

        Args:
            latents: `[…, latent_size] float32`.

        Returns:
            Mean of the pixels `[…, 64, 64, 3] float32`, on the scale of [0, 1].
        """
        leading = tf.shape(latents)[:-1]
        x = self._first(tf.reshape(latents, [-1, latents.shape[-1]]))[:, tf.newaxis, tf.newaxis]  # [N, 1, 1, 32d]
        for layer in self._layers:
            x = layer(x)
        frames = tf.reshape(
            tf.cast(x, tf.float32) + 0.5, tf.concat([leading, [conv.IMAGE_SIZE, conv.IMAGE_SIZE, 3]], axis=0)
        )
        return tf.ensure_shape(frames, latents.shape[:-1] + [conv.IMAGE_SIZE, conv.IMAGE_SIZE, 3])
