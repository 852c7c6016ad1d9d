"""Soft actor-critic from its settings, from pixels and from state."""

from typing import Callable, Mapping, Optional, Sequence

import gin
import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf import types
from slac_tf.agents.sac import agent as sac_agent
from slac_tf.agents.sac import networks
from slac_tf.networks import representations
from slac_tf.policies import representation_policy
from slac_tf.utils import checks, optimizers


@gin.configurable
def build_sac_pixels(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    train_step_counter: tf.Variable,
    *,
    representation: Callable[[], representations.Representation] = representations.FrameFeatures,
    batch_size: int = 256,
    hidden_sizes: Sequence[int] = (256, 256),
    critic_learning_rate: float = 3e-4,
    actor_learning_rate: float = 3e-4,
    alpha_learning_rate: float = 3e-4,
    gamma: float = 0.99,
    target_update_tau: float = 0.005,
    initial_alpha: float = 1.0,
    target_entropy: Optional[float] = None,
) -> types.BuiltAgent:
    """Builds SAC on features of the last frames.

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
    checks.references("build_sac_pixels", representation=representation)
    _check(
        "build_sac_pixels",
        batch_size=batch_size,
        hidden_sizes=hidden_sizes,
        learning_rates={
            "critic_learning_rate": critic_learning_rate,
            "actor_learning_rate": actor_learning_rate,
            "alpha_learning_rate": alpha_learning_rate,
        },
        gamma=gamma,
        target_update_tau=target_update_tau,
        initial_alpha=initial_alpha,
        target_entropy=target_entropy,
    )
    action_size = action_spec.shape.num_elements()
    seen = representations.represent(time_step_spec.observation, representation)
    nets = networks.make_pixel_networks(seen, action_size, hidden_sizes)
    policies = _policies(
        time_step_spec, action_spec, seen, nets.actor.mode, lambda x: nets.actor(x).sample(), nets.actor.variables
    )
    agent = sac_agent.PixelSacAgent(
        time_step_spec,
        action_spec,
        nets,
        sac_agent.LearningRates(critic_learning_rate, actor_learning_rate, alpha_learning_rate),
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


@gin.configurable
def build_sac_state(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    train_step_counter: tf.Variable,
    *,
    batch_size: int = 256,
    hidden_sizes: Sequence[int] = (256, 256),
    critic_learning_rate: float = 3e-4,
    actor_learning_rate: float = 3e-4,
    alpha_learning_rate: float = 3e-4,
    gamma: float = 0.99,
    target_update_tau: float = 0.005,
    initial_alpha: float = 1.0,
    target_entropy: Optional[float] = None,
) -> types.BuiltAgent:
    """Builds TF-Agents' SAC on the simulator's state.

    Args:
        time_step_spec: Its observation holds `'state'`, `[S] float32`, and nothing else.
        action_spec: `[A] float32` in [-1, 1].
        train_step_counter: Incremented by each train step.
        batch_size: Transitions a train step.
        hidden_sizes: Hidden layers of critics and actor.
        critic_learning_rate: Adam's.
        actor_learning_rate: Adam's.
        alpha_learning_rate: Adam's.
        gamma: Discount factor of an agent step.
        target_update_tau: Share of the critics in each update of their targets.
        initial_alpha: Temperature at the start.
        target_entropy: In nats; minus the number of action dimensions where None.

    Returns:
        The agent as the training loop wants it.

    Raises:
        ValueError: If the observation holds anything but the state, or a setting is of another type or out of
            range.
    """
    _check(
        "build_sac_state",
        batch_size=batch_size,
        hidden_sizes=hidden_sizes,
        learning_rates={
            "critic_learning_rate": critic_learning_rate,
            "actor_learning_rate": actor_learning_rate,
            "alpha_learning_rate": alpha_learning_rate,
        },
        gamma=gamma,
        target_update_tau=target_update_tau,
        initial_alpha=initial_alpha,
        target_entropy=target_entropy,
    )
    if set(time_step_spec.observation) != {"state"}:
        raise ValueError(
            f"build_sac_state: observation holds {sorted(time_step_spec.observation)}, expected 'state' alone: set "
            "OBSERVATIONS = ('state',)"
        )
    action_size = action_spec.shape.num_elements()
    nets = networks.make_state_networks(time_step_spec.observation, action_spec, hidden_sizes)
    agent = sac_agent.StateSacAgent(
        time_step_spec,
        action_spec,
        critic_network=nets.critics[0],
        critic_network_2=nets.critics[1],
        actor_network=nets.actor,
        actor_optimizer=optimizers.adam(actor_learning_rate),
        critic_optimizer=optimizers.adam(critic_learning_rate),
        alpha_optimizer=optimizers.adam(alpha_learning_rate),
        target_update_tau=target_update_tau,
        gamma=gamma,
        initial_log_alpha=tf.math.log(initial_alpha),
        target_entropy=float(-action_size) if target_entropy is None else target_entropy,
        train_step_counter=train_step_counter,
    )
    agent.initialize()
    agent.create_optimizer_slots()

    def distribution(states: tf.Tensor) -> tf_types.Distribution:
        return nets.actor({"state": states}, step_type=(), network_state=())[0]

    policies = _policies(
        time_step_spec,
        action_spec,
        representations.State(time_step_spec.observation["state"]),
        lambda states: distribution(states).mode(),
        lambda states: distribution(states).sample(),
        nets.actor.variables,
    )
    return types.BuiltAgent(agent=agent, policies=policies, sequence_length=1, batch_size=batch_size)


def _check(
    where: str,
    *,
    batch_size: int,
    hidden_sizes: Sequence[int],
    learning_rates: Mapping[str, float],
    gamma: float,
    target_update_tau: float,
    initial_alpha: float,
    target_entropy: Optional[float],
) -> None:
    checks.counts(where, batch_size=batch_size)
    checks.sizes(where, hidden_sizes=hidden_sizes)
    checks.not_negative(where, **learning_rates)
    checks.fractions(where, gamma=gamma, target_update_tau=target_update_tau)
    checks.positive(where, initial_alpha=initial_alpha)
    if target_entropy is not None:
        checks.numbers(where, target_entropy=target_entropy)


def _policies(
    time_step_spec: ts.TimeStep,
    action_spec: tf_types.NestedTensorSpec,
    representation: representations.Representation,
    mode: Callable[[tf.Tensor], tf.Tensor],
    sample: Callable[[tf.Tensor], tf.Tensor],
    variables: Sequence[tf.Variable],
) -> Mapping[str, tf_policy.TFPolicy]:
    return {
        name: representation_policy.RepresentationPolicy(
            time_step_spec, action_spec, representation, act, variables, name=f"{name}_policy"
        )
        for name, act in (("greedy", mode), ("stochastic", sample))
    }
