"""The fully connected stack of MPO and D4PG."""

from typing import Optional, Sequence

import tensorflow as tf


class LayerNormMLP(tf.Module):
    """A linear layer, layer normalization and tanh; ELU layers; a linear output (Hoffman et al. 2020).

    On features of a convolutional encoder the first layer is the "FC 50, layer norm, tanh" that each head of
    the control suite's pixel networks has of its own (Tassa et al. 2018). Whatever else comes in, such as an
    action, joins after it.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        *,
        joining_size: int = 0,
        output_scale: Optional[float] = None,
    ):
        """Constructor.

        Args:
            input_size: Size of what the first layer sees.
            hidden_sizes: At least one.
            output_size: Size of the output.
            joining_size: Size of what joins after the first layer.
            output_scale: Variance scale of the output layer's initial weights; Glorot-uniform where None.

        Raises:
            ValueError: If there is no hidden layer.
        """
        super().__init__()
        if not hidden_sizes:
            raise ValueError("hidden_sizes: empty, expected at least one")
        self._first = tf.keras.layers.Dense(hidden_sizes[0], kernel_initializer=_uniform())
        self._norm = tf.keras.layers.LayerNormalization(epsilon=1e-5)
        self._layers = [
            tf.keras.layers.Dense(size, activation=tf.nn.elu, kernel_initializer=_uniform())
            for size in hidden_sizes[1:]
        ]
        last = "glorot_uniform" if output_scale is None else tf.keras.initializers.VarianceScaling(output_scale)
        self._layers.append(tf.keras.layers.Dense(output_size, kernel_initializer=last))
        self(tf.zeros([1, input_size]), *([tf.zeros([1, joining_size])] if joining_size else []))

    def __call__(self, inputs: tf.Tensor, *joining: tf.Tensor) -> tf.Tensor:
        """Applies the layers.

        Args:
            inputs: `[B, input_size] float32`.
            *joining: `[B, size] float32`, what joins after the first layer.

        Returns:
            `[B, output_size] float32`.
        """
        x = tf.concat([tf.tanh(self._norm(self._first(inputs))), *joining], axis=-1)
        for layer in self._layers:
            x = layer(x)
        return x


def _uniform() -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.VarianceScaling(0.333, mode="fan_out", distribution="uniform")
