"""The fully connected stack that heads, critics and actors share."""

from typing import Callable, Sequence

import tensorflow as tf


class MLP(tf.Module):
    """Dense layers with one activation, and a linear output layer; Glorot-uniform weights, zero biases."""

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        activation: Callable[[tf.Tensor], tf.Tensor],
        name: str = "mlp",
    ):
        super().__init__(name=name)
        self._layers = [tf.keras.layers.Dense(size, activation=activation) for size in hidden_sizes]
        self._layers.append(tf.keras.layers.Dense(output_size))
        self(tf.zeros([1, input_size]))

    def __call__(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layers to the concatenation of the inputs.

        Args:
            *inputs: `[…, size] float32`, equal in their leading dimensions.

        Returns:
            `[…, output_size] float32`.
        """
        x = tf.concat(inputs, axis=-1)
        for layer in self._layers:
            x = layer(x)
        return x
