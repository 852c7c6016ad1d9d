"""A policy that plans with a latent model and the cross-entropy method at each step (PlaNet)."""

from typing import Dict, Optional

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from slac_tf.latent_models import base as latent_model
from slac_tf.latent_models import heads
from slac_tf.planning import cem
from slac_tf.utils import images, masks

_ACTION = "action"


class PlannerPolicy(tf_policy.TFPolicy):
    """Filters the latent as it acts, and takes the first action of the plan of the largest predicted return.

    Hafner et al. (2019), Algorithm 2: all candidates begin at one sample of the posterior; each is unrolled once
    through the prior; its value is the sum of the mean rewards of the H states arrived at, without discount or
    value of the end. The state holds the latent's samples and the last action.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.NestedTensorSpec,
        model: latent_model.LatentModel,
        settings: cem.CemSettings,
        *,
        exploration_scale: float,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`.
            action_spec: `[A] float32` in [-1, 1].
            model: Its encoder takes what `images.quantize` gives.
            settings: The planner's.
            exploration_scale: Standard deviation of the noise that is added to the action; 0 adds none.
        """
        self._action_size = action_spec.shape.num_elements()
        feature = tf.TensorSpec([1, model.encoder.feature_size], tf.float32)
        first = tf.function(model.first_posterior).get_concrete_function(feature).structured_outputs  # for its shapes
        latents = {layer: tf.TensorSpec(values["sample"].shape[1:], tf.float32) for layer, values in first.items()}
        state_spec = {**latents, _ACTION: tf.TensorSpec([self._action_size], tf.float32)}
        if settings.warm_start:
            state_spec["plan"] = tf.TensorSpec([settings.horizon, self._action_size], tf.float32)
        super().__init__(time_step_spec, action_spec, policy_state_spec=state_spec)
        self._layers = tuple(latents)
        self._model = model
        self._settings = settings
        self._exploration_scale = exploration_scale

    def _variables(self) -> list:
        return list(self._model.variables)

    def filter(self, time_step: ts.TimeStep, policy_state: types.NestedTensor) -> latent_model.LatentState:
        """The posterior of this step's latent.

        Args:
            time_step: `[B, …]`.
            policy_state: As the last step left it; of no interest where an episode begins.

        Returns:
            `[B, D]` for each layer.
        """
        feature = self._model.encoder(images.quantize(time_step.observation["pixels"]))
        previous = {layer: _known(policy_state[layer]) for layer in self._layers}
        later = self._model.posterior_step(previous, policy_state[_ACTION], feature)
        begins = time_step.is_first()
        return masks.where(begins, self._model.first_posterior(feature), later)

    def value(self, state: latent_model.LatentState, actions: tf.Tensor) -> tf.Tensor:
        """Predicted return of candidates.

        Args:
            state: Where they begin, `[B, D]` for each layer.
            actions: `[B, J, H, A] float32`.

        Returns:
            `[B, J] float32`.
        """
        num_candidates, horizon = actions.shape[1], actions.shape[2]
        start = tf.nest.map_structure(lambda x: tf.repeat(x, num_candidates, axis=0), state)  # [B, D] -> [B J, D]
        flat = tf.reshape(actions, [-1, horizon, self._action_size])  # [B J, H, A]
        states, _ = self._model.imagine(start, flat, horizon)
        latents = tf.concat([self._model.vector(start)[:, tf.newaxis], self._model.vector(states)], axis=1)
        rewards, _ = self._model.reward(latents, tf.pad(flat, [[0, 0], [0, 1], [0, 0]]))  # the last one leads nowhere
        return tf.reshape(tf.reduce_sum(rewards, axis=1), [-1, num_candidates])

    def _action(
        self, time_step: ts.TimeStep, policy_state: types.NestedTensor, seed: Optional[types.Seed]
    ) -> policy_step.PolicyStep:
        del seed  # TensorFlow's global seed rules the samples
        state = self.filter(time_step, policy_state)
        first_mean = None
        if self._settings.warm_start:
            left = cem.shifted(policy_state["plan"])
            first_mean = masks.where(time_step.is_first(), tf.zeros_like(left), left)
        plan = cem.optimize(
            lambda actions: self.value(state, actions),
            self._settings,
            batch_size=time_step.step_type.shape[0] or tf.shape(time_step.step_type)[0],
            action_size=self._action_size,
            first_mean=first_mean,
        )
        action = tf.ensure_shape(plan.mean[:, 0], [None, self._action_size])
        if self._exploration_scale:
            action += self._exploration_scale * tf.random.normal(tf.shape(action))
        action = tf.clip_by_value(action, -1.0, 1.0)
        new_state: Dict[str, tf.Tensor] = {layer: state[layer]["sample"] for layer in self._layers}
        new_state[_ACTION] = action
        if self._settings.warm_start:
            new_state["plan"] = plan.mean
        return policy_step.PolicyStep(action, new_state, ())


def _known(sample: tf.Tensor) -> heads.LayerState:
    """A layer's state of which nothing but the sample is read."""
    return heads.layer_state(sample, tf.zeros_like(sample), given=sample)
