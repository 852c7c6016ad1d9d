"""A policy on what a representation makes of the last observations, which it keeps in its state."""

from typing import Any, Callable, Optional, Sequence

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from slac_tf.networks import representations
from slac_tf.utils import masks


class RepresentationPolicy(tf_policy.TFPolicy):
    """An action from the last observations; those before an episode's first repeat it.

    With exploration scales, Gaussian noise is added to the action, its standard deviation drawn anew from
    the scales for each episode, as if several actors explored differently (Horgan et al. 2018).
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.NestedTensorSpec,
        representation: representations.Representation,
        act: Callable[[tf.Tensor], tf.Tensor],
        variables: Sequence[tf.Variable],
        *,
        exploration_scales: Sequence[float] = (),
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the representation reads.
            action_spec: `[A] float32` in [-1, 1].
            representation: Of the last observations.
            act: What it makes, `[B, size] float32`, to actions `[B, A] float32`, which are clipped.
            variables: Of `act`.
            exploration_scales: Standard deviations of noise on the action; none where empty.
        """
        spec = time_step_spec.observation[representation.observation]
        state = {}
        if representation.length > 1:  # frames as they are: the encoder may be trained while a policy is in use
            state["history"] = tf.TensorSpec([representation.length, *spec.shape], spec.dtype)
        if exploration_scales:
            state["scale"] = tf.TensorSpec([], tf.float32)
        super().__init__(time_step_spec, action_spec, policy_state_spec=state or ())
        self._representation = representation
        self._act = act
        self._act_variables = tuple(variables)
        self._scales = tuple(exploration_scales)

    def _variables(self) -> list:
        return [*self._representation.variables, *self._act_variables]

    def _action(
        self, time_step: ts.TimeStep, policy_state: types.NestedTensor, seed: Optional[types.Seed]
    ) -> policy_step.PolicyStep:
        del seed  # TensorFlow's global seed rules the samples
        begins = time_step.is_first()  # [B]
        new = time_step.observation[self._representation.observation]
        state: Any = {}
        if self._representation.length > 1:
            history = state["history"] = masks.push(policy_state["history"], new, begins)
        else:
            history = new[:, tf.newaxis]
        action = self._act(self._representation(history))
        if self._scales:
            index = tf.random.uniform(tf.shape(begins), maxval=len(self._scales), dtype=tf.int32)
            scale = tf.where(begins, tf.gather(tf.constant(self._scales, tf.float32), index), policy_state["scale"])
            state["scale"] = scale
            action += scale[:, tf.newaxis] * tf.random.normal(tf.shape(action))
        return policy_step.PolicyStep(tf.clip_by_value(action, -1.0, 1.0), state or (), ())
