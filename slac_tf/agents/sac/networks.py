"""The networks of soft actor-critic."""

from typing import NamedTuple, Sequence

from slac_tf.networks import critic, representations, tanh_gaussian_actor


class SacNetworks(NamedTuple):
    """The networks of `SacAgent`.

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


def make_networks(
    representation: representations.Representation, action_size: int, hidden_sizes: Sequence[int]
) -> SacNetworks:
    """Makes critics and actor for a representation.

    Args:
        representation: The representation.
        action_size: A.
        hidden_sizes: Hidden layers of critics and actor.

    Returns:
        The networks.
    """

    def critics() -> Sequence[critic.Critic]:
        return [critic.Critic(representation.size, action_size, hidden_sizes) for _ in range(2)]

    return SacNetworks(
        representation=representation,
        critics=critics(),
        target_critics=critics(),
        actor=tanh_gaussian_actor.TanhGaussianActor(representation.size, action_size, hidden_sizes),
    )
