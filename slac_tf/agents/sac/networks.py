"""The networks of soft actor-critic: the project's own from pixels, TF-Agents' from state."""

from typing import NamedTuple, Sequence

import tensorflow as tf
from tf_agents.agents.ddpg import critic_network
from tf_agents.agents.sac import tanh_normal_projection_network
from tf_agents.networks import actor_distribution_network, network
from tf_agents.typing import types

from slac_tf.networks import critic, representations, tanh_gaussian_actor

_LOG_STD_MIN, _LOG_STD_MAX = -20.0, 2.0


class PixelSacNetworks(NamedTuple):
    """The networks of `PixelSacAgent`.

    Attributes:
        representation: What critics and actor see; shared, and trained by the critics.
        critics: Q_1 and Q_2.
        target_critics: Their delayed copies.
        actor: π.
    """

    representation: representations.Representation
    critics: Sequence[critic.Critic]
    target_critics: Sequence[critic.Critic]
    actor: tanh_gaussian_actor.TanhGaussianActor


def make_pixel_networks(
    representation: representations.Representation, action_size: int, hidden_sizes: Sequence[int]
) -> PixelSacNetworks:
    """Makes critics and actor for a representation.

    Args:
        representation: The representation.
        action_size: A.
        hidden_sizes: Hidden layers of critics and actor.

    Returns:
        The networks.
    """

    def critics(prefix: str) -> Sequence[critic.Critic]:
        return [critic.Critic(representation.size, action_size, hidden_sizes, name=f"{prefix}_{i}") for i in (1, 2)]

    return PixelSacNetworks(
        representation=representation,
        critics=critics("critic"),
        target_critics=critics("target_critic"),
        actor=tanh_gaussian_actor.TanhGaussianActor(representation.size, action_size, hidden_sizes),
    )


class StateSacNetworks(NamedTuple):
    """The networks of `StateSacAgent`, TF-Agents' own; targets are copies that the agent makes.

    Attributes:
        critics: Q_1 and Q_2.
        actor: π.
    """

    critics: Sequence[network.Network]
    actor: network.Network


def make_state_networks(
    observation_spec: types.NestedTensorSpec, action_spec: types.NestedTensorSpec, hidden_sizes: Sequence[int]
) -> StateSacNetworks:
    """Makes critics and actor for a flat state.

    Args:
        observation_spec: Holds `'state'`, `[S] float32`, and nothing else.
        action_spec: `[A] float32` in [-1, 1].
        hidden_sizes: Hidden layers of critics and actor.

    Returns:
        The networks.
    """

    def make_critic(name: str) -> network.Network:
        return critic_network.CriticNetwork(
            (observation_spec, action_spec),
            joint_fc_layer_params=tuple(hidden_sizes),
            kernel_initializer="glorot_uniform",
            last_kernel_initializer="glorot_uniform",
            name=name,
        )

    def projection(spec: types.TensorSpec) -> network.Network:
        return tanh_normal_projection_network.TanhNormalProjectionNetwork(
            spec, std_transform=lambda log_std: tf.exp(tf.clip_by_value(log_std, _LOG_STD_MIN, _LOG_STD_MAX))
        )

    return StateSacNetworks(
        critics=[make_critic("critic_1"), make_critic("critic_2")],
        actor=actor_distribution_network.ActorDistributionNetwork(
            observation_spec,
            action_spec,
            preprocessing_combiner=tf.keras.layers.Lambda(lambda observation: observation["state"]),
            fc_layer_params=tuple(hidden_sizes),
            kernel_initializer="glorot_uniform",
            continuous_projection_net=projection,
            name="actor",
        ),
    )
