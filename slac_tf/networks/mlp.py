"""The fully connected stack that heads, critics and actors share."""

from typing import Callable, List, Sequence

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
        *,
        layer_norm: bool = False,
    ):
        """Constructor.

        Args:
            input_size: Size of all inputs together.
            hidden_sizes: Of the layers before the output layer.
            output_size: Size of the output.
            activation: Of the hidden layers.
            name: Name.
            layer_norm: Whether each hidden layer is normalized before its activation (Ba et al. 2016).
        """
        super().__init__(name=name)
        self._layers: List[tf.keras.layers.Layer] = []
        for size in hidden_sizes:
            if layer_norm:
                self._layers.append(tf.keras.layers.Dense(size))
                self._layers.append(tf.keras.layers.LayerNormalization(epsilon=1e-5))
                self._layers.append(tf.keras.layers.Activation(activation))
            else:
                self._layers.append(tf.keras.layers.Dense(size, activation=activation))
        self._layers.append(tf.keras.layers.Dense(output_size))
        self(tf.zeros([1, input_size]))

    def __call__(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Applies the layers to the concatenation of the inputs.

        Args:
            *inputs: `[…, size] float32`, equal in their leading dimensions; `[B, size]` with layer normalization.

        Returns:
            `[…, output_size] float32`.
        """
        x = tf.concat(inputs, axis=-1)
        for layer in self._layers:
            x = layer(x)
        return x
