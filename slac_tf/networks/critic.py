"""The state-action value of a vector that represents the state."""

from typing import Sequence

import tensorflow as tf

from slac_tf.networks import mlp


class Critic(tf.Module):
    """Q(s, a): ReLU layers and a linear output (Appendix B); the agent owns twins and targets."""

    def __init__(
        self,
        state_size: int,
        action_size: int,
        hidden_sizes: Sequence[int] = (256, 256),
        *,
        layer_norm: bool = False,
    ):
        """Constructor.

        Args:
            state_size: S.
            action_size: A.
            hidden_sizes: Of the layers before the output layer.
            layer_norm: Whether each hidden layer is normalized before its ReLU.
        """
        super().__init__()
        self._mlp = mlp.MLP(state_size + action_size, hidden_sizes, 1, tf.nn.relu, layer_norm=layer_norm)

    def redraw(self) -> None:
        """Sets all weights to new initial values."""
        self._mlp.redraw()

    def __call__(self, state: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
        """Evaluates a batch.

        Args:
            state: `[B, S] float32`.
            action: `[B, A] float32` in [-1, 1].

        Returns:
            Q-values `[B] float32`.
        """
        return tf.squeeze(self._mlp(state, action), axis=-1)
