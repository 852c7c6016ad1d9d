"""Keras' layers with the same weights and results, faster on a CPU, and in bfloat16 right there.

Which shapes are computed in another way, was found by timing TensorFlow's oneDNN routines on frames of 64x64; what
each is worth stands in `benchmarks/README.md`. The classes have Keras' names because weights are named after them.

Biases are added with `+`, whose gradient is summed in float32. That of `tf.nn.bias_add`, which Keras uses, is summed
in bfloat16 on a CPU: at 512 of the 295,000 pixels of a batch the sum stops growing, and the model does not learn.
"""

from typing import Any

import tensorflow as tf

_SMALL_MAP = {tf.float32: 4, tf.bfloat16: 8}  # Height and width up to which `_kernel_gradient` is faster.
_FEW_CHANNELS = 4  # Output channels up to which `_transposed_5x5` is faster than TensorFlow's.


def pixels(frames: tf.Tensor) -> tf.Tensor:
    """Frames as they are, uint8 or float32 in [0, 1]: `Conv2D` scales its kernel rather than each pixel."""
    return frames


class Conv2D(tf.keras.layers.Conv2D):
    """A convolution, whose kernel of 3x3 and stride 2 gets its gradient in another way on small maps."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes `[N, H, W, C]`, floats, or bytes that stand for [0, 1]; returns what Keras' layer does for floats."""
        kernel = tf.convert_to_tensor(self.kernel)
        if inputs.dtype == tf.uint8:
            inputs, kernel = tf.cast(inputs, kernel.dtype), kernel * (1.0 / 255.0)
        _, height, width, _ = inputs.shape
        small = max(height, width) <= 2 * _SMALL_MAP[kernel.dtype]
        if small and _is_strided_same(self, 3) and height % 2 == width % 2 == 0:
            outputs = _strided_3x3(inputs, kernel)
        else:
            outputs = tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper())
        return self.activation(outputs + self.bias)


class Conv2DTranspose(tf.keras.layers.Conv2DTranspose):
    """A transposed convolution, in another way on small maps and where it gives few channels."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes `[N, H, W, C]`, returns what Keras' layer returns."""
        kernel = tf.convert_to_tensor(self.kernel)
        if _is_strided_same(self, 5) and self.filters <= _FEW_CHANNELS:
            blocks = _transposed_5x5(inputs, kernel)
            return _pixels(self.activation(blocks + tf.tile(self.bias, [4])))
        sizes = self.compute_output_shape(inputs.shape)
        shape = tf.stack([tf.shape(inputs)[0], *sizes[1:]])
        if _is_strided_same(self, 3) and max(inputs.shape[1:3]) <= _SMALL_MAP[kernel.dtype]:
            outputs = _transposed_3x3(inputs, kernel, shape)
        else:
            outputs = tf.nn.conv2d_transpose(inputs, kernel, shape, self.strides, self.padding.upper())
        return self.activation(tf.ensure_shape(outputs, sizes) + self.bias)


class Dense(tf.keras.layers.Dense):
    """A matrix product, with or without a bias."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes `[N, C]`, returns `[N, units]`."""
        outputs = tf.matmul(inputs, self.kernel)
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@tf.custom_gradient
def leaky_relu(inputs: tf.Tensor) -> Any:
    """Leaky ReLU of slope 0.2, whose gradient is computed from the outputs, which have the inputs' signs.

    Then nothing but the activation reads the inputs, and TensorFlow computes it inside the convolution.

    Args:
        inputs: `[…]`.

    Returns:
        `[…]` of the inputs' dtype.
    """
    outputs = tf.nn.leaky_relu(inputs)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        of_inputs = _leaky_relu_gradient
        if upstream.dtype == tf.bfloat16 and not tf.executing_eagerly():
            of_inputs = tf.function(of_inputs, jit_compile=True)  # one pass over memory, without the float32 copies
        return of_inputs(upstream, outputs)

    return outputs, gradient


