"""The convolutional encoder and decoder of 64x64 frames (Appendix B).

The encoder's last layer sees a 4x4 map with a 4x4 kernel and the decoder's first one grows a 1x1 map
to 4x4: both are plain matrix products, and are computed as such because that is faster on a CPU than
the convolution routines. Their initial weights follow the convolution's fan-in and fan-out.
"""

import functools
import math
from typing import Callable, List, Mapping, NamedTuple, Optional

import gin
import tensorflow as tf

from slac_tf.networks import cpu_layers as cpu_layers_lib
from slac_tf.utils import images, processor

IMAGE_SIZE = 64


class ConvolutionPolicy(NamedTuple):
    """The layers of which encoders and decoders are made.

    Attributes:
        pixels: Frames, uint8 or float32 in [0, 1], to what the first `conv2d` takes.
        conv2d: Called as `tf.keras.layers.Conv2D`.
        conv2d_transpose: Called as `tf.keras.layers.Conv2DTranspose`.
        dense: Called as `tf.keras.layers.Dense`, for the matrix products that stand for convolutions.
        leaky_relu: Of slope 0.2, TensorFlow's default; the paper gives none.
    """

    pixels: Callable[[tf.Tensor], tf.Tensor]
    conv2d: Callable[..., tf.keras.layers.Layer]
    conv2d_transpose: Callable[..., tf.keras.layers.Layer]
    dense: Callable[..., tf.keras.layers.Layer]
    leaky_relu: Callable[[tf.Tensor], tf.Tensor]


@gin.configurable
def build_convolution_policy(dtype: str = "float32", cpu_layers: Optional[bool] = None) -> ConvolutionPolicy:
    """What all convolutions are computed with, and the matrix products that stand for some of them.

    Weights, their gradients, features and decoded frames are float32 either way. Weights and their names are the same
    with and without `cpu_layers`, so that a checkpoint is of use to both.

    Args:
        dtype: 'float32'; 'bfloat16', where the processor has instructions for it (AVX-512 BF16, AMX, a GPU); or 'auto',
            which is 'bfloat16' on a CPU with such instructions, and 'float32' elsewhere.
        cpu_layers: Whether to use the layers of `slac_tf.networks.cpu_layers` in the place of Keras' own; None is
            where TensorFlow sees no GPU.

    Returns:
        The layers.

    Raises:
        ValueError: If an argument is another, or bfloat16 is to be computed without the CPU's layers and without a GPU.
    """
    policies = {"auto": "float32", "float32": "float32", "bfloat16": "mixed_bfloat16"}
    if not isinstance(dtype, str) or dtype not in policies:
        raise ValueError(f"build_convolution_policy.dtype: {dtype!r}, expected one of {sorted(policies)}")
    if cpu_layers is not None and not isinstance(cpu_layers, bool):
        raise ValueError(f"build_convolution_policy.cpu_layers: {cpu_layers!r}, expected None, True or False")
    on_cpu = not tf.config.list_physical_devices("GPU")
    if dtype == "auto" and on_cpu and cpu_layers is not False and processor.multiplies_bfloat16():
        dtype = "bfloat16"
    if dtype == "bfloat16" and cpu_layers is False and on_cpu:
        # Keras' layers would not learn there (see cpu_layers). Refused, so that the plain path stays plain.
        raise ValueError(
            "build_convolution_policy.cpu_layers: False with dtype 'bfloat16' and no GPU, expected None or True: "
            "TensorFlow's own gradient of a bias is wrong in bfloat16 on a CPU"
        )
    cpu_layers = on_cpu if cpu_layers is None else cpu_layers
    library = cpu_layers_lib if cpu_layers else tf.keras.layers
    policy = tf.keras.mixed_precision.Policy(policies[dtype])
    return ConvolutionPolicy(
        pixels=cpu_layers_lib.pixels if cpu_layers else images.to_float,
        conv2d=functools.partial(library.Conv2D, dtype=policy),
        conv2d_transpose=functools.partial(library.Conv2DTranspose, dtype=policy),
        dense=functools.partial(library.Dense, dtype=policy),
        leaky_relu=cpu_layers_lib.leaky_relu if cpu_layers else tf.nn.leaky_relu,
    )


def check_frames(where: str, observation: Mapping[str, tf.TensorSpec]) -> None:
    """Looks at what an agent is to see.

    Args:
        where: The agent's builder.
        observation: Of the environment.

    Raises:
        ValueError: If it has no `'pixels'`, or they are of another size than `[64, 64, 3]`.
    """
    if "pixels" not in observation:
        raise ValueError(
            f"{where}: observation holds {sorted(observation)}, expected 'pixels': "
            "set the environment's observations = ('pixels',)"
        )
    frame = observation["pixels"].shape.as_list()
    if frame != [IMAGE_SIZE, IMAGE_SIZE, 3]:
        raise ValueError(
            f"{where}: frames of shape {frame}, expected [64, 64, 3]: set the environment's image_size = 64"
        )


def _glorot_uniform(fan_in: int, fan_out: int) -> tf.keras.initializers.Initializer:
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return tf.keras.initializers.RandomUniform(-limit, limit)


class Encoder(tf.Module):
    """Frames to features: five convolutions, 32-64-128-256-256 channels at base depth 32."""

    def __init__(self, base_depth: int = 32):
        super().__init__()
        self.feature_size = 8 * base_depth
        layers = build_convolution_policy()
        conv = functools.partial(layers.conv2d, strides=2, padding="same", activation=layers.leaky_relu)
        self._pixels = layers.pixels
        self._convolutions: List[tf.keras.layers.Layer] = [
            conv(base_depth, 5),
            conv(2 * base_depth, 3),
            conv(4 * base_depth, 3),
            conv(8 * base_depth, 3),
        ]
        fan = 16 * 8 * base_depth
        self._last = layers.dense(
            self.feature_size, activation=layers.leaky_relu, kernel_initializer=_glorot_uniform(fan, fan)
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
        x = tf.reshape(self._pixels(frames), [-1, IMAGE_SIZE, IMAGE_SIZE, 3])  # […, 64, 64, 3] -> [N, 64, 64, 3]
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

    def __init__(self, latent_size: int, base_depth: int = 32):
        super().__init__()
        self._depth = 8 * base_depth
        layers = build_convolution_policy()
        self._first = layers.dense(
            16 * self._depth,
            use_bias=False,
            kernel_initializer=_glorot_uniform(16 * self._depth, 16 * latent_size),
        )
        self._first_bias = tf.Variable(tf.zeros([self._depth]), name="first_bias")  # one a channel
        self._leaky_relu = layers.leaky_relu
        deconv = functools.partial(layers.conv2d_transpose, strides=2, padding="same", activation=layers.leaky_relu)
        self._deconvolutions: List[tf.keras.layers.Layer] = [
            deconv(4 * base_depth, 3),
            deconv(2 * base_depth, 3),
            deconv(base_depth, 3),
            deconv(3, 5),
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
        return self._leaky_relu(x + tf.cast(self._first_bias, x.dtype))
