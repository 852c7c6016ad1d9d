"""A policy on the last frames and actions, which it keeps in its state."""

from typing import Optional

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from slac_tf.networks import representations, tanh_gaussian_actor
from slac_tf.utils import masks


class HistoryPolicy(tf_policy.TFPolicy):
    """π(a_t | x_{t-H+1:t}, a_{t-H+1:t-1}); frames before an episode's first repeat it, actions are zero.

    The state holds either the frames, and the simulator's states where those are read with them, which are encoded at
    every step with the encoder of the moment, or their features. With frozen weights both give the same actions, and
    features cost one frame's encoding a step; while the encoder is trained, features in the state would be those of
    older weights.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.NestedTensorSpec,
        representation: representations.FeatureHistory,
        actor: tanh_gaussian_actor.TanhGaussianActor,
        *,
        greedy: bool,
        keep_features: bool,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`, and `'state'`, `[S] float32`, if the
                representation reads it.
            action_spec: `[A] float32` in [-1, 1].
            representation: Encodes frames and lays out the history.
            actor: The policy network.
            greedy: Whether to take the mode of the distribution instead of a sample.
            keep_features: Whether the state holds features; only right while the weights stay.
        """
        length = representation.length
        if keep_features:
            seen = {"features": tf.TensorSpec([length, representation.feature_size], tf.float32)}
        else:
            specs = representation.read(time_step_spec.observation)
            seen = {"frames": tf.nest.map_structure(lambda x: tf.TensorSpec([length, *x.shape], x.dtype), specs)}
        actions = tf.TensorSpec([length - 1, *action_spec.shape], tf.float32)
        super().__init__(time_step_spec, action_spec, policy_state_spec={**seen, "actions": actions})
        self._representation = representation
        self._actor = actor
        self._greedy = greedy
        self._keep_features = keep_features

    def _variables(self) -> list:
        return [*self._representation.variables, *self._actor.variables]

    def _action(
        self, time_step: ts.TimeStep, policy_state: types.NestedTensor, seed: Optional[types.Seed]
    ) -> policy_step.PolicyStep:
        del seed  # TensorFlow's global seed rules the sample
        begins = time_step.is_first()  # [B]
        frame = self._representation.read(time_step.observation)
        if self._keep_features:
            features = masks.push(policy_state["features"], self._representation.encode(frame), begins)
            seen = {"features": features}
        else:
            frames = tf.nest.map_structure(lambda x, new: masks.push(x, new, begins), policy_state["frames"], frame)
            features = self._representation.encode(frames)
            seen = {"frames": frames}
        past = policy_state["actions"]
        past = masks.where(begins, tf.zeros_like(past), past)
        inputs = self._representation.flatten(features, past)  # [B, S]
        action = self._actor.mode(inputs) if self._greedy else self._actor.sample(inputs)
        # The newest action leads from the newest frame; at the next step it is the last of H-1.
        state = {**seen, "actions": tf.concat([past, action[:, tf.newaxis]], axis=1)[:, 1:]}
        return policy_step.PolicyStep(action, state, ())
