"""A Gaussian policy on a belief, which it updates as it acts."""

from typing import Any, Mapping, Optional, Protocol, Sequence

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types


class Belief(Protocol):
    """What is known of the environment's state.

    Attributes:
        state_spec: One belief, a nest of float32 specs without batch dimension; zeros begin an episode.
        size: B, of what actor and critic see of it.
        variables: All weights.
    """

    state_spec: Any
    size: int
    variables: Sequence[tf.Variable]

    def encode(self, observation: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Features of observations, `[N, F] float32`."""
        ...

    def noise(self, seeds: tf.Tensor) -> Any:
        """All that is random in an update, from a seed each, `[N, 2] int32`; a nest of `[N, …]`."""
        ...

    def update(
        self, state: Any, action: tf.Tensor, feature: tf.Tensor, observation: Mapping[str, tf.Tensor], noise: Any
    ) -> "tuple[Any, tf.Tensor]":
        """The belief after an action `[N, A]` and what was observed then, and the evidence's logarithm, `[N]`."""
        ...

    def vector(self, state: Any) -> tf.Tensor:
        """What actor and critic see of beliefs, `[N, size] float32`."""
        ...


class Actor(Protocol):
    """A Gaussian on belief vectors."""

    variables: Sequence[tf.Variable]

    def mean(self, vectors: tf.Tensor) -> tf.Tensor:
        """`[N, size] float32` to `[N, A] float32`."""
        ...

    def std(self) -> tf.Tensor:
        """`[A] float32`."""
        ...


class BeliefPolicy(tf_policy.TFPolicy):
    """a ~ N(mean, std | belief of x_{1:t}, a_{1:t-1}), clipped to [-1, 1] where it acts.

    The state holds the belief and the last action as it was carried out. A greedy policy takes the mean, but its belief
    is random, too. `policy_info` has all that training needs to compute the same belief again: the state before the
    step, the seed of the step's noise, and the action before it was clipped.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.NestedTensorSpec,
        belief: Belief,
        actor: Actor,
        *,
        greedy: bool,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the belief reads.
            action_spec: `[A] float32` in [-1, 1].
            belief: Is updated with each step.
            actor: The policy network.
            greedy: Whether to take the mean instead of a sample.
        """
        action = tf.TensorSpec(action_spec.shape, tf.float32)
        state = {"belief": belief.state_spec, "action": action}
        info = {"state": state, "seed": tf.TensorSpec([2], tf.int32), "action": action}
        super().__init__(time_step_spec, action_spec, policy_state_spec=state, info_spec=info)
        self._belief = belief
        self._actor = actor
        self._greedy = greedy

    def _variables(self) -> list:
        return [*self._belief.variables, *self._actor.variables]

    def _action(
        self, time_step: ts.TimeStep, policy_state: types.NestedTensor, seed: Optional[types.Seed]
    ) -> policy_step.PolicyStep:
        del seed  # TensorFlow's global seed rules the samples
        observation = time_step.observation
        limits = tf.int32.limits
        seeds = tf.random.uniform([tf.shape(time_step.step_type)[0], 2], *limits, dtype=tf.int32)
        state, _ = self._belief.update(  # zeros where an episode begins: TFPolicy resets the state
            policy_state["belief"],
            policy_state["action"],
            self._belief.encode(observation),
            observation,
            self._belief.noise(seeds),
        )
        mean = self._actor.mean(self._belief.vector(state))
        unclipped = mean if self._greedy else mean + self._actor.std() * tf.random.normal(tf.shape(mean))
        action = tf.clip_by_value(unclipped, -1.0, 1.0)
        info = {"state": policy_state, "seed": seeds, "action": unclipped}
        return policy_step.PolicyStep(action, {"belief": state, "action": action}, info)
