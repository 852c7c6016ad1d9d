"""Models that the paper compares its own to (Figure 6): overrides of what differs."""

from typing import Dict, Optional, Sequence

import gin
import tensorflow as tf

from slac_tf.latent_models import base, heads, two_layer
from slac_tf.utils import checks


@gin.configurable
class PartiallyStochasticModel(two_layer.TwoLayerModel):
    """As the two-layer model, but z2 is a deterministic function of its inputs.

    prior                                   posterior

    z1_1 ──► z2_1 ──┬─► z2_2 ──►  …         x_1       x_2
      │        │    │    ▲                   │         │
      │    a_1─┼──┬─┘    │                   ▼         ▼
      │        └──┴─► z1_2 ──►  …           z1_1      z1_2 ◄── z2_1, a_1

    z2_t = f(z1_t, z2_{t-1}, a_{t-1}): a deterministic path through time. z1 is stochastic.
    """

    Z2_HEAD = heads.DeterministicHead


@gin.configurable
class DeterministicModel(two_layer.TwoLayerModel):
    """As the two-layer model, but nothing is sampled from the posterior.

        prior                                   posterior

        z1_1 ──► z2_1 ──┬─► z2_2 ──►  …         x_1       x_2
                   │    │    ▲                   │         │
               a_1─┼──┬─┘    │                   ▼         ▼
                   └──┴─► z1_2 ──►  …           z1_1      z1_2 ◄── z2_1, a_1

        z1_t = g(x_t, z2_{t-1}, a_{t-1}) and z2_t = f(z1_t, z2_{t-1}, a_{t-1}) are functions.

    The prior p(z1_{t+1} | z2_t, a_t) is a Gaussian of standard deviation 1, and its KL, which a point mass
    does not have, gives way to -log p(z1_{t+1} | ·) of the posterior's value, but for an episode's first step.
    """

    Z1_POSTERIOR_HEAD = heads.DeterministicHead
    Z1_PRIOR_HEAD = heads.UnitScaleHead
    Z2_HEAD = heads.DeterministicHead

    def kl(self, posterior: base.LatentState, prior: base.LatentState, step_types: tf.Tensor) -> Dict[str, tf.Tensor]:
        """-log p(z1 | ·) of the posterior's z1, 0 at first steps; see the base class."""
        location = prior["z1"]["loc"]
        distribution = base.tfd.MultivariateNormalDiag(location, prior["z1"]["scale"])
        values = -distribution.log_prob(posterior["z1"]["sample"])
        return {"z1": tf.where(base.begins(step_types), tf.zeros_like(values), values)}


@gin.configurable
class VAEModel(base.LatentModel):
    """Two layers and no time: every step is an episode's first.

    prior                posterior

    z1_t ──► z2_t        x_t ──► z1_t ──► z2_t

    r_t ◄── z_t, a_t, z_{t+1}, as in the other models.
    """

    def __init__(
        self,
        action_size: int,
        z1_size: int = 32,
        z2_size: int = 256,
        base_depth: int = 32,
        hidden_sizes: Sequence[int] = (256, 256),
        state_size: Optional[int] = None,
    ):
        """Constructor; arguments and errors as `two_layer.TwoLayerModel`'s."""
        checks.counts("VAEModel", z1_size=z1_size, z2_size=z2_size, base_depth=base_depth)
        checks.sizes("VAEModel", hidden_sizes=hidden_sizes)
        super().__init__(
            layer_sizes={"z1": z1_size, "z2": z2_size},
            kl_layers=("z1",),
            action_size=action_size,
            base_depth=base_depth,
            hidden_sizes=hidden_sizes,
            state_size=state_size,
        )
        self._z1_size = z1_size
        # p(z2_t | z1_t)
        self._z2 = heads.GaussianHead(z1_size, z2_size, hidden_sizes, name="z2")
        # q(z1_t | x_t)
        self._z1_posterior = heads.GaussianHead(self.encoder.feature_size, z1_size, hidden_sizes, name="z1_posterior")

    def first_prior(self, batch_shape: tf.Tensor, given: Optional[base.Samples] = None) -> base.LatentState:
        """p(z1) p(z2 | z1); see the base class."""
        given = given or {}
        z1 = heads.standard_normal(batch_shape, self._z1_size, given.get("z1"))
        return {"z1": z1, "z2": self._z2(z1["sample"], given=given.get("z2"))}

    def prior_step(
        self, previous: base.LatentState, action: tf.Tensor, given: Optional[base.Samples] = None
    ) -> base.LatentState:
        """p(z1) p(z2 | z1), of nothing before; see the base class."""
        return self.first_prior(tf.shape(action)[:-1], given)

    def first_posterior(self, feature: tf.Tensor) -> base.LatentState:
        """q(z1 | x) p(z2 | z1); see the base class."""
        z1 = self._z1_posterior(feature)
        return {"z1": z1, "z2": self._z2(z1["sample"])}

    def posterior_step(self, previous: base.LatentState, action: tf.Tensor, feature: tf.Tensor) -> base.LatentState:
        """q(z1 | x) p(z2 | z1), of nothing before; see the base class."""
        return self.first_posterior(feature)


