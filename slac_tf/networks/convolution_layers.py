"""Keras' layers with the same results, right in bfloat16, and for certain shapes in ways that are faster on a CPU.

Which shapes, was found by timing TensorFlow's oneDNN routines on frames of 64x64 (`benchmarks/README.md`).
"""

from typing import Any

import tensorflow as tf


class Conv2D(tf.keras.layers.Conv2D):
    """Keras' layer, which also takes bytes: then the kernel is scaled to [0, 1], not each pixel of the frames."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer.

        Args:
            inputs: `[N, H, W, C] uint8`, or floats in [0, 1].

        Returns:
            As Keras' layer returns for floats.
        """
        kernel = tf.convert_to_tensor(self.kernel)
        if inputs.dtype == tf.uint8:
            inputs, kernel = tf.cast(inputs, kernel.dtype), kernel * (1.0 / 255.0)
        return self.activation(_add_bias(tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper()), self.bias))


class Conv2DTranspose(tf.keras.layers.Conv2DTranspose):
    """Keras' layer, in bfloat16 with the right gradient of its bias."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer.

        Args:
            inputs: `[N, H, W, C]`.

        Returns:
            As Keras' layer returns.
        """
        sizes = self.compute_output_shape(inputs.shape)
        shape = tf.stack([tf.shape(inputs)[0], *sizes[1:]])
        outputs = tf.nn.conv2d_transpose(
            inputs, tf.convert_to_tensor(self.kernel), shape, self.strides, self.padding.upper()
        )
        return self.activation(_add_bias(tf.ensure_shape(outputs, sizes), self.bias))


class Dense(tf.keras.layers.Dense):
    """Keras' layer, in bfloat16 with the right gradient of its bias."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layer.

        Args:
            inputs: `[N, C]`.

        Returns:
            `[N, units]`.
        """
        return self.activation(_add_bias(tf.matmul(inputs, self.kernel), self.bias))


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
        return self.activation(_add_bias(outputs, self.bias))


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
        return self.activation(_add_bias(outputs, self.bias))


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
    becomes its dilation. On maps of 8x8 that pays in bfloat16 alone.

    Args:
        large: `[N, 2 H, 2 W, C]`.
        small: `[N, H, W, F]`.

    Returns:
        `[3, 3, C, F]`.
    """
    if small.dtype != tf.bfloat16 and small.shape[1] > 4:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=large,
            filter_sizes=[3, 3, large.shape[3], small.shape[3]],
            out_backprop=small,
            strides=[1, 2, 2, 1],
            padding="SAME",
        )
    images = tf.pad(tf.transpose(large, [3, 1, 2, 0]), [[0, 0], [0, 1], [0, 1], [0, 0]])  # [C, 2 H + 1, 2 W + 1, N]
    kernels = tf.transpose(small, [1, 2, 0, 3])  # [H, W, N, F]
    sums = tf.nn.conv2d(images, kernels, 1, "VALID", dilations=2)  # [C, 3, 3, F]
    return tf.transpose(sums, [1, 2, 0, 3])


class FewChannelsConv2DTranspose(tf.keras.layers.Conv2DTranspose):
    """Keras' layer with a 5x5 kernel, stride 2 and SAME, computed in another way that pays for few output channels.

    A transposed convolution is the backward pass of a convolution, whose CPU routine is slow for an image of
    three channels. The same sums are a 3x3 convolution of stride 1 that gives the four pixels of each 2x2 block as
    channels, where bias and activation are part of TensorFlow's convolution. The gradients are taken the usual way,
    which is faster there.
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
        blocks = _transposed_5x5(inputs, tf.convert_to_tensor(self.kernel))
        return _pixels(self.activation(_add_bias(blocks, tf.tile(self.bias, [4]))))


@tf.custom_gradient
def _transposed_5x5(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
    """`[N, H, W, C]` and `[5, 5, F, C]` to the blocks of an image of `[N, 2 H, 2 W, F]`, `[N, H, W, 4 F]`."""
    filters, channels = kernel.shape[2], kernel.shape[3]
    # With SAME, out[o] = Σ_i in[i] kernel[o + 1 - 2 i]. At o = 2 y + a and i = y + d, d from -1 to 1, that is row
    # a + 1 - 2 d of the kernel, which has none at a = 0, d = -1: there the padded row 5 stands.
    rows = tf.constant([[3, 1, 5], [4, 2, 0]])  # [a, d], ordered so that d = -1, 0, 1
    padded = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    blocks = tf.gather(tf.gather(padded, rows, axis=0), rows, axis=2)  # [a, d, b, e, F, C]
    blocks = tf.reshape(tf.transpose(blocks, [1, 3, 5, 0, 2, 4]), [3, 3, channels, 4 * filters])

    def gradients(upstream: tf.Tensor) -> Any:
        image = _pixels(upstream)
        of_inputs = tf.nn.conv2d(image, kernel, 2, "SAME")
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=image,
            filter_sizes=kernel.shape,
            out_backprop=inputs,
            strides=[1, 2, 2, 1],
            padding="SAME",
        )
        return of_inputs, of_kernel

    return tf.nn.conv2d(inputs, blocks, 1, "SAME"), gradients


def _pixels(blocks: tf.Tensor) -> tf.Tensor:
    """`[N, H, W, 4 F]` to `[N, 2 H, 2 W, F]`: `tf.nn.depth_to_space`, whose CPU routine takes three times as long."""
    height, width, depth = blocks.shape[1:]
    rows = tf.reshape(blocks, [-1, width, 2, depth // 2])  # [N, H, W, 4 F] -> [N H, W, 2, 2 F]
    image = tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [-1, 2 * height, 2 * width, depth // 4])
    return tf.ensure_shape(image, [blocks.shape[0], *image.shape[1:]])


def _add_bias(inputs: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Adds one number a channel, of the inputs' dtype."""
    return _add_tensor(inputs, tf.convert_to_tensor(bias))


@tf.custom_gradient
def _add_tensor(inputs: tf.Tensor, bias: tf.Tensor) -> Any:
    """`tf.nn.bias_add` with another gradient of the bias.

    In bfloat16, because TensorFlow's sums in bfloat16 on a CPU: of the 295,000 pixels of a batch, nearly all are lost
    to rounding. In float32, because TensorFlow would make that sum part of the kernel's gradient, which takes up to
    twice as long then; of a flat map it does not.
    """

    def gradients(upstream: tf.Tensor) -> Any:
        flat = tf.reshape(upstream, [-1, upstream.shape[-1]])
        if upstream.dtype == tf.float32:
            return upstream, tf.raw_ops.BiasAddGrad(out_backprop=flat)
        return upstream, tf.reduce_sum(flat, axis=0)  # in float32, and rounded once

    return tf.nn.bias_add(inputs, bias), gradients
