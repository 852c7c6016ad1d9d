"""The convolutional encoder and decoder of 64x64 frames (Appendix B).

The encoder's last layer sees a 4x4 map with a 4x4 kernel and the decoder's first one grows a 1x1 map
to 4x4: both are plain matrix products, and are computed as such because that is faster on a CPU than
the convolution routines. Their initial weights follow the convolution's fan-in and fan-out.
"""

import math
from typing import Any, List

import gin
import tensorflow as tf

from slac_tf.networks import convolution_layers

IMAGE_SIZE = 64
_LEAKY_SLOPE = 0.2  # TensorFlow's default; the paper gives none


@gin.configurable
def build_convolution_policy(dtype: str = "float32") -> tf.keras.mixed_precision.Policy:
    """What all convolutions compute in, and the matrix products that stand for some of them.

    Weights, their gradients, features and decoded frames are float32 either way.

    Args:
        dtype: 'float32', or 'bfloat16' where the processor has instructions for it (AVX-512 BF16, AMX, a GPU).

    Returns:
        A policy for layers.

    Raises:
        ValueError: If `dtype` is another.
    """
    policies = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    if not isinstance(dtype, str) or dtype not in policies:
        raise ValueError(f"build_convolution_policy.dtype: {dtype!r}, expected one of {sorted(policies)}")
    return tf.keras.mixed_precision.Policy(policies[dtype])


@tf.custom_gradient
def leaky_relu(inputs: tf.Tensor) -> Any:
    """Leaky ReLU, slope 0.2."""
    outputs = tf.nn.leaky_relu(inputs, _LEAKY_SLOPE)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # From the outputs, which have the inputs' signs: then nothing but the activation reads the inputs, and
        # TensorFlow computes it inside the convolution.
        routine = _leaky_relu_gradient
        if upstream.dtype == tf.bfloat16 and not tf.executing_eagerly() and not tf.config.list_physical_devices("GPU"):
            # As one pass over memory, without the float32 copies: a quarter of the time.
            routine = tf.function(_leaky_relu_gradient, jit_compile=True)
        return routine(upstream, outputs)

    return outputs, gradient


def _leaky_relu_gradient(upstream: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """In float32: on a CPU the bfloat16 routine is five times slower."""
    of_inputs = tf.raw_ops.LeakyReluGrad(
        gradients=tf.cast(upstream, tf.float32), features=tf.cast(outputs, tf.float32), alpha=_LEAKY_SLOPE
    )
    return tf.cast(of_inputs, upstream.dtype)


def _glorot_uniform(fan_in: int, fan_out: int) -> tf.keras.initializers.Initializer:
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return tf.keras.initializers.RandomUniform(-limit, limit)


class Encoder(tf.Module):
    """Frames to features: five convolutions, 32-64-128-256-256 channels at base depth 32."""

    def __init__(self, base_depth: int = 32, name: str = "encoder"):
        super().__init__(name=name)
        self.feature_size = 8 * base_depth
        policy = build_convolution_policy()
        conv = dict(strides=2, padding="same", activation=leaky_relu, dtype=policy)
        self._convolutions: List[tf.keras.layers.Layer] = [
            convolution_layers.Conv2D(base_depth, 5, **conv),
            convolution_layers.Conv2D(2 * base_depth, 3, **conv),
            convolution_layers.SmallMapConv2D(4 * base_depth, activation=leaky_relu, dtype=policy),
            convolution_layers.SmallMapConv2D(8 * base_depth, activation=leaky_relu, dtype=policy),
        ]
        fan = 16 * 8 * base_depth
        self._last = convolution_layers.Dense(
            self.feature_size, activation=leaky_relu, kernel_initializer=_glorot_uniform(fan, fan), dtype=policy
        )
        self(tf.zeros([1, IMAGE_SIZE, IMAGE_SIZE, 3]))

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Encodes frames.

        Args:
            frames: `[…, 64, 64, 3] uint8`, or float32 in [0, 1].

        Returns:
            Features `[…, 8 * base_depth] float32`.
        """
        leading = tf.shape(frames)[:-3]
        x = tf.reshape(frames, [-1, IMAGE_SIZE, IMAGE_SIZE, 3])  # […, 64, 64, 3] -> [N, 64, 64, 3]
        for convolution in self._convolutions:
            x = convolution(x)
        x = tf.reshape(x, [-1, 16 * self.feature_size])  # [N, 4, 4, 8d] -> [N, 128d]
        features = tf.cast(self._last(x), tf.float32)
        features = tf.reshape(features, tf.concat([leading, [self.feature_size]], axis=0))
        return tf.ensure_shape(features, frames.shape[:-3] + [self.feature_size])


class Decoder(tf.Module):
    """Latents to the mean of the pixels: transposed convolutions, 256-128-64-32-3 channels at depth 32.

    Leaky ReLU also on the output layer, as the published code has it (the text exempts output layers).
    """

    def __init__(self, latent_size: int, base_depth: int = 32, name: str = "decoder"):
        super().__init__(name=name)
        self._depth = 8 * base_depth
        policy = build_convolution_policy()
        self._first = tf.keras.layers.Dense(
            16 * self._depth,
            use_bias=False,
            dtype=policy,
            kernel_initializer=_glorot_uniform(16 * self._depth, 16 * latent_size),
        )
        self._first_bias = tf.Variable(tf.zeros([self._depth]), name="first_bias")  # one a channel
        deconv = dict(strides=2, padding="same", activation=leaky_relu, dtype=policy)
        self._deconvolutions: List[tf.keras.layers.Layer] = [
            convolution_layers.SmallMapConv2DTranspose(4 * base_depth, activation=leaky_relu, dtype=policy),
            convolution_layers.SmallMapConv2DTranspose(2 * base_depth, activation=leaky_relu, dtype=policy),
            convolution_layers.Conv2DTranspose(base_depth, 3, **deconv),
            convolution_layers.FewChannelsConv2DTranspose(3, activation=leaky_relu, dtype=policy),
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
        x = self._grow(tf.reshape(latents, [-1, latents.shape[-1]]))  # […, L] -> [N, L] -> [N, 4, 4, 8d]
        for deconvolution in self._deconvolutions:
            x = deconvolution(x)
        frames = tf.reshape(tf.cast(x, tf.float32), tf.concat([leading, [IMAGE_SIZE, IMAGE_SIZE, 3]], axis=0))
        return tf.ensure_shape(frames, latents.shape[:-1] + [IMAGE_SIZE, IMAGE_SIZE, 3])

    def _grow(self, latents: tf.Tensor) -> tf.Tensor:
        x = tf.reshape(self._first(latents), [-1, 4, 4, self._depth])  # [N, 128d] -> [N, 4, 4, 8d]
        return leaky_relu(x + tf.cast(self._first_bias, x.dtype))
