"""PlaNet's recurrent state-space model in the place of SLAC's (Figure 6, "PlaNet model")."""

import functools
from typing import Dict, Optional, Sequence

import gin
import tensorflow as tf

from slac_tf.latent_models import base, heads
from slac_tf.networks import planet_conv
from slac_tf.utils import checks


@gin.configurable
class RSSM(base.LatentModel):
    """A recurrent, deterministic h and a small Gaussian s (Hafner et al. 2019).

        prior                            posterior

        h_1 ──► h_2 ──►  …               x_t
         │    ▲  │                        │
         ▼    │  ▼                        ▼
        s_1 ──┤ s_2 ──►  …               s_t ◄── h_t
              │
             a_1

        h_t = GRU(h_{t-1}, FC([s_{t-1}, a_{t-1}])), from zeros at an episode's first step; p(s_t | h_t),
        q(s_t | h_t, x_t). Frames, rewards and the critic see [h_t, s_t].

    Each step's KL counts from `free_nats` on. Likelihoods are those of SLAC's other models.
    """

    def __init__(
        self,
        action_size: int,
        h_size: int = 200,
        s_size: int = 30,
        base_depth: int = 32,
        hidden_sizes: Sequence[int] = (200,),
        reward_hidden_sizes: Sequence[int] = (256, 256),
        free_nats: float = 3.0,
        reward_of_arrival: bool = False,
        state_size: Optional[int] = None,
    ):
        """Constructor.

        Args:
            action_size: A.
            h_size: Units of the GRU.
            s_size: Dimensions of s.
            base_depth: Channels of the encoder's first layer.
            hidden_sizes: Hidden layers of p(s | ·) and q(s | ·).
            reward_hidden_sizes: Hidden layers of the reward model.
            free_nats: KL of a step below which it costs nothing.
            reward_of_arrival: Whether the reward model is PlaNet's, p(r_t | h_{t+1}, s_{t+1}), and not SLAC's.
            state_size: S of a simulator's state that is observed beside the frames; None where none is.

        Raises:
            ValueError: If a size is no positive integer.
        """
        checks.counts("RSSM", h_size=h_size, s_size=s_size, base_depth=base_depth)
        checks.sizes("RSSM", hidden_sizes=hidden_sizes, reward_hidden_sizes=reward_hidden_sizes)
        checks.not_negative("RSSM", free_nats=free_nats)
        checks.booleans("RSSM", reward_of_arrival=reward_of_arrival)
        super().__init__(
            layer_sizes={"h": h_size, "s": s_size},
            kl_layers=("s",),
            action_size=action_size,
            base_depth=base_depth,
            hidden_sizes=reward_hidden_sizes,
            state_size=state_size,
            encoder=planet_conv.PlanetEncoder(base_depth),
            decoder=planet_conv.PlanetDecoder(h_size + s_size, base_depth),
            reward=functools.partial(heads.ArrivalRewardHead, latent_size=h_size + s_size)
            if reward_of_arrival
            else None,
        )
        self._h_size, self._s_size, self._action_size = h_size, s_size, action_size
        self._free_nats = free_nats
        self._embed = tf.keras.layers.Dense(h_size, activation=tf.nn.relu)
        self._embed.build([None, s_size + action_size])
        self._cell = tf.keras.layers.GRUCell(h_size)
        self._cell.build([None, h_size])
        planet = dict(activation=tf.nn.relu, min_scale=0.1)
        # p(s_t | h_t)
        self._prior = heads.GaussianHead(h_size, s_size, hidden_sizes, "prior", **planet)
        # q(s_t | h_t, x_t)
        self._posterior = heads.GaussianHead(
            h_size + self.encoder.feature_size, s_size, hidden_sizes, "posterior", **planet
        )

    def _recur(self, h: tf.Tensor, s: tf.Tensor, action: tf.Tensor) -> heads.LayerState:
        leading = tf.shape(h)[:-1]
        x = tf.reshape(self._embed(tf.concat([s, action], axis=-1)), [-1, self._h_size])  # […, H] -> [N, H]
        h, _ = self._cell(x, [tf.reshape(h, [-1, self._h_size])])
        h = tf.reshape(h, tf.concat([leading, [self._h_size]], axis=0))
        return heads.layer_state(h, tf.zeros_like(h), given=h)

    def _first_h(self, batch_shape: tf.Tensor) -> heads.LayerState:
        sizes = (self._h_size, self._s_size, self._action_size)
        return self._recur(*(tf.zeros(tf.concat([batch_shape, [size]], axis=0)) for size in sizes))

    def first_prior(self, batch_shape: tf.Tensor, given: Optional[base.Samples] = None) -> base.LatentState:
        """p(s_1 | h_1), h_1 from zeros; see the base class."""
        h = self._first_h(batch_shape)
        return {"h": h, "s": self._prior(h["sample"], given=(given or {}).get("s"))}

    def prior_step(
        self, previous: base.LatentState, action: tf.Tensor, given: Optional[base.Samples] = None
    ) -> base.LatentState:
        """h_{t+1} = f(h_t, s_t, a_t), p(s_{t+1} | h_{t+1}); see the base class."""
        h = self._recur(previous["h"]["sample"], previous["s"]["sample"], action)
        return {"h": h, "s": self._prior(h["sample"], given=(given or {}).get("s"))}

    def first_posterior(self, feature: tf.Tensor) -> base.LatentState:
        """q(s_1 | h_1, x_1), h_1 from zeros; see the base class."""
        h = self._first_h(tf.shape(feature)[:-1])
        return {"h": h, "s": self._posterior(h["sample"], feature)}

    def posterior_step(self, previous: base.LatentState, action: tf.Tensor, feature: tf.Tensor) -> base.LatentState:
        """h_{t+1} = f(h_t, s_t, a_t), q(s_{t+1} | h_{t+1}, x_{t+1}); see the base class."""
        h = self._recur(previous["h"]["sample"], previous["s"]["sample"], action)
        return {"h": h, "s": self._posterior(h["sample"], feature)}

    def kl(self, posterior: base.LatentState, prior: base.LatentState, step_types: tf.Tensor) -> Dict[str, tf.Tensor]:
        """max(0, KL(q || p) - free nats) of each step's s; see the base class."""
        return {
            layer: tf.nn.relu(values - self._free_nats)
            for layer, values in super().kl(posterior, prior, step_types).items()
        }
