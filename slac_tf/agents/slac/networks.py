"""The networks of SLAC, made together because each one's input size follows from another's output."""

from typing import NamedTuple, Sequence

import tensorflow as tf

from slac_tf.latent_models import base
from slac_tf.networks import critic, representations, tanh_gaussian_actor


class SlacNetworks(NamedTuple):
    """The networks of one agent.

    Attributes:
        model: The latent variable model, parameters ψ.
        critics: Q_θ1 and Q_θ2, of the latent and the action.
        target_critics: Their delayed copies.
        history: What the actor sees: features of the model's encoder, and actions.
        actor: π_φ.
    """

    model: base.LatentModel
    critics: Sequence[critic.Critic]
    target_critics: Sequence[critic.Critic]
    history: representations.FeatureHistory
    actor: tanh_gaussian_actor.TanhGaussianActor


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
) -> SlacNetworks:
    """Makes critics and actor for a latent model.

    Args:
        model: The latent model.
        action_size: A.
        history_length: Frames that the actor sees.
        hidden_sizes: Hidden layers of critics and actor.
        critic_layer_norm: Whether each hidden layer of the critics is normalized.

    Returns:
        The networks.
    """

    def critics(prefix: str) -> Sequence[critic.Critic]:
        return [
            critic.Critic(
                model.latent_size, action_size, hidden_sizes, name=f"{prefix}_{i}", layer_norm=critic_layer_norm
            )
            for i in (1, 2)
        ]

    history = representations.FeatureHistory(model.encoder, action_size, history_length)
    return SlacNetworks(
        model=model,
        critics=critics("critic"),
        target_critics=critics("target_critic"),
        history=history,
        actor=tanh_gaussian_actor.TanhGaussianActor(history.size, action_size, hidden_sizes),
    )