@gin.configurable
class SimpleFilteringModel(base.LatentModel):
    """One stochastic layer.

    prior                     posterior

    z_1 ──► z_2 ──► …         x_1 ──► z_1 ──► z_2 ──► …
             ▲                                 ▲
            a_1                             a_1, x_2
    """

    def __init__(
        self,
        action_size: int,
        z_size: int = 256,
        base_depth: int = 32,
        hidden_sizes: Sequence[int] = (256, 256),
        state_size: Optional[int] = None,
    ):
        """Constructor.

        Args:
            action_size: A.
            z_size: Dimensions of z.
            base_depth: Channels of the encoder's first layer.
            hidden_sizes: Hidden layers of every head.
            state_size: S of a simulator's state that is observed beside the frames; None where none is.

        Raises:
            ValueError: If a size is no positive integer.
        """
        checks.counts("SimpleFilteringModel", z_size=z_size, base_depth=base_depth)
        checks.sizes("SimpleFilteringModel", hidden_sizes=hidden_sizes)
        super().__init__(
            layer_sizes={"z": z_size},
            kl_layers=("z",),
            action_size=action_size,
            base_depth=base_depth,
            hidden_sizes=hidden_sizes,
            state_size=state_size,
        )
        self._z_size = z_size
        feature_size = self.encoder.feature_size
        # p(z_{t+1} | z_t, a_t)
        self._prior = heads.GaussianHead(z_size + action_size, z_size, hidden_sizes, name="prior")
        # q(z_1 | x_1)
        self._first_posterior = heads.GaussianHead(feature_size, z_size, hidden_sizes, name="first_posterior")
        # q(z_{t+1} | x_{t+1}, z_t, a_t)
        self._posterior = heads.GaussianHead(
            feature_size + z_size + action_size, z_size, hidden_sizes, name="posterior"
        )

    def first_prior(self, batch_shape: tf.Tensor, given: Optional[base.Samples] = None) -> base.LatentState:
        """p(z_1); see the base class."""
        return {"z": heads.standard_normal(batch_shape, self._z_size, (given or {}).get("z"))}

    def prior_step(
        self, previous: base.LatentState, action: tf.Tensor, given: Optional[base.Samples] = None
    ) -> base.LatentState:
        """p(z_{t+1} | z_t, a_t); see the base class."""
        return {"z": self._prior(previous["z"]["sample"], action, given=(given or {}).get("z"))}

    def first_posterior(self, feature: tf.Tensor) -> base.LatentState:
        """q(z_1 | x_1); see the base class."""
        return {"z": self._first_posterior(feature)}

    def posterior_step(self, previous: base.LatentState, action: tf.Tensor, feature: tf.Tensor) -> base.LatentState:
        """q(z_{t+1} | x_{t+1}, z_t, a_t); see the base class."""
        return {"z": self._posterior(feature, previous["z"]["sample"], action)}
