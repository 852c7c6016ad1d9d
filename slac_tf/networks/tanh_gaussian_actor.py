"""The tanh-squashed diagonal Gaussian policy."""

from typing import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from slac_tf.networks import mlp

_LOG_STD_MIN, _LOG_STD_MAX = -20.0, 2.0


class TanhGaussianActor(tf.Module):
    """π(a | input): ReLU layers, then mean and log standard deviation, then tanh (Appendix B).

    The standard deviation is exp(clip(·, -20, 2)), as in the published code; the text has a softplus.
    """

    def __init__(self, input_size: int, action_size: int, hidden_sizes: Sequence[int] = (256, 256)):
        super().__init__()
        self._mlp = mlp.MLP(input_size, hidden_sizes, 2 * action_size, tf.nn.relu)

    def redraw(self) -> None:
        """Sets all weights to new initial values."""
        self._mlp.redraw()

    def _base(self, inputs: tf.Tensor) -> tfp.distributions.MultivariateNormalDiag:
        loc, log_std = tf.split(self._mlp(inputs), 2, axis=-1)
        std = tf.exp(tf.clip_by_value(log_std, _LOG_STD_MIN, _LOG_STD_MAX))
        return tfp.distributions.MultivariateNormalDiag(loc, std)

    def __call__(self, inputs: tf.Tensor) -> tfp.distributions.Distribution:
        """The distribution of actions.

        Args:
            inputs: `[B, S] float32`.

        Returns:
            A distribution over `[A]` in (-1, 1) with batch shape `[B]`.
        """
        return tfp.distributions.TransformedDistribution(self._base(inputs), tfp.bijectors.Tanh())

    def mode(self, inputs: tf.Tensor) -> tf.Tensor:
        """The greedy action: tanh of the Gaussian's mean.

        Args:
            inputs: `[B, S] float32`.

        Returns:
            `[B, A] float32` in (-1, 1).
        """
        return tf.tanh(self._base(inputs).loc)

    def sample(self, inputs: tf.Tensor) -> tf.Tensor:
        """An action of the distribution.

        Args:
            inputs: `[B, S] float32`.

        Returns:
            `[B, A] float32` in (-1, 1).
        """
        return self(inputs).sample()
