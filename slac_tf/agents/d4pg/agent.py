"""Distributed distributional deterministic policy gradients (Barth-Maron et al. 2018), in one process."""

from typing import Any, Dict, NamedTuple

import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types

from slac_tf.agents import base
from slac_tf.agents.d4pg import networks as d4pg_networks
from slac_tf.losses import categorical, dpg
from slac_tf.utils import optimizers

_ACTION_GRADIENT_NORM = 1.0
_LEAST_PRIORITY = 1e-6  # at 0, which a KL can be in float32, a window would not be sampled again


class D4pgOptimizers(NamedTuple):
    """One optimizer for each loss.

    Attributes:
        critic: For critic and encoder.
        actor: For the actor.
    """

    critic: tf.keras.optimizers.Optimizer
    actor: tf.keras.optimizers.Optimizer


class D4pgAgent(base.NStepAgent):
    """A categorical critic of n-step returns and a deterministic actor.

    Variables trained by each loss: the critic loss trains critic and encoder, the actor loss the actor. The loss info
    has `'priorities'`, about the KL of each window, for prioritized replay.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        networks: d4pg_networks.D4pgNetworks,
        target_networks: d4pg_networks.D4pgNetworks,
        d4pg_optimizers: D4pgOptimizers,
        *,
        give_priorities: bool,
        **arguments: Any,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the representation reads.
            action_spec: `[A] float32` in [-1, 1].
            networks: The networks, built.
            target_networks: The same, for the delayed copies.
            d4pg_optimizers: One for each loss.
            give_priorities: Whether the loss info has `'priorities'`, `[B] float32`.
            **arguments: Those of `NStepAgent`.
        """
        super().__init__(time_step_spec, action_spec, networks, target_networks, **arguments)
        self._give_priorities = give_priorities
        self._optimizers = d4pg_optimizers
        optimizers.create_moments(d4pg_optimizers.critic, self._critic_variables)
        optimizers.create_moments(d4pg_optimizers.actor, networks.actor.trainable_variables)

    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> base.Losses:
        target, extra = self._critic_target(experience)
        with tf.GradientTape() as critic_tape:
            seen = self._seen(experience)
            logits = self._networks.critic(seen, experience.action[:, self._step])
            critic_losses = categorical.critic_loss(logits, target)
            critic_loss = tf.reduce_mean(weights * critic_losses)
        actor_variables = self._networks.actor.trainable_variables
        with tf.GradientTape() as actor_tape:
            actor_losses, q = self.actor_loss(tf.stop_gradient(seen))
            actor_loss = tf.reduce_mean(actor_losses)

        objective = optimizers.Objective
        objectives = [
            objective("critic", critic_loss, critic_tape, self._optimizers.critic, self._critic_variables),
            objective("actor", actor_loss, actor_tape, self._optimizers.actor, actor_variables),
        ]
        kl = categorical.kl(critic_losses, target)
        extra = {**extra, "critic_kl": tf.reduce_mean(kl), "q_mean": tf.reduce_mean(q)}
        if self._give_priorities:
            extra["priorities"] = kl + _LEAST_PRIORITY
        return base.Losses(objectives, extra)

    def _critic_target(self, experience: trajectory_lib.Trajectory) -> "tuple[tf.Tensor, Dict[str, tf.Tensor]]":
        """Distribution of the n-step return and what follows, `[B, K]`, and means to log."""
        returns, later = self._returns(experience)
        support = self._networks.critic.support
        next_logits = self._target.critic(later, self._target.actor(later))
        target = categorical.td_target(returns.returns, returns.discount, next_logits, support)
        # Probability at the ends of the support says that it is too narrow.
        extra = {
            "q_target_mean": tf.reduce_mean(tf.reduce_sum(target * support, axis=-1)),
            "target_at_ends": tf.reduce_mean(target[:, 0] + target[:, -1]),
        }
        return target, extra

    def actor_loss(self, seen: tf.Tensor) -> "tuple[tf.Tensor, tf.Tensor]":
        """Ascends E[Z(s, μ(s))]. Trains the actor.

        Args:
            seen: Representation, `[B, S] float32`, without a gradient.

        Returns:
            The loss `[B]` and Q(s, μ(s)) `[B]`.
        """
        actions = self._networks.actor(seen)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(actions)
            q = self._networks.critic.mean(seen, actions)
        return dpg.actor_loss(actions, tape.gradient(q, actions), _ACTION_GRADIENT_NORM), q
