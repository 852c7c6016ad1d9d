"""D4PG from its settings."""

from typing import Optional, Sequence

import gin
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf import types
from slac_tf.agents.d4pg import agent as d4pg_agent
from slac_tf.agents.d4pg import networks
from slac_tf.networks import representations
from slac_tf.policies import representation_policy
from slac_tf.utils import checks, optimizers


@gin.configurable
@checks.checked
def build_d4pg(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    train_step_counter: tf.Variable,
    *,
    representation: checks.Reference[representations.Representation] = representations.StackedFrames,
    pixel_layer_size: checks.Count = 50,
    batch_size: checks.Count = 256,
    actor_hidden_sizes: checks.Sizes = (256, 256, 256),
    critic_hidden_sizes: checks.Sizes = (512, 512, 256),
    critic_learning_rate: checks.NotNegative = 1e-4,
    actor_learning_rate: checks.NotNegative = 1e-4,
    clip_norm: checks.Positive = 40.0,
    num_atoms: checks.Count = 101,
    min_value: checks.Number = -100.0,
    max_value: checks.Number = 400.0,
    num_steps: checks.Count = 5,
    gamma: checks.Fraction = 0.99,
    target_update_period: checks.Count = 100,
    exploration_scales: Sequence[float] = (0.3,),
    priority_exponent: Optional[checks.NotNegative] = None,
    importance_exponent: checks.Fraction = 0.4,
) -> types.BuiltAgent:
    """Builds D4PG.

    Args:
        time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`, or else `'state'`.
        action_spec: `[A] float32` in [-1, 1].
        train_step_counter: Incremented by each train step.
        representation: Makes what critic and actor see of pixels.
        pixel_layer_size: First layer of actor and critic on pixels, before the hidden ones.
        batch_size: Windows a train step.
        actor_hidden_sizes: Hidden layers of the actor.
        critic_hidden_sizes: Hidden layers of the critic.
        critic_learning_rate: Adam's, of critic and encoder.
        actor_learning_rate: Adam's.
        clip_norm: Global norm that gradients are clipped to.
        num_atoms: Of the critic's support.
        min_value: Its lowest discounted return.
        max_value: Its highest.
        num_steps: Rewards in the critic's target.
        gamma: Discount factor of an agent step.
        target_update_period: Train steps between copies to the target networks.
        exploration_scales: Standard deviations of noise on the action; an episode draws one of them.
        priority_exponent: Windows are sampled in proportion to their KL to the power of this; uniformly
            where None.
        importance_exponent: Of the weights that make up for it.

    Returns:
        The agent as the training loop wants it. Its `stochastic` policy is the exploring one.

    Raises:
        ValueError: If the observation holds neither, a setting is of another type or out of range, or the support
            or the scales are empty.
    """
    if num_atoms < 2:
        raise ValueError(f"build_d4pg.num_atoms: {num_atoms}, expected at least 2")
    if not min_value < max_value:
        raise ValueError(f"build_d4pg.max_value: {max_value}, expected more than min_value {min_value}")
    if not isinstance(exploration_scales, (tuple, list)) or not exploration_scales:
        raise ValueError(
            f"build_d4pg.exploration_scales: {exploration_scales!r}, expected at least one standard deviation"
        )
    for scale in exploration_scales:
        checks.not_negative("build_d4pg", exploration_scales=scale)
    support = tf.linspace(float(min_value), float(max_value), num_atoms)
    action_size = action_spec.shape.num_elements()

    def make() -> networks.D4pgNetworks:
        seen = representations.represent(time_step_spec.observation, representation)
        first = (pixel_layer_size,) if seen.observation == "pixels" else ()
        return networks.D4pgNetworks(
            seen,
            networks.CategoricalCritic(seen.size, action_size, (*first, *critic_hidden_sizes), support),
            networks.DeterministicActor(seen.size, action_size, (*first, *actor_hidden_sizes)),
        )

    nets = make()
    length = nets.representation.length
    policies = {
        name: representation_policy.RepresentationPolicy(
            time_step_spec,
            action_spec,
            nets.representation,
            nets.actor,
            nets.actor.variables,
            exploration_scales=scales,
        )
        for name, scales in (("greedy", ()), ("stochastic", exploration_scales))
    }
    agent = d4pg_agent.D4pgAgent(
        time_step_spec,
        action_spec,
        nets,
        make(),
        d4pg_agent.D4pgOptimizers(
            critic=optimizers.adam(critic_learning_rate, clip_norm),
            actor=optimizers.adam(actor_learning_rate, clip_norm),
        ),
        policy=policies["greedy"],
        collect_policy=policies["stochastic"],
        num_steps=num_steps,
        gamma=gamma,
        target_update_period=target_update_period,
        give_priorities=priority_exponent is not None,
        train_step_counter=train_step_counter,
    )
    agent.initialize()
    return types.BuiltAgent(
        agent=agent,
        policies=policies,
        sequence_length=length + num_steps - 1,
        batch_size=batch_size,
        trained_step=length - 1,
        prioritization=(
            None if priority_exponent is None else types.Prioritization(priority_exponent, importance_exponent)
        ),
    )
