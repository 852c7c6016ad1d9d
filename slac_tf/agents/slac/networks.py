"""The networks of SLAC, made together because each one's input size follows from another's output."""

from typing import Callable, NamedTuple, Sequence

import tensorflow as tf

from slac_tf.agents.slac import inputs
from slac_tf.latent_models import base
from slac_tf.networks import critic, representations, tanh_gaussian_actor


class SlacNetworks(NamedTuple):
    """The networks of one agent.

    Attributes:
        model: The latent variable model, parameters ψ.
        critics: Q_θ1 and Q_θ2, of what they see and the action.
        target_critics: Their delayed copies.
        critic_input: What the critics see.
        actor: π_φ.
        actor_input: What the actor sees.
    """

    model: base.LatentModel
    critics: Sequence[critic.Critic]
    target_critics: Sequence[critic.Critic]
    critic_input: inputs.Input
    actor: tanh_gaussian_actor.TanhGaussianActor
    actor_input: inputs.Input


class SlacOptimizers(NamedTuple):
    """One optimizer for each loss.

    Attributes:
        model: For ψ.
        critic: For θ.
        actor: For φ.
        alpha: For the temperature.
    """

    model: tf.keras.optimizers.Optimizer
    critic: tf.keras.optimizers.Optimizer
    actor: tf.keras.optimizers.Optimizer
    alpha: tf.keras.optimizers.Optimizer


def make_networks(
    model: base.LatentModel,
    action_size: int,
    history_length: int,
    hidden_sizes: Sequence[int],
    *,
    critic_layer_norm: bool,
    actor_input: Callable[..., inputs.Input],
    critic_input: Callable[..., inputs.Input],
) -> SlacNetworks:
    """Makes critics and actor for a latent model.

    Args:
        model: The latent model.
        action_size: A.
        history_length: Frames of a history.
        hidden_sizes: Hidden layers of critics and actor.
        critic_layer_norm: Whether each hidden layer of the critics is normalized.
        actor_input: What the actor sees; called with the model and the history.
        critic_input: What the critics see; called alike.

    Returns:
        The networks.
    """
    history = representations.FeatureHistory(model.encoder, action_size, history_length)
    of_actor, of_critics = actor_input(model, history), critic_input(model, history)

    def critics() -> Sequence[critic.Critic]:
        return [
            critic.Critic(of_critics.size, action_size, hidden_sizes, layer_norm=critic_layer_norm) for _ in range(2)
        ]

    return SlacNetworks(
        model=model,
        critics=critics(),
        target_critics=critics(),
        critic_input=of_critics,
        actor=tanh_gaussian_actor.TanhGaussianActor(of_actor.size, action_size, hidden_sizes),
        actor_input=of_actor,
    )
