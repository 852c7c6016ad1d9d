"""A sequential latent variable model: what every model has in common, written once.

A latent state is `{layer: {'loc', 'scale', 'sample'}}`, plain tensors. A model supplies four methods that
make one step each; unrolling, resets at episode starts, KL and open-loop prediction stand here.
"""

import abc
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import tensorflow as tf
import tensorflow_probability as tfp

from slac_tf.latent_models import heads
from slac_tf.networks import conv, encoders
from slac_tf.utils import masks

tfd = tfp.distributions

LatentState = Dict[str, heads.LayerState]
Samples = Dict[str, tf.Tensor]
Policy = Callable[[tf.Tensor], tf.Tensor]


class LatentModel(tf.Module, abc.ABC):
    """Base of the latent models.

    Attributes:
        encoder: Frames to features, `[…, 64, 64, 3] uint8` to `[…, F] float32`; with a state, of both.
        latent_size: Size of the concatenation of all layers, which is what the critic sees.
        kl_layers: Layers whose posterior differs from their prior, and so have a KL divergence.
    """

    def __init__(
        self,
        layer_sizes: Dict[str, int],
        kl_layers: Sequence[str],
        action_size: int,
        base_depth: int,
        hidden_sizes: Sequence[int],
        encoder: Optional[tf.Module] = None,
        decoder: Optional[tf.Module] = None,
        reward: Optional[heads.HeadClass] = None,
        state_size: Optional[int] = None,
    ):
        """Constructor.

        Args:
            layer_sizes: Dimensions of each layer, by name.
            kl_layers: Layers whose posterior differs from their prior.
            action_size: A.
            base_depth: Channels of the encoder's first layer.
            hidden_sizes: Hidden layers of the reward's head, and of the state's head and encoder.
            encoder: Of frames; the paper's where None.
            decoder: Of frames; the paper's where None.
            reward: The reward's head; a Gaussian of z_t, a_t and z_{t+1} where None.
            state_size: S of a simulator's state that is observed beside the frames; there is none where None.
        """
        super().__init__()
        self._layers = tuple(layer_sizes)
        self.kl_layers = tuple(kl_layers)
        self.latent_size = sum(layer_sizes.values())
        frames = conv.Encoder(base_depth) if encoder is None else encoder
        self.encoder = frames if state_size is None else encoders.JointEncoder(frames, state_size, hidden_sizes)
        self._decoder = conv.Decoder(self.latent_size, base_depth) if decoder is None else decoder
        reward_sizes = (2 * self.latent_size + action_size, 1, hidden_sizes)
        self._reward = (reward or heads.GaussianHead)(*reward_sizes, name="reward")
        self._state = None
        if state_size is not None:
            self._state = heads.GaussianHead(self.latent_size, state_size, hidden_sizes, name="state")

    @abc.abstractmethod
    def first_prior(self, batch_shape: tf.Tensor, given: Optional[Samples] = None) -> LatentState:
        """p(z_1).

        Args:
            batch_shape: `[rank] int32`.
            given: Samples to take the place of the layers' own, or None to draw them.

        Returns:
            The state, `[*batch_shape, D]` for each layer.
        """

    @abc.abstractmethod
    def prior_step(self, previous: LatentState, action: tf.Tensor, given: Optional[Samples] = None) -> LatentState:
        """p(z_{t+1} | z_t, a_t).

        Args:
            previous: The state at t, `[…, D]` for each layer.
            action: `[…, A] float32`.
            given: Samples to take the place of the layers' own, or None to draw them.

        Returns:
            The state at t+1.
        """

    @abc.abstractmethod
    def first_posterior(self, feature: tf.Tensor) -> LatentState:
        """q(z_1 | x_1).

        Args:
            feature: `[…, F] float32`.

        Returns:
            The state, `[…, D]` for each layer.
        """

    @abc.abstractmethod
    def posterior_step(self, previous: LatentState, action: tf.Tensor, feature: tf.Tensor) -> LatentState:
        """q(z_{t+1} | x_{t+1}, z_t, a_t).

        Args:
            previous: The state at t, `[…, D]` for each layer.
            action: `[…, A] float32`.
            feature: `[…, F] float32` of the frame at t+1.

        Returns:
            The state at t+1.
        """

    def posterior(self, features: tf.Tensor, actions: tf.Tensor, step_types: tf.Tensor) -> LatentState:
        """The filtering posterior along a window; it starts afresh at every FIRST step.

        Args:
            features: `[B, T+1, F] float32`.
            actions: `[B, T+1, A] float32`.
            step_types: `[B, T+1] int32`.

        Returns:
            The states, `[B, T+1, D]` for each layer.
        """
        resets = masks.is_first(step_types)
        # Unstacked once, since each slice's gradient would be a sequence of zeros but for one step.
        each_feature = tf.unstack(features, axis=1)
        afresh = _unstack(self._first_posterior_at(resets[:, 1:], features[:, 1:]))
        states = [self.first_posterior(each_feature[0])]
        for t in range(1, len(each_feature)):
            state = self.posterior_step(states[-1], actions[:, t - 1], each_feature[t])
            states.append(masks.where(resets[:, t], afresh[t - 1], state))
        return tf.nest.map_structure(lambda *steps: tf.stack(steps, axis=1), *states)

    def _first_posterior_at(self, steps: tf.Tensor, features: tf.Tensor) -> LatentState:
        """q(z_1 | x_1) where `steps` `[B, T] bool` says so, zeros elsewhere: few windows hold an episode's start."""
        places = tf.where(steps)  # [K, 2]
        states = self.first_posterior(tf.gather_nd(features, places))
        shape = tf.shape(steps, out_type=tf.int64)

        def spread(values: tf.Tensor) -> tf.Tensor:
            dense = tf.scatter_nd(places, values, tf.concat([shape, values.shape[-1:]], axis=0))  # [K, D] -> [B, T, D]
            return tf.ensure_shape(dense, features.shape[:2] + values.shape[-1:])

        return tf.nest.map_structure(spread, states)

    def prior(self, posterior: LatentState, actions: tf.Tensor, step_types: tf.Tensor) -> LatentState:
        """The prior of every step of a window given the posterior's samples of the steps before.

        Args:
            posterior: `[B, T+1, D]` for each layer.
            actions: `[B, T+1, A] float32`.
            step_types: `[B, T+1] int32`.

        Returns:
            The states, `[B, T+1, D]` for each layer, with the posterior's samples.
        """
        samples = {layer: values["sample"] for layer, values in posterior.items()}
        afresh = self.first_prior(tf.shape(step_types), given=samples)
        later = self.prior_step(
            tf.nest.map_structure(lambda x: x[:, :-1], posterior),
            actions[:, :-1],
            given=tf.nest.map_structure(lambda x: x[:, 1:], samples),
        )
        later = tf.nest.map_structure(lambda first, x: tf.concat([first[:, :1], x], axis=1), afresh, later)
        return masks.where(begins(step_types), afresh, later)

    def open_loop(self, features: tf.Tensor, actions: tf.Tensor, context_frames: int) -> LatentState:
        """States from the posterior of the first frames, then from the prior alone.

        Args:
            features: `[B, T+1, F] float32`, of one episode.
            actions: `[B, T+1, A] float32`.
            context_frames: Frames that are given, 0 to T+1. 0 samples from the prior, 1 from what the
                paper calls the conditional prior.

        Returns:
            The states, `[B, T+1, D]` for each layer.

        Raises:
            ValueError: If `context_frames` is out of range.
        """
        length = features.shape[1]
        if not 0 <= context_frames <= length:
            raise ValueError(f"context_frames: {context_frames}, expected 0 to {length}")
        first = self.first_posterior(features[:, 0]) if context_frames else self.first_prior(tf.shape(features)[:1])
        states = [first]
        for t in range(1, context_frames):
            states.append(self.posterior_step(states[-1], actions[:, t - 1], features[:, t]))
        known = tf.nest.map_structure(lambda *steps: tf.stack(steps, axis=1), *states)
        if len(states) == length:
            return known
        imagined, _ = self.imagine(states[-1], actions[:, len(states) - 1 : -1], length - len(states))
        return tf.nest.map_structure(lambda a, b: tf.concat([a, b], axis=1), known, imagined)

    def imagine(
        self, state: LatentState, actions: Union[tf.Tensor, Policy], num_steps: int
    ) -> Tuple[LatentState, tf.Tensor]:
        """Steps of the prior alone, with actions that are given or chosen on the way.

        Args:
            state: Where to begin, `[B, D]` for each layer.
            actions: `[B, num_steps, A] float32`, or a policy on latents: `[B, latent_size]` to `[B, A]`.
            num_steps: How many, at least 1.

        Returns:
            The states after each action, `[B, num_steps, D]` for each layer, and the actions,
            `[B, num_steps, A] float32`.
        """
        states, taken = [state], []
        for t in range(num_steps):
            taken.append(actions(self.vector(states[-1])) if callable(actions) else actions[:, t])
            states.append(self.prior_step(states[-1], taken[-1]))
        stacked = tf.nest.map_structure(lambda *steps: tf.stack(steps, axis=1), *states[1:])
        return stacked, tf.stack(taken, axis=1)

    def kl(self, posterior: LatentState, prior: LatentState, step_types: tf.Tensor) -> Dict[str, tf.Tensor]:
        """KL(q || p) of each layer that has one, summed over its dimensions.

        Args:
            posterior: `[B, T+1, D]` for each layer.
            prior: Same.
            step_types: `[B, T+1] int32`.

        Returns:
            `[B, T+1] float32` for each of `kl_layers`.
        """
        del step_types
        return {
            layer: tfd.kl_divergence(
                tfd.MultivariateNormalDiag(posterior[layer]["loc"], posterior[layer]["scale"]),
                tfd.MultivariateNormalDiag(prior[layer]["loc"], prior[layer]["scale"]),
            )
            for layer in self.kl_layers
        }

    def vector(self, state: LatentState) -> tf.Tensor:
        """The sample of all layers as one vector, z_t = (z1_t, z2_t).

        Args:
            state: `[…, D]` for each layer.

        Returns:
            `[…, latent_size] float32`.
        """
        return tf.concat([state[layer]["sample"] for layer in self._layers], axis=-1)

    def decode(self, latents: tf.Tensor) -> tf.Tensor:
        """Mean of p(x_t | z_t).

        Args:
            latents: `[…, latent_size] float32`.

        Returns:
            `[…, 64, 64, 3] float32`, on the scale of [0, 1].
        """
        return self._decoder(latents)

    def encode(self, observation: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Features of what is observed.

        Args:
            observation: `'pixels'`, `[…, 64, 64, 3] uint8`; for a model with a state also `'state'`, `[…, S] float32`.

        Returns:
            `[…, F] float32`.
        """
        return self.encoder(encoders.read(self.encoder, observation))

    def state(self, latents: tf.Tensor) -> Optional[Tuple[tf.Tensor, tf.Tensor]]:
        """Mean and standard deviation of p(s_t | z_t), s the simulator's state.

        Args:
            latents: `[…, latent_size] float32`.

        Returns:
            Two tensors `[…, S] float32`; None for a model of frames alone.
        """
        if self._state is None:
            return None
        state = self._state(latents)
        return state["loc"], state["scale"]

    def reward(self, latents: tf.Tensor, actions: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation of p(r_t | z_t, a_t, z_{t+1}).

        Args:
            latents: `[B, T+1, latent_size] float32`.
            actions: `[B, T+1, A] float32`.

        Returns:
            Two tensors `[B, T] float32`.
        """
        state = self._reward(latents[:, :-1], actions[:, :-1], latents[:, 1:])
        return tf.squeeze(state["loc"], axis=-1), tf.squeeze(state["scale"], axis=-1)


def begins(step_types: tf.Tensor) -> tf.Tensor:
    """Marks the steps of windows that have no step before them, in the window or in the episode.

    Args:
        step_types: `[B, T+1] int32`.

    Returns:
        `[B, T+1] bool`.
    """
    return tf.concat([tf.ones_like(step_types[:, :1], tf.bool), masks.is_first(step_types)[:, 1:]], axis=1)


def _unstack(states: LatentState) -> List[LatentState]:
    """`[B, T, D]` for each layer to T times `[B, D]`."""
    steps = zip(*(tf.unstack(x, axis=1) for x in tf.nest.flatten(states)))
    return [tf.nest.pack_sequence_as(states, step) for step in steps]
