"""Conditional distributions of one latent layer or of the reward.

A head returns a layer's state: `{'loc', 'scale', 'sample'}`, plain tensors of one shape. Distributions
are rebuilt from loc and scale where they are needed, so that slicing and masking are ordinary tensor
operations.
"""

from typing import Any, Callable, Dict, Optional, Sequence

import tensorflow as tf

from slac_tf.networks import mlp
from slac_tf.utils import seeds

LayerState = Dict[str, tf.Tensor]
HeadClass = Callable[..., Any]
"""Called with `input_size, output_size, hidden_sizes, name`; gives a head."""


def layer_state(loc: tf.Tensor, scale: tf.Tensor, given: Optional[tf.Tensor] = None) -> LayerState:
    """A layer's state with a reparameterised sample, or with the sample that is given.

    Args:
        loc: `[…, D] float32`.
        scale: `[…, D] float32`, positive.
        given: `[…, D] float32`, or None to draw one.

    Returns:
        The state.
    """
    sample = loc + scale * _noise(tf.shape(loc)) if given is None else given
    return {"loc": loc, "scale": scale, "sample": sample}


def standard_normal(batch_shape: tf.Tensor, size: int, given: Optional[tf.Tensor] = None) -> LayerState:
    """N(0, I), conditioned on nothing.

    Args:
        batch_shape: `[rank] int32`.
        size: D.
        given: `[*batch_shape, D] float32`, or None to draw a sample.

    Returns:
        The state, of shape `[*batch_shape, D]`.
    """
    shape = tf.concat([batch_shape, [size]], axis=0)
    return layer_state(tf.zeros(shape), tf.ones(shape), given)


class GaussianHead(tf.Module):
    """Two leaky ReLU layers, then a mean and a standard deviation softplus(·) + 1e-5 (Appendix B)."""

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_sizes: Sequence[int],
        name: str,
        *,
        activation: Callable[[tf.Tensor], tf.Tensor] = tf.nn.leaky_relu,
        min_scale: float = 1e-5,
    ):
        super().__init__(name=name)
        self._mlp = mlp.MLP(input_size, hidden_sizes, 2 * output_size, activation)
        self._min_scale = min_scale

    def __call__(self, *inputs: tf.Tensor, given: Optional[tf.Tensor] = None) -> LayerState:
        """The distribution given the concatenation of the inputs.

        Args:
            *inputs: `[…, size] float32`.
            given: `[…, output_size] float32` takes the place of the sample; None draws one.

        Returns:
            The state, of shape `[…, output_size]`.
        """
        loc, scale = tf.split(self._mlp(*inputs), 2, axis=-1)
        return layer_state(loc, tf.nn.softplus(scale) + self._min_scale, given)


class UnitScaleHead(tf.Module):
    """A Gaussian of standard deviation 1; its mean comes from two leaky ReLU layers and a linear one."""

    _scale = 1.0

    def __init__(self, input_size: int, output_size: int, hidden_sizes: Sequence[int], name: str):
        super().__init__(name=name)
        self._mlp = mlp.MLP(input_size, hidden_sizes, output_size, tf.nn.leaky_relu)

    def __call__(self, *inputs: tf.Tensor, given: Optional[tf.Tensor] = None) -> LayerState:
        """The distribution given the concatenation of the inputs.

        Args:
            *inputs: `[…, size] float32`.
            given: `[…, output_size] float32` takes the place of the sample; None draws one.

        Returns:
            The state, of shape `[…, output_size]`.
        """
        loc = self._mlp(*inputs)
        return layer_state(loc, tf.fill(tf.shape(loc), self._scale), given)


class DeterministicHead(UnitScaleHead):
    """A point mass: a standard deviation of 0, so that the sample is the mean."""

    _scale = 0.0


class ArrivalRewardHead(tf.Module):
    """PlaNet's p(r_t | z_{t+1}): a mean of the state arrived at from ReLU layers, and a standard deviation of 1."""

    def __init__(self, input_size: int, output_size: int, hidden_sizes: Sequence[int], name: str, *, latent_size: int):
        super().__init__(name=name)
        del input_size  # that of z_t, a_t and z_{t+1} together
        self._mlp = mlp.MLP(latent_size, hidden_sizes, output_size, tf.nn.relu)

    def __call__(self, latent: tf.Tensor, action: tf.Tensor, next_latent: tf.Tensor) -> LayerState:
        """The distribution of the reward.

        Args:
            latent: z_t, not looked at.
            action: a_t, not looked at.
            next_latent: z_{t+1}, `[…, latent_size] float32`.

        Returns:
            The state, of shape `[…, output_size]`.
        """
        del latent, action
        loc = self._mlp(next_latent)
        return layer_state(loc, tf.ones_like(loc), given=loc)


def _noise(shape: tf.Tensor) -> tf.Tensor:
    return tf.random.normal(shape, seed=seeds.of_draw())
