"""The paper's latent variable model: two fully stochastic layers (Section 6, Appendix B)."""

from typing import Optional, Sequence

import gin
import tensorflow as tf

from slac_tf.latent_models import base, heads
from slac_tf.utils import checks


@gin.configurable
class TwoLayerModel(base.LatentModel):
    """z_t = (z1_t, z2_t), both stochastic; z2's posterior is its prior, so only z1 has a KL.

    prior                                   posterior

    z1_1 ──► z2_1 ──┬─► z2_2 ──►  …         x_1       x_2
      │        │    │    ▲                   │         │
      │    a_1─┼──┬─┘    │                   ▼         ▼
      │        └──┴─► z1_2 ──►  …           z1_1      z1_2 ◄── z2_1, a_1
      ▼                                     z2_1, z2_2 as in the prior
     x_t ◄── z1_t, z2_t
     r_t ◄── z1_t, z2_t, a_t, z1_{t+1}, z2_{t+1}
    """

    # What each family of conditional distributions is; ablations put others here.
    Z1_POSTERIOR_HEAD: heads.HeadClass = heads.GaussianHead
    Z1_PRIOR_HEAD: heads.HeadClass = heads.GaussianHead
    Z2_HEAD: heads.HeadClass = heads.GaussianHead

    def __init__(
        self,
        action_size: int,
        z1_size: int = 32,
        z2_size: int = 256,
        base_depth: int = 32,
        hidden_sizes: Sequence[int] = (256, 256),
        state_size: Optional[int] = None,
    ):
        """Constructor.

        Args:
            action_size: A.
            z1_size: Dimensions of z1.
            z2_size: Dimensions of z2.
            base_depth: Channels of the encoder's first layer.
            hidden_sizes: Hidden layers of every head.
            state_size: S of a simulator's state that is observed beside the frames; None where none is.

        Raises:
            ValueError: If a size is no positive integer.
        """
        where = type(self).__name__  # an ablation's own name
        checks.counts(where, z1_size=z1_size, z2_size=z2_size, base_depth=base_depth)
        checks.sizes(where, hidden_sizes=hidden_sizes)
        super().__init__(
            layer_sizes={"z1": z1_size, "z2": z2_size},
            kl_layers=("z1",),
            action_size=action_size,
            base_depth=base_depth,
            hidden_sizes=hidden_sizes,
            state_size=state_size,
        )
        self._z1_size = z1_size
        feature_size = self.encoder.feature_size
        # p(z2_1 | z1_1)
        self._z2_first = self.Z2_HEAD(z1_size, z2_size, hidden_sizes, name="z2_first")
        # p(z1_{t+1} | z2_t, a_t)
        self._z1_prior = self.Z1_PRIOR_HEAD(z2_size + action_size, z1_size, hidden_sizes, name="z1_prior")
        # p(z2_{t+1} | z1_{t+1}, z2_t, a_t)
        self._z2 = self.Z2_HEAD(z1_size + z2_size + action_size, z2_size, hidden_sizes, name="z2")
        # q(z1_1 | x_1)
        self._z1_first_posterior = self.Z1_POSTERIOR_HEAD(
            feature_size, z1_size, hidden_sizes, name="z1_first_posterior"
        )
        # q(z1_{t+1} | x_{t+1}, z2_t, a_t)
        self._z1_posterior = self.Z1_POSTERIOR_HEAD(
            feature_size + z2_size + action_size, z1_size, hidden_sizes, name="z1_posterior"
        )

    def first_prior(self, batch_shape: tf.Tensor, given: Optional[base.Samples] = None) -> base.LatentState:
        """p(z1_1) p(z2_1 | z1_1); see the base class."""
        given = given or {}
        z1 = heads.standard_normal(batch_shape, self._z1_size, given.get("z1"))
        return {"z1": z1, "z2": self._z2_first(z1["sample"], given=given.get("z2"))}

    def prior_step(
        self, previous: base.LatentState, action: tf.Tensor, given: Optional[base.Samples] = None
    ) -> base.LatentState:
        """p(z1_{t+1} | z2_t, a_t) p(z2_{t+1} | z1_{t+1}, z2_t, a_t); see the base class."""
        given = given or {}
        z2_previous = previous["z2"]["sample"]
        z1 = self._z1_prior(z2_previous, action, given=given.get("z1"))
        return {"z1": z1, "z2": self._z2(z1["sample"], z2_previous, action, given=given.get("z2"))}

    def first_posterior(self, feature: tf.Tensor) -> base.LatentState:
        """q(z1_1 | x_1) p(z2_1 | z1_1); see the base class."""
        z1 = self._z1_first_posterior(feature)
        return {"z1": z1, "z2": self._z2_first(z1["sample"])}

    def posterior_step(self, previous: base.LatentState, action: tf.Tensor, feature: tf.Tensor) -> base.LatentState:
        """q(z1_{t+1} | x_{t+1}, z2_t, a_t) p(z2_{t+1} | z1_{t+1}, z2_t, a_t); see the base class."""
        z2_previous = previous["z2"]["sample"]
        z1 = self._z1_posterior(feature, z2_previous, action)
        return {"z1": z1, "z2": self._z2(z1["sample"], z2_previous, action)}
