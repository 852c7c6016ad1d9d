"""The networks of MPO."""

from typing import NamedTuple, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from slac_tf.networks import layer_norm_mlp, representations

_INIT_SCALE, _MIN_SCALE = 0.3, 1e-6


class GaussianActor(tf.Module):
    """A diagonal Gaussian over actions, without bounds: whoever acts clips."""

    def __init__(self, input_size: int, action_size: int, hidden_sizes: Sequence[int]):
        super().__init__()
        # Almost zero at first: means in the middle, standard deviations of 0.3.
        self._mlp = layer_norm_mlp.LayerNormMLP(input_size, hidden_sizes, 2 * action_size, output_scale=1e-4)

    def __call__(self, inputs: tf.Tensor) -> tfp.distributions.Normal:
        """Evaluates a batch.

        Args:
            inputs: `[B, S] float32`.

        Returns:
            A distribution of each action dimension, batch shape `[B, A]`.
        """
        loc, scale = tf.split(self._mlp(inputs), 2, axis=-1)
        return tfp.distributions.Normal(loc, _INIT_SCALE * tf.nn.softplus(scale) / tf.nn.softplus(0.0) + _MIN_SCALE)

    def mode(self, inputs: tf.Tensor) -> tf.Tensor:
        """The mean.

        Args:
            inputs: `[B, S] float32`.

        Returns:
            `[B, A] float32`.
        """
        return self(inputs).mean()

    def sample(self, inputs: tf.Tensor) -> tf.Tensor:
        """One action a state.

        Args:
            inputs: `[B, S] float32`.

        Returns:
            `[B, A] float32`.
        """
        return self.samples(inputs, 1)[0]

    def samples(self, inputs: tf.Tensor, num_samples: int) -> tf.Tensor:
        """Several actions a state.

        Args:
            inputs: `[B, S] float32`.
            num_samples: N.

        Returns:
            `[N, B, A] float32`.
        """
        return self(inputs).sample(num_samples)


class ClippedActionCritic(tf.Module):
    """Q(s, a) of the action that the environment would get, clipped to [-1, 1]."""

    def __init__(self, input_size: int, action_size: int, hidden_sizes: Sequence[int]):
        super().__init__()
        self._mlp = layer_norm_mlp.LayerNormMLP(input_size, hidden_sizes, 1, joining_size=action_size)

    def __call__(self, inputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Evaluates a batch.

        Args:
            inputs: `[B, S] float32`.
            actions: `[B, A] float32`.

        Returns:
            `[B] float32`.
        """
        return self._mlp(inputs, tf.clip_by_value(actions, -1.0, 1.0))[:, 0]


class MpoNetworks(NamedTuple):
    """One set of networks; the agent has two, one the delayed copy of the other.

    Attributes:
        representation: What critic and actor see; shared, and trained by the critic.
        critic: Q.
        actor: π.
    """

    representation: representations.Representation
    critic: ClippedActionCritic
    actor: GaussianActor