def _leaky_relu_gradient(upstream: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """In float32: in bfloat16 the routine is five times slower."""
    of_inputs = tf.raw_ops.LeakyReluGrad(
        gradients=tf.cast(upstream, tf.float32), features=tf.cast(outputs, tf.float32), alpha=0.2
    )
    return tf.cast(of_inputs, upstream.dtype)


def _is_strided_same(layer: tf.keras.layers.Layer, size: int) -> bool:
    """Whether the kernel is square of this size, with stride 2 and SAME."""
    return layer.kernel_size == (size, size) and layer.strides == (2, 2) and layer.padding == "same"


@tf.custom_gradient
def _strided_3x3(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
    """`[N, 2 H, 2 W, C]` and `[3, 3, C, F]` to `[N, H, W, F]`."""

    def gradients(upstream: tf.Tensor) -> Any:
        of_inputs = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), 2, "SAME")
        return tf.ensure_shape(of_inputs, inputs.shape), _kernel_gradient(inputs, upstream)

    return tf.nn.conv2d(inputs, kernel, 2, "SAME"), gradients


@tf.custom_gradient
def _transposed_3x3(inputs: tf.Tensor, kernel: tf.Tensor, shape: tf.Tensor) -> Any:
    """`[N, H, W, C]` and `[3, 3, F, C]` to `shape`, `[N, 2 H, 2 W, F]`."""

    def gradients(upstream: tf.Tensor) -> Any:
        return tf.nn.conv2d(upstream, kernel, 2, "SAME"), _kernel_gradient(upstream, inputs), None

    return tf.nn.conv2d_transpose(inputs, kernel, shape, 2, "SAME"), gradients


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


@tf.custom_gradient
def _transposed_5x5(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
    """`[N, H, W, C]` and `[5, 5, F, C]` to the 2x2 blocks of an image of `[N, 2 H, 2 W, F]`, `[N, H, W, 4 F]`.

    A transposed convolution is the backward pass of a convolution, whose CPU routine is slow for an image of three
    channels. The same sums are a 3x3 convolution of stride 1 that gives the pixels of a block as channels. The
    gradients are taken the usual way, which is faster there.
    """
    filters, channels = kernel.shape[2], kernel.shape[3]
    # With SAME, out[o] = Σ_i in[i] kernel[o + 1 - 2 i]. At o = 2 y + a and i = y + d, d from -1 to 1, that is row
    # a + 1 - 2 d of the kernel, which has none at a = 0, d = 1: there the padded row 5 stands.
    rows = tf.constant([[3, 1, 5], [4, 2, 0]])  # [a, d], ordered so that d = -1, 0, 1
    padded = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    blocks = tf.gather(tf.gather(padded, rows, axis=0), rows, axis=2)  # [a, d, b, e, F, C]
    blocks = tf.reshape(tf.transpose(blocks, [1, 3, 5, 0, 2, 4]), [3, 3, channels, 4 * filters])

    def gradients(upstream: tf.Tensor) -> Any:
        image = _pixels(upstream)
        of_inputs = tf.nn.conv2d(image, kernel, 2, "SAME")
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=image, filter_sizes=kernel.shape, out_backprop=inputs, strides=[1, 2, 2, 1], padding="SAME"
        )
        return of_inputs, of_kernel

    return tf.nn.conv2d(inputs, blocks, 1, "SAME"), gradients


def _pixels(blocks: tf.Tensor) -> tf.Tensor:
    """`[N, H, W, 4 F]` to `[N, 2 H, 2 W, F]`: `tf.nn.depth_to_space`, whose CPU routine takes three times as long."""
    height, width, depth = blocks.shape[1:]
    rows = tf.reshape(blocks, [-1, width, 2, depth // 2])  # [N, H, W, 4 F] -> [N H, W, 2, 2 F]
    image = tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [-1, 2 * height, 2 * width, depth // 4])
    return tf.ensure_shape(image, [blocks.shape[0], *image.shape[1:]])
