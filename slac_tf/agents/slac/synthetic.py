"""Synthetic experience: steps that the latent model makes under the actor, for critics and actor to train on."""

from typing import NamedTuple, Optional

import tensorflow as tf

from slac_tf.agents.slac import networks as slac_networks
from slac_tf.agents.slac import window as window_lib
from slac_tf.latent_models import base
from slac_tf.losses import sac


class Imagination(NamedTuple):
    """How much is imagined, and for whom.

    Attributes:
        num_steps: k, steps of the model from the latent of each window's last step; 0 imagines nothing.
        critic_share: Weight of the imagined steps in a sequence's critic loss; its own transition has the rest.
        actor_share: Same in its actor loss.
    """

    num_steps: int
    critic_share: float
    actor_share: float


class Imagined(NamedTuple):
    """Imagined steps; no gradient flows into them."""

    latents: tf.Tensor  # [B, k+1, L] float32, the first one the posterior's
    actions: tf.Tensor  # [B, k, A] float32
    rewards: tf.Tensor  # [B, k] float32, means
    goes_on: tf.Tensor  # [B] float32, 0 where the episode terminated at the window's last step


class SyntheticExperience:
    """Imagines, and mixes the losses of what was imagined with those of the replayed transitions.

    The model has no notion of an end: each imagined step has discount 1. Where the task terminated at a window's last
    step, nothing that follows is of use, and the replayed transition keeps all of the weight. A time limit is no end:
    what is imagined goes on beyond it, as the targets of the replayed transitions do.
    """

    def __init__(self, imagination: Imagination, networks: slac_networks.SlacNetworks, gamma: float):
        """Constructor.

        Args:
            imagination: How much, and for whom.
            networks: The agent's; critics and actor see latents.
            gamma: Discount factor of an agent step.
        """
        self._imagination = imagination
        self._networks = networks
        self._gamma = gamma

    def begin(self, posterior: base.LatentState) -> base.LatentState:
        """Where to begin.

        Args:
            posterior: `[B, T+1, D]` for each layer.

        Returns:
            The last step's, `[B, D]` for each layer; empty where nothing is imagined.
        """
        return tf.nest.map_structure(lambda x: x[:, -1], posterior) if self._imagination.num_steps else {}

    def imagine(self, inferred: window_lib.Inferred, window: window_lib.Window) -> Optional[Imagined]:
        """Steps of the prior with actions of the actor, and the rewards that the model expects of them.

        Args:
            inferred: `[B, T+1, …]`.
            window: `[B, T+1, …]`.

        Returns:
            What was imagined; None where nothing is.
        """
        if not self._imagination.num_steps:
            return None
        model, actor = self._networks.model, self._networks.actor
        states, actions = model.imagine(inferred.last_state, actor.sample, self._imagination.num_steps)
        latents = tf.concat([inferred.latents[:, -1:], model.vector(states)], axis=1)  # [B, k+1, L]
        rewards, _ = model.reward(latents, tf.pad(actions, [[0, 0], [0, 1], [0, 0]]))  # the last latent has no action
        # The discount of a window's last transition: 0 at a termination, 1 at a time limit.
        goes_on = tf.cast(window.discounts[:, -2] > 0.0, tf.float32)
        return Imagined(*tf.nest.map_structure(tf.stop_gradient, (latents, actions, rewards, goes_on)))

    def with_critic_loss(self, losses: tf.Tensor, imagined: Optional[Imagined], alpha: tf.Tensor) -> tf.Tensor:
        """J_Q(θ), Eq. (10), with its share of imagined transitions. Trains the two critics.

        Args:
            losses: Of the replayed transitions, `[B] float32`.
            imagined: `[B, …]`, or None.
            alpha: Temperature, scalar.

        Returns:
            `[B] float32`.
        """
        if imagined is None or not self._imagination.critic_share:
            return losses
        networks = self._networks
        latents, next_latents = _flat(imagined.latents[:, :-1]), _flat(imagined.latents[:, 1:])  # [B * k, L]
        next_actions, next_log_prob = networks.actor(next_latents).experimental_sample_and_log_prob()
        rewards = tf.reshape(imagined.rewards, [-1])  # [B, k] -> [B * k]
        target = sac.td_target(
            reward=rewards,
            discount=tf.ones_like(rewards),
            next_qs=[critic(next_latents, next_actions) for critic in networks.target_critics],
            next_log_prob=next_log_prob,
            alpha=alpha,
            gamma=self._gamma,
        )
        qs = [critic(latents, _flat(imagined.actions)) for critic in networks.critics]
        return self._mixed(losses, sac.critic_loss(qs, target), imagined, self._imagination.critic_share)

    def with_actor_loss(self, losses: tf.Tensor, imagined: Optional[Imagined], alpha: tf.Tensor) -> tf.Tensor:
        """J_π(φ), Eq. (11), with its share of imagined latents. Trains the actor; no gradient goes through the model.

        Args:
            losses: Of the replayed steps, `[B] float32`.
            imagined: `[B, …]`, or None.
            alpha: Temperature, scalar.

        Returns:
            `[B] float32`.
        """
        if imagined is None or not self._imagination.actor_share:
            return losses
        latents = _flat(imagined.latents[:, 1:])  # [B * k, L]
        actions, log_prob = self._networks.actor(latents).experimental_sample_and_log_prob()
        qs = [critic(latents, actions) for critic in self._networks.critics]
        return self._mixed(losses, sac.actor_loss(qs, log_prob, alpha), imagined, self._imagination.actor_share)

    def _mixed(self, replayed: tf.Tensor, of_steps: tf.Tensor, imagined: Imagined, share: float) -> tf.Tensor:
        means = tf.reduce_mean(tf.reshape(of_steps, [-1, self._imagination.num_steps]), axis=1)  # [B * k] -> [B]
        shares = share * imagined.goes_on
        return (1.0 - shares) * replayed + shares * means


def _flat(steps: tf.Tensor) -> tf.Tensor:
    return tf.reshape(steps, [-1, steps.shape[-1]])  # [B, k, D] -> [B * k, D]
