"""The fully connected stack that heads, critics and actors share."""

import math
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
        *,
        layer_norm: bool = False,
    ):
        """Constructor.

        Args:
            input_size: Size of all inputs together.
            hidden_sizes: Of the layers before the output layer.
            output_size: Size of the output.
            activation: Of the hidden layers.
            layer_norm: Whether each hidden layer is normalized before its activation (Ba et al. 2016).
        """
        super().__init__()
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

    def redraw(self) -> None:
        """Sets all weights to new initial values, in a `tf.function` at each of its calls."""
        for layer in self._layers:
            if isinstance(layer, tf.keras.layers.Dense):
                # Keras' initializers have a seed each, and would give the same numbers again.
                limit = math.sqrt(6.0 / sum(layer.kernel.shape))
                layer.kernel.assign(tf.random.uniform(layer.kernel.shape, -limit, limit))
                layer.bias.assign(tf.zeros_like(layer.bias))
            elif isinstance(layer, tf.keras.layers.LayerNormalization):
                layer.gamma.assign(tf.ones_like(layer.gamma))
                layer.beta.assign(tf.zeros_like(layer.beta))

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
