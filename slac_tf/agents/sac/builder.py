"""Soft actor-critic from its settings."""

from typing import Optional

import gin
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf import types
from slac_tf.agents.sac import agent as sac_agent
from slac_tf.agents.sac import networks
from slac_tf.networks import representations
from slac_tf.policies import representation_policy
from slac_tf.utils import checks, optimizers


@gin.configurable
@checks.checked
def build_sac(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    train_step_counter: tf.Variable,
    *,
    representation: checks.Reference[representations.Representation] = representations.FrameFeatures,
    batch_size: checks.Count = 256,
    hidden_sizes: checks.Sizes = (256, 256),
    critic_learning_rate: checks.NotNegative = 3e-4,
    actor_learning_rate: checks.NotNegative = 3e-4,
    alpha_learning_rate: checks.NotNegative = 3e-4,
    gamma: checks.Fraction = 0.99,
    target_update_tau: checks.Fraction = 0.005,
    initial_alpha: checks.Positive = 1.0,
    target_entropy: Optional[checks.Number] = None,
) -> types.BuiltAgent:
    """Builds SAC on features of the last frames, or on the state.

    Args:
        time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`, or else `'state'`.
        action_spec: `[A] float32` in [-1, 1].
        train_step_counter: Incremented by each train step.
        representation: Makes what critics and actor see of pixels.
        batch_size: Windows a train step.
        hidden_sizes: Hidden layers of critics and actor.
        critic_learning_rate: Adam's, of critics and encoder.
        actor_learning_rate: Adam's.
        alpha_learning_rate: Adam's.
        gamma: Discount factor of an agent step.
        target_update_tau: Share of the critics in each update of their targets.
        initial_alpha: Temperature at the start.
        target_entropy: In nats; minus the number of action dimensions where None.

    Returns:
        The agent as the training loop wants it.

    Raises:
        ValueError: If the observation holds neither, or a setting is of another type or out of range.
    """
    action_size = action_spec.shape.num_elements()
    seen = representations.represent(time_step_spec.observation, representation)
    nets = networks.make_networks(seen, action_size, hidden_sizes)
    policies = {
        name: representation_policy.RepresentationPolicy(time_step_spec, action_spec, seen, act, nets.actor.variables)
        for name, act in (("greedy", nets.actor.mode), ("stochastic", nets.actor.sample))
    }
    agent = sac_agent.SacAgent(
        time_step_spec,
        action_spec,
        nets,
        sac_agent.SacOptimizers(
            critic=optimizers.adam(critic_learning_rate),
            actor=optimizers.adam(actor_learning_rate),
            alpha=optimizers.adam(alpha_learning_rate),
        ),
        policy=policies["greedy"],
        collect_policy=policies["stochastic"],
        gamma=gamma,
        target_update_tau=target_update_tau,
        initial_alpha=initial_alpha,
        target_entropy=float(-action_size) if target_entropy is None else target_entropy,
        train_step_counter=train_step_counter,
    )
    agent.initialize()
    return types.BuiltAgent(agent=agent, policies=policies, sequence_length=seen.length, batch_size=batch_size)
