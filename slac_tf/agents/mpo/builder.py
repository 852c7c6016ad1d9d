"""MPO from its settings."""

import gin
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf import types
from slac_tf.agents.mpo import agent as mpo_agent
from slac_tf.agents.mpo import networks
from slac_tf.networks import representations
from slac_tf.policies import representation_policy
from slac_tf.utils import checks, optimizers


@gin.configurable
@checks.checked
def build_mpo(
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
    dual_learning_rate: checks.NotNegative = 1e-2,
    clip_norm: checks.Positive = 40.0,
    num_samples: checks.Count = 20,
    num_steps: checks.Count = 5,
    epsilon: checks.Positive = 0.1,
    epsilon_mean: checks.Positive = 1e-3,
    epsilon_std: checks.Positive = 1e-6,
    gamma: checks.Fraction = 0.99,
    target_update_period: checks.Count = 100,
) -> types.BuiltAgent:
    """Builds MPO.

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
        dual_learning_rate: Adam's, of temperature and multipliers.
        clip_norm: Global norm that gradients of critic and actor are clipped to.
        num_samples: Actions a state in the E-step.
        num_steps: Rewards in the critic's target.
        epsilon: Bound of the E-step's KL, in nats.
        epsilon_mean: Bound of the mean's KL, in nats a dimension.
        epsilon_std: Bound of the standard deviation's KL, in nats a dimension.
        gamma: Discount factor of an agent step.
        target_update_period: Train steps between copies to the target networks.

    Returns:
        The agent as the training loop wants it.

    Raises:
        ValueError: If the observation holds neither, or a setting is of another type or out of range.
    """
    action_size = action_spec.shape.num_elements()

    def make() -> networks.MpoNetworks:
        seen = representations.represent(time_step_spec.observation, representation)
        first = (pixel_layer_size,) if seen.observation == "pixels" else ()
        return networks.MpoNetworks(
            seen,
            networks.ClippedActionCritic(seen.size, action_size, (*first, *critic_hidden_sizes)),
            networks.GaussianActor(seen.size, action_size, (*first, *actor_hidden_sizes)),
        )

    nets = make()
    length = nets.representation.length
    policies = {
        name: representation_policy.RepresentationPolicy(
            time_step_spec, action_spec, nets.representation, act, nets.actor.variables
        )
        for name, act in (("greedy", nets.actor.mode), ("stochastic", nets.actor.sample))
    }
    agent = mpo_agent.MpoAgent(
        time_step_spec,
        action_spec,
        nets,
        make(),
        mpo_agent.MpoOptimizers(
            critic=optimizers.adam(critic_learning_rate, clip_norm),
            actor=optimizers.adam(actor_learning_rate, clip_norm),
            dual=optimizers.adam(dual_learning_rate),
        ),
        policy=policies["greedy"],
        collect_policy=policies["stochastic"],
        bounds=mpo_agent.Bounds(epsilon, epsilon_mean, epsilon_std),
        num_samples=num_samples,
        num_steps=num_steps,
        gamma=gamma,
        target_update_period=target_update_period,
        train_step_counter=train_step_counter,
    )
    agent.initialize()
    return types.BuiltAgent(
        agent=agent,
        policies=policies,
        sequence_length=length + num_steps - 1,
        batch_size=batch_size,
        trained_step=length - 1,
    )
