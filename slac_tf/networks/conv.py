"""The convolutional encoder and decoder of 64x64 frames (Appendix B).

The encoder's last layer sees a 4x4 map with a 4x4 kernel and the decoder's first one grows a 1x1 map
to 4x4: both are plain matrix products, and are computed as such because that is faster on a CPU than
the convolution routines. Their initial weights follow the convolution's fan-in and fan-out.
"""

import math
from typing import Any

import gin
import tensorflow as tf

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
    if dtype not in policies:
        raise ValueError(f"build_convolution_policy.dtype: {dtype!r}, expected one of {sorted(policies)}")
    return tf.keras.mixed_precision.Policy(policies[dtype])


@tf.custom_gradient
def leaky_relu(inputs: tf.Tensor) -> Any:
    """Leaky ReLU, slope 0.2."""
    outputs = tf.nn.leaky_relu(inputs, _LEAKY_SLOPE)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # From the outputs, which have the inputs' signs: then nothing but the activation reads the inputs, and
        # TensorFlow computes it inside the convolution. In float32: the bfloat16 routine is five times slower.
        of_inputs = tf.raw_ops.LeakyReluGrad(
            gradients=tf.cast(upstream, tf.float32), features=tf.cast(outputs, tf.float32), alpha=_LEAKY_SLOPE
        )
        return tf.cast(of_inputs, upstream.dtype)

    return outputs, gradient


def _glorot_uniform(fan_in: int, fan_out: int) -> tf.keras.initializers.Initializer:
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return tf.keras.initializers.RandomUniform(-limit, limit)


class SmallMapConv2D(tf.keras.layers.Conv2D):
    """Keras' layer with a 3x3 kernel, stride 2 and SAME, whose kernel gets its gradient in another way.

    See `_kernel_gradient`, which is two to three times as fast where maps are small and channels many.
    """

    def __init__(self, filters: int, **kwargs: Any):
        """Constructor.

        Args:
            filters: Output channels.
            **kwargs: Keras' own, such as `activation`.
        """
        super().__init__(filters, 3, strides=2, padding="same", **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer.

        Args:
            inputs: `[N, H, W, C]`, H and W even.

        Returns:
            `[N, H / 2, W / 2, filters]`.
        """
        outputs = _strided_3x3(inputs, tf.convert_to_tensor(self.kernel))
        return self.activation(tf.nn.bias_add(outputs, self.bias))


class SmallMapConv2DTranspose(tf.keras.layers.Conv2DTranspose):
    """The transposed layer to `SmallMapConv2D`."""

    def __init__(self, filters: int, **kwargs: Any):
        """Constructor.

        Args:
            filters: Output channels.
            **kwargs: Keras' own, such as `activation`.
        """
        super().__init__(filters, 3, strides=2, padding="same", **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer.

        Args:
            inputs: `[N, H, W, C]`.

        Returns:
            `[N, 2 H, 2 W, filters]`.
        """
        outputs = _transposed_3x3(inputs, tf.convert_to_tensor(self.kernel))
        return self.activation(tf.nn.bias_add(outputs, self.bias))


@tf.custom_gradient
def _strided_3x3(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
    """`[N, 2 H, 2 W, C]` and `[3, 3, C, F]` to `[N, H, W, F]`."""

    def gradients(upstream: tf.Tensor) -> Any:
        of_inputs = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), 2, "SAME")
        return tf.ensure_shape(of_inputs, inputs.shape), _kernel_gradient(inputs, upstream)

    return tf.nn.conv2d(inputs, kernel, 2, "SAME"), gradients


