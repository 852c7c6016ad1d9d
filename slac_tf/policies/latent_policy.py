"""A policy on the latent of a model, which it filters as it acts."""

from typing import Optional

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from slac_tf.latent_models import base
from slac_tf.networks import tanh_gaussian_actor
from slac_tf.utils import masks


class LatentPolicy(tf_policy.TFPolicy):
    """π(a_t | z_t), z_t a sample of q(z_t | x_t, z_{t-1}, a_{t-1}); an episode's first one of q(z_1 | x_1).

    The state holds the last step's latent and action. Its latent stays as it was sampled: while the model is trained,
    it comes from older weights. A greedy policy takes the mode of π, but filters with samples, too.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.NestedTensorSpec,
        model: base.LatentModel,
        actor: tanh_gaussian_actor.TanhGaussianActor,
        *,
        greedy: bool,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`, and `'state'`, `[S] float32`, if the
                model reads it.
            action_spec: `[A] float32` in [-1, 1].
            model: Filters.
            actor: The policy network, of latents `[B, latent_size] float32`.
            greedy: Whether to take the mode of the distribution instead of a sample.
        """
        feature = tf.TensorSpec([1, model.encoder.feature_size], tf.float32)
        traced = tf.function(model.first_posterior).get_concrete_function(feature)  # for its shapes alone
        latent = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], x.dtype), traced.structured_outputs)
        action = tf.TensorSpec(action_spec.shape, tf.float32)
        super().__init__(time_step_spec, action_spec, policy_state_spec={"latent": latent, "action": action})
        self._model = model
        self._actor = actor
        self._greedy = greedy

    def _variables(self) -> list:
        return [*self._model.variables, *self._actor.variables]

    def _action(
        self, time_step: ts.TimeStep, policy_state: types.NestedTensor, seed: Optional[types.Seed]
    ) -> policy_step.PolicyStep:
        del seed  # TensorFlow's global seed rules the samples
        begins = time_step.is_first()  # [B]
        feature = self._model.encode(time_step.observation)
        afresh = self._model.first_posterior(feature)
        later = self._model.posterior_step(policy_state["latent"], policy_state["action"], feature)
        latent = masks.where(begins, afresh, later)
        inputs = self._model.vector(latent)  # [B, L]
        action = self._actor.mode(inputs) if self._greedy else self._actor.sample(inputs)
        return policy_step.PolicyStep(action, {"latent": latent, "action": action}, ())
