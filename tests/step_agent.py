"""An agent whose actions say how many train steps the acting policy has seen, in millionths."""

import gin
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step

from slac_tf import types
from slac_tf.distributed import protocol


class StepPolicy(tf_policy.TFPolicy):
    def __init__(self, time_step_spec, action_spec, step):
        super().__init__(time_step_spec, action_spec)
        self._step = step

    def _variables(self):
        return [self._step]

    def _action(self, time_step, policy_state, seed):
        shape = [tf.shape(time_step.reward)[0], *self.action_spec.shape]
        return policy_step.PolicyStep(tf.fill(shape, self._step / 1e6))

    def _distribution(self, time_step, policy_state):
        raise NotImplementedError


class StepAgent(tf_agent.TFAgent):
    def __init__(self, time_step_spec, action_spec, train_step_counter):
        self._step = tf.Variable(0.0)
        policy = StepPolicy(time_step_spec, action_spec, self._step)
        super().__init__(time_step_spec, action_spec, policy, policy, 2, train_step_counter=train_step_counter)

    def _train(self, experience, weights=None):
        self.train_step_counter.assign_add(1)
        self._step.assign(tf.cast(self.train_step_counter, tf.float32))
        return tf_agent.LossInfo(self._step, {})


@gin.configurable
def build_step_agent(time_step_spec, action_spec, train_step_counter, publish_seconds=None):
    """With `publish_seconds`, weights are sent and received that rarely."""
    if publish_seconds is not None:
        protocol.seconds_until_next = lambda _: publish_seconds
    agent = StepAgent(time_step_spec, action_spec, train_step_counter)
    return types.BuiltAgent(agent, {"stochastic": agent.policy}, sequence_length=1, batch_size=4)
