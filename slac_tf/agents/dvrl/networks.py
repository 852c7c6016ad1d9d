"""The networks of DVRL: what encodes and explains an observation, the actor and the critic."""

import functools
import math
from typing import Callable, List, NamedTuple, Optional, Sequence

import tensorflow as tf

from slac_tf.losses import elbo
from slac_tf.networks import conv
from slac_tf.utils import images

MIN_VARIANCE = 1e-4


def dense(
    units: int, activation: Optional[Callable] = tf.nn.relu, gain: float = math.sqrt(2.0)
) -> tf.keras.layers.Layer:
    """A layer with orthogonal weights.

    Args:
        units: Outputs.
        activation: None for a linear one.
        gain: Of the weights.

    Returns:
        The layer.
    """
    return tf.keras.layers.Dense(units, activation, kernel_initializer=tf.keras.initializers.Orthogonal(gain))


class Gaussian(NamedTuple):
    """A diagonal Gaussian.

    Attributes:
        mean: `[…, D] float32`.
        variance: `[…, D] float32`.
    """

    mean: tf.Tensor
    variance: tf.Tensor

    def log_prob(self, values: tf.Tensor) -> tf.Tensor:
        """`[…, D]`, or what can be broadcast to it, to `[…]`."""
        return elbo.state_log_prob(values, self.mean, tf.sqrt(self.variance))


class GaussianHead(tf.Module):
    """ReLU layers, then a mean and a variance, softplus(·) + 1e-4."""

    def __init__(self, hidden_sizes: Sequence[int], output_size: int):
        super().__init__()
        self._layers = [*map(dense, hidden_sizes), dense(2 * output_size, None)]

    def __call__(self, *inputs: tf.Tensor) -> Gaussian:
        """Of the inputs side by side, `[…, size] float32` each."""
        x = tf.concat(inputs, axis=-1)
        for layer in self._layers:
            x = layer(x)
        mean, variance = tf.split(x, 2, axis=-1)
        return Gaussian(mean, tf.nn.softplus(variance) + MIN_VARIANCE)


class StateObserver(tf.Module):
    """Encodes and explains vectors, fully connected."""

    observation = "state"

    def __init__(self, size: int, hidden_sizes: Sequence[int]):
        """Constructor.

        Args:
            size: Of the vectors.
            hidden_sizes: Of the encoder, the last one its features, and of the decoder.
        """
        super().__init__()
        self._encoder = [dense(units) for units in hidden_sizes]
        self._decoder = GaussianHead(hidden_sizes, size)

    def encode(self, states: tf.Tensor) -> tf.Tensor:
        """`[N, S] float32` to `[N, F] float32`."""
        for layer in self._encoder:
            states = layer(states)
        return states

    def log_prob(self, states: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        """Log N(x | mean, variance) of `[N, S] float32`, given `[N, K, I] float32` each; `[N, K]`."""
        return self._decoder(inputs).log_prob(states[:, tf.newaxis])


class PixelObserver(tf.Module):
    """Encodes and explains frames: the three convolutions of Mnih et al. (2015), and their mirror image.

    64x64 frames become maps of 15x15, 6x6 and 4x4, 512 features at base depth 32.
    """

    observation = "pixels"

    def __init__(self, base_depth: int):
        """Constructor.

        Args:
            base_depth: Channels of the first and the third layer; the second has twice as many.
        """
        super().__init__()
        layers = conv.build_convolution_policy()
        orthogonal = functools.partial(tf.keras.initializers.Orthogonal, math.sqrt(2.0))
        self._pixels = layers.pixels
        self._depth = base_depth
        self._encoder: List[tf.keras.layers.Layer] = [
            layers.conv2d(depth, kernel, stride, activation=tf.nn.relu, kernel_initializer=orthogonal())
            for depth, kernel, stride in ((base_depth, 8, 4), (2 * base_depth, 4, 2), (base_depth, 3, 1))
        ]
        self._first = dense(4 * 4 * base_depth)
        deconv = functools.partial(layers.conv2d_transpose, activation=tf.nn.relu)
        self._decoder: List[tf.keras.layers.Layer] = [
            deconv(2 * base_depth, 3, kernel_initializer=orthogonal()),
            deconv(base_depth, 4, 2, output_padding=1, kernel_initializer=orthogonal()),
            deconv(3, 8, 4, activation=None, kernel_initializer=orthogonal()),
        ]

    def encode(self, frames: tf.Tensor) -> tf.Tensor:
        """`[N, 64, 64, 3] uint8` to `[N, F] float32`."""
        x = self._pixels(frames)
        for layer in self._encoder:
            x = layer(x)
        return tf.reshape(tf.cast(x, tf.float32), [-1, 4 * 4 * self._depth])  # [N, 4, 4, d] -> [N, 16 d]

    def log_prob(self, frames: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        """Σ x log p + (1 - x) log (1 - p) of `[N, 64, 64, 3] uint8`, given `[N, K, I] float32` each; `[N, K]`."""
        num_particles = inputs.shape[1]
        x = self._first(tf.reshape(inputs, [-1, inputs.shape[2]]))  # [N, K, I] -> [N K, 16 d]
        x = tf.reshape(x, [-1, 4, 4, self._depth])
        for layer in self._decoder:
            x = layer(x)
        logits = tf.reshape(tf.cast(x, tf.float32), [-1, num_particles, conv.IMAGE_SIZE**2 * 3])
        means = tf.reshape(images.to_float(frames), [-1, 1, conv.IMAGE_SIZE**2 * 3])
        # x log σ(l) + (1 - x) log (1 - σ(l)) = x l - log(1 + exp l)
        return tf.reduce_sum(means * logits - tf.nn.softplus(logits), axis=-1)


class GaussianActor(tf.Module):
    """N(linear(belief), exp(log std)²), the standard deviation the same for all beliefs and 1 at first."""

    def __init__(self, input_size: int, action_size: int):
        super().__init__()
        self._mean = dense(action_size, None, gain=0.01 * math.sqrt(2.0))
        self._mean(tf.zeros([1, input_size]))
        self._log_std = tf.Variable(tf.zeros([action_size]), name="log_std")

    def mean(self, vectors: tf.Tensor) -> tf.Tensor:
        """`[N, size] float32` to `[N, A] float32`."""
        return self._mean(vectors)

    def std(self) -> tf.Tensor:
        """`[A] float32`."""
        return tf.exp(self._log_std)

    def log_prob(self, vectors: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Log π of actions before they are clipped, `[N, A] float32`; `[N]`."""
        return elbo.state_log_prob(actions, self.mean(vectors), self.std())

    def entropy(self) -> tf.Tensor:
        """In nats, scalar."""
        return tf.reduce_sum(self._log_std + 0.5 * math.log(2.0 * math.pi * math.e))


class Critic(tf.Module):
    """V, linear in the belief."""

    def __init__(self, input_size: int):
        super().__init__()
        self._layer = dense(1, None)
        self._layer(tf.zeros([1, input_size]))

    def __call__(self, vectors: tf.Tensor) -> tf.Tensor:
        """`[N, size] float32` to `[N] float32`."""
        return self._layer(vectors)[:, 0]