@tf.custom_gradient
def _transposed_3x3(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
    """`[N, H, W, C]` and `[3, 3, F, C]` to `[N, 2 H, 2 W, F]`."""

    def gradients(upstream: tf.Tensor) -> Any:
        return tf.nn.conv2d(upstream, kernel, 2, "SAME"), _kernel_gradient(upstream, inputs)

    height, width = inputs.shape[1:3]
    shape = tf.stack([tf.shape(inputs)[0], 2 * height, 2 * width, kernel.shape[2]])
    outputs = tf.nn.conv2d_transpose(inputs, kernel, shape, 2, "SAME")
    return tf.ensure_shape(outputs, [inputs.shape[0], 2 * height, 2 * width, kernel.shape[2]]), gradients


def _kernel_gradient(large: tf.Tensor, small: tf.Tensor) -> tf.Tensor:
    """The gradient of a 3x3 kernel of stride 2, Σ large[n, 2 y + i, 2 x + j, c] small[n, y, x, f].

    This is a convolution itself: the batch takes the channels' place, `small` is the kernel, and the stride
    becomes its dilation.

    Args:
        large: `[N, 2 H, 2 W, C]`.
        small: `[N, H, W, F]`.

    Returns:
        `[3, 3, C, F]`.
    """
    images = tf.pad(tf.transpose(large, [3, 1, 2, 0]), [[0, 0], [0, 1], [0, 1], [0, 0]])  # [C, 2 H + 1, 2 W + 1, N]
    kernels = tf.transpose(small, [1, 2, 0, 3])  # [H, W, N, F]
    sums = tf.nn.conv2d(images, kernels, 1, "VALID", dilations=2)  # [C, 3, 3, F]
    return tf.transpose(sums, [1, 2, 0, 3])


class FewChannelsConv2DTranspose(tf.keras.layers.Conv2DTranspose):
    """Keras' layer with a 5x5 kernel, stride 2 and SAME, computed in another way that pays for few output channels.

    A transposed convolution is the backward pass of a convolution, whose CPU routine is slow for an image of
    three channels. The same sums are a 3x3 convolution of stride 1 that gives the four pixels of each 2x2 block as
    channels. The gradients are taken the usual way, which is faster there.
    """

    def __init__(self, filters: int, **kwargs: Any):
        """Constructor.

        Args:
            filters: Output channels.
            **kwargs: Keras' own, such as `activation`.
        """
        super().__init__(filters, 5, strides=2, padding="same", **kwargs)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer.

        Args:
            inputs: `[N, H, W, C]`.

        Returns:
            `[N, 2 H, 2 W, filters]`.
        """
        outputs = _transposed_5x5(inputs, tf.convert_to_tensor(self.kernel))
        return self.activation(tf.nn.bias_add(outputs, self.bias))


@tf.custom_gradient
def _transposed_5x5(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
    """`[N, H, W, C]` and `[5, 5, F, C]` to `[N, 2 H, 2 W, F]`."""
    filters, channels = kernel.shape[2], kernel.shape[3]
    # With SAME, out[o] = Σ_i in[i] kernel[o + 1 - 2 i]. At o = 2 y + a and i = y + d, d from -1 to 1, that is row
    # a + 1 - 2 d of the kernel, which has none at a = 0, d = -1: there the padded row 5 stands.
    rows = tf.constant([[3, 1, 5], [4, 2, 0]])  # [a, d], ordered so that d = -1, 0, 1
    padded = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    blocks = tf.gather(tf.gather(padded, rows, axis=0), rows, axis=2)  # [a, d, b, e, F, C]
    blocks = tf.reshape(tf.transpose(blocks, [1, 3, 5, 0, 2, 4]), [3, 3, channels, 4 * filters])
    outputs = tf.nn.depth_to_space(tf.nn.conv2d(inputs, blocks, 1, "SAME"), 2)

    def gradients(upstream: tf.Tensor) -> Any:
        of_inputs = tf.nn.conv2d(upstream, kernel, 2, "SAME")
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=upstream,
            filter_sizes=kernel.shape,
            out_backprop=inputs,
            strides=[1, 2, 2, 1],
            padding="SAME",
        )
        return of_inputs, of_kernel

    return outputs, gradients


class Encoder(tf.Module):
    """Frames to features: five convolutions, 32-64-128-256-256 channels at base depth 32."""

    def __init__(self, base_depth: int = 32, name: str = "encoder"):
        super().__init__(name=name)
        self.feature_size = 8 * base_depth
        policy = build_convolution_policy()
        conv = dict(strides=2, padding="same", activation=leaky_relu, dtype=policy)
        self._convolutions = [
            tf.keras.layers.Conv2D(base_depth, 5, **conv),
            tf.keras.layers.Conv2D(2 * base_depth, 3, **conv),
            tf.keras.layers.Conv2D(4 * base_depth, 3, **conv),
            SmallMapConv2D(8 * base_depth, activation=leaky_relu, dtype=policy),
        ]
        fan = 16 * 8 * base_depth
        self._last = tf.keras.layers.Dense(
            self.feature_size, activation=leaky_relu, kernel_initializer=_glorot_uniform(fan, fan), dtype=policy
        )
        self(tf.zeros([1, IMAGE_SIZE, IMAGE_SIZE, 3]))

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Encodes frames.

        Args:
            frames: `[…, 64, 64, 3] float32` in [0, 1].

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
        self._deconvolutions = [
            SmallMapConv2DTranspose(4 * base_depth, activation=leaky_relu, dtype=policy),
            tf.keras.layers.Conv2DTranspose(2 * base_depth, 3, **deconv),
            tf.keras.layers.Conv2DTranspose(base_depth, 3, **deconv),
            FewChannelsConv2DTranspose(3, activation=leaky_relu, dtype=policy),
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
