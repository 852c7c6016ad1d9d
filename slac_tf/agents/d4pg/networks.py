"""The networks of D4PG."""

from typing import NamedTuple, Sequence

import tensorflow as tf

from slac_tf.losses import categorical
from slac_tf.networks import layer_norm_mlp, representations


class DeterministicActor(tf.Module):
    """μ(s), in (-1, 1)."""

    def __init__(self, input_size: int, action_size: int, hidden_sizes: Sequence[int]):
        super().__init__()
        # Almost zero at first: an action in the middle, where tanh has a gradient.
        self._mlp = layer_norm_mlp.LayerNormMLP(input_size, hidden_sizes, action_size, output_scale=1e-4)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Evaluates a batch.

        Args:
            inputs: `[B, S] float32`.

        Returns:
            `[B, A] float32` in (-1, 1).
        """
        return tf.tanh(self._mlp(inputs))


class CategoricalCritic(tf.Module):
    """Z(s, a): logits of returns on evenly spaced atoms."""

    def __init__(
        self,
        input_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        support: tf.Tensor,
    ):
        """Constructor.

        Args:
            input_size: S.
            action_size: A.
            hidden_sizes: The action joins after the first.
            support: The atoms, `[K] float32`.
        """
        super().__init__()
        self.support = support
        self._mlp = layer_norm_mlp.LayerNormMLP(
            input_size, hidden_sizes, support.shape.num_elements(), joining_size=action_size
        )

    def __call__(self, inputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Evaluates a batch.

        Args:
            inputs: `[B, S] float32`.
            actions: `[B, A] float32`.

        Returns:
            Logits `[B, K] float32`.
        """
        return self._mlp(inputs, actions)

    def mean(self, inputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Expected return, Q(s, a).

        Args:
            inputs: `[B, S] float32`.
            actions: `[B, A] float32`.

        Returns:
            `[B] float32`.
        """
        return categorical.mean(self(inputs, actions), self.support)


class D4pgNetworks(NamedTuple):
    """One set of networks; the agent has two, one the delayed copy of the other.

    Attributes:
        representation: What critic and actor see; shared, and trained by the critic.
        critic: Z.
        actor: μ.
    """

    representation: representations.Representation
    critic: CategoricalCritic
    actor: DeterministicActor
