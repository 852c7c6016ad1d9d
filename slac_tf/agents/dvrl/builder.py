"""Deep variational reinforcement learning from its settings."""

from typing import Any

import gin
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf import types
from slac_tf.agents.dvrl import agent as dvrl_agent
from slac_tf.agents.dvrl import beliefs, networks
from slac_tf.policies import belief_policy
from slac_tf.utils import checks, optimizers


@gin.configurable
@checks.checked
def build_dvrl(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    train_step_counter: tf.Variable,
    *,
    belief: checks.Reference[Any] = beliefs.ParticleBelief,
    sequence_length: checks.Count = 80,
    num_steps: checks.Count = 5,
    learning_rate: checks.NotNegative = 2e-4,
    clip_norm: checks.Positive = 0.5,
    gamma: checks.Fraction = 0.99,
    reward_scale: checks.Positive = 1.0,
    value_weight: checks.NotNegative = 0.5,
    entropy_weight: checks.NotNegative = 0.01,
    evidence_weight: checks.NotNegative = 0.1,
) -> types.BuiltAgent:
    """Builds DVRL, from pixels or from a vector.

    Args:
        time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`, or else `'state'`.
        action_spec: `[A] float32` in [-1, 1].
        train_step_counter: Incremented by each train step.
        belief: Called with the observation's spec and A; what actor and critic see of the past.
        sequence_length: T, transitions of a train step, through which gradients go back.
        num_steps: n, the most rewards in a return.
        learning_rate: RMSprop's.
        clip_norm: Global norm that gradients are clipped to.
        gamma: Discount factor of an agent step.
        reward_scale: Of rewards in the loss. A critic that begins at 0 reaches large returns late, and until then every
            action looks bad.
        value_weight: Of the critic's squared error.
        entropy_weight: Of the policy's entropy.
        evidence_weight: Of the filter's bound, a step.

    Returns:
        The agent as the training loop wants it.

    Raises:
        ValueError: If the observation holds neither, or a setting is of another type or out of range.
    """
    action_size = action_spec.shape.num_elements()
    filtered = belief(time_step_spec.observation, action_size)
    actor = networks.GaussianActor(filtered.size, action_size)
    policies = {
        name: belief_policy.BeliefPolicy(time_step_spec, action_spec, filtered, actor, greedy=name == "greedy")
        for name in ("greedy", "stochastic")
    }
    agent = dvrl_agent.DvrlAgent(
        time_step_spec,
        action_spec,
        dvrl_agent.DvrlNetworks(filtered, actor, networks.Critic(filtered.size)),
        optimizers.rmsprop(learning_rate, clip_norm),
        policy=policies["greedy"],
        collect_policy=policies["stochastic"],
        sequence_length=sequence_length,
        num_steps=num_steps,
        gamma=gamma,
        reward_scale=reward_scale,
        loss_weights=dvrl_agent.Weights(value_weight, entropy_weight, evidence_weight),
        train_step_counter=train_step_counter,
    )
    agent.initialize()
    return types.BuiltAgent(
        agent=agent, policies=policies, sequence_length=sequence_length, batch_size=1, on_policy=True
    )
