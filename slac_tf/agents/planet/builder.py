"""PlaNet from its settings."""

import gin
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf import types
from slac_tf.agents.planet import agent as planet_agent
from slac_tf.latent_models import rssm
from slac_tf.networks import conv
from slac_tf.planning import cem
from slac_tf.policies import planner_policy
from slac_tf.utils import checks, optimizers


@gin.configurable
@checks.checked
def build_planet(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    train_step_counter: tf.Variable,
    *,
    sequence_length: checks.Count = 49,
    batch_size: checks.Count = 50,
    h_size: checks.Count = 200,
    s_size: checks.Count = 30,
    base_depth: checks.Count = 32,
    hidden_sizes: checks.Sizes = (200,),
    reward_hidden_sizes: checks.Sizes = (300, 300, 300),
    free_nats: checks.NotNegative = 3.0,
    reward_scale: checks.NotNegative = 10.0,
    learning_rate: checks.NotNegative = 1e-3,
    epsilon: checks.Positive = 1e-4,
    clip_norm: checks.Positive = 1000.0,
    exploration_scale: checks.NotNegative = 0.3,
) -> types.BuiltAgent:
    """Builds the agent; the defaults are those of the published code.

    The planner's settings are `CemSettings`.

    Args:
        time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`.
        action_spec: `[A] float32` in [-1, 1].
        train_step_counter: Incremented by each train step.
        sequence_length: T; windows hold T+1 steps.
        batch_size: Windows a train step.
        h_size: Units of the recurrent state.
        s_size: Dimensions of the stochastic state.
        base_depth: Channels of the encoder's first layer.
        hidden_sizes: Hidden layers of p(s | ·) and q(s | ·).
        reward_hidden_sizes: Hidden layers of the reward model.
        free_nats: KL of a step below which it costs nothing.
        reward_scale: Weight of the reward's term of the loss.
        learning_rate: Adam's.
        epsilon: Adam's.
        clip_norm: Global norm that the gradient is clipped to.
        exploration_scale: Standard deviation of the noise on the actions of the policy that collects.

    Returns:
        The agent as the training loop wants it.

    Raises:
        ValueError: If the observation has no `'pixels'`, or a setting is of another type or out of range.
    """
    conv.check_frames("build_planet", time_step_spec.observation)
    model = rssm.RSSM(
        action_spec.shape.num_elements(),
        h_size=h_size,
        s_size=s_size,
        base_depth=base_depth,
        hidden_sizes=hidden_sizes,
        reward_hidden_sizes=reward_hidden_sizes,
        free_nats=free_nats,
        reward_of_arrival=True,
    )
    settings = cem.CemSettings()

    policies = {
        name: planner_policy.PlannerPolicy(time_step_spec, action_spec, model, settings, exploration_scale=scale)
        for name, scale in (("greedy", 0.0), ("stochastic", exploration_scale))
    }
    agent = planet_agent.PlanetAgent(
        time_step_spec,
        action_spec,
        model,
        optimizers.adam(learning_rate, clip_norm, epsilon),
        policy=policies["greedy"],
        collect_policy=policies["stochastic"],
        sequence_length=sequence_length,
        reward_scale=reward_scale,
        train_step_counter=train_step_counter,
    )
    agent.initialize()
    return types.BuiltAgent(
        agent=agent,
        policies=policies,
        sequence_length=sequence_length,
        batch_size=batch_size,
        pretraining=types.Pretraining(agent.pretrain, batch_size, agent.pretrain_step_counter),
        report=agent.report,
        reusable=types.ReusableModel(model, agent.freeze),
    )
