"""Distributed distributional deterministic policy gradients (Barth-Maron et al. 2018), in one process."""

from typing import Dict, List, NamedTuple

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types
from tf_agents.utils import common

from slac_tf.agents import base
from slac_tf.agents.d4pg import networks as d4pg_networks
from slac_tf.losses import categorical, dpg, n_step
from slac_tf.networks import representations
from slac_tf.utils import optimizers

_ACTION_GRADIENT_NORM = 1.0


class D4pgOptimizers(NamedTuple):
    """One optimizer for each loss.

    Attributes:
        critic: For critic and encoder.
        actor: For the actor.
    """

    critic: tf.keras.optimizers.Optimizer
    actor: tf.keras.optimizers.Optimizer


class D4pgAgent(base.Agent):
    """A categorical critic of n-step returns and a deterministic actor.

    Replayed windows hold H+n steps, H the frames that are seen. Variables trained by each loss: the critic
    loss trains critic and encoder, the actor loss the actor; the target networks, encoder among them, are
    copied now and then. The loss info has `'priorities'`, the KL of each window, for prioritized replay.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        networks: d4pg_networks.D4pgNetworks,
        target_networks: d4pg_networks.D4pgNetworks,
        d4pg_optimizers: D4pgOptimizers,
        *,
        policy: tf_policy.TFPolicy,
        collect_policy: tf_policy.TFPolicy,
        num_steps: int,
        gamma: float,
        target_update_period: int,
        give_priorities: bool,
        train_step_counter: tf.Variable,
        name: str = "d4pg_agent",
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the representation reads.
            action_spec: `[A] float32` in [-1, 1].
            networks: The networks, built.
            target_networks: The same, for the delayed copies.
            d4pg_optimizers: One for each loss.
            policy: μ.
            collect_policy: μ with noise.
            num_steps: n, rewards in the critic's target.
            gamma: Discount factor of an agent step.
            target_update_period: Train steps between copies to the target networks.
            give_priorities: Whether the loss info has `'priorities'`, `[B] float32`.
            train_step_counter: Incremented by each `train`.
            name: Name.
        """
        length = networks.representation.length
        super().__init__(
            time_step_spec,
            action_spec,
            policy=policy,
            collect_policy=collect_policy,
            sequence_length=length + num_steps - 1,
            train_step_counter=train_step_counter,
            name=name,
        )
        self._networks = networks
        self._target = target_networks
        self._step = length - 1  # of the window: the one that is trained on
        self._num_steps = num_steps
        self._gamma = gamma
        self._give_priorities = give_priorities
        self._optimizers = d4pg_optimizers
        optimizers.create_moments(d4pg_optimizers.critic, self._critic_variables)
        optimizers.create_moments(d4pg_optimizers.actor, networks.actor.trainable_variables)
        self._copy_now_and_then = common.Periodically(self._copy_to_target, target_update_period, "target_update")

    @property
    def _critic_variables(self) -> List[tf.Variable]:
        return [*self._networks.critic.trainable_variables, *self._networks.representation.trainable_variables]

    def _initialize(self) -> None:
        self._copy_to_target()

    def _copy_to_target(self) -> tf.Operation:
        return common.soft_variables_update(self._networks.variables, self._target.variables)

    def _update_targets(self) -> None:
        self._copy_now_and_then()

    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> base.Losses:
        target, extra = self._critic_target(experience)
        with tf.GradientTape() as critic_tape:
            steps = tf.fill(tf.shape(experience.step_type)[:1], self._step)
            seen = representations.at(
                self._networks.representation, experience.observation, experience.step_type, steps
            )
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
            extra["priorities"] = kl
        return base.Losses(objectives, extra)

    def _critic_target(self, experience: trajectory_lib.Trajectory) -> "tuple[tf.Tensor, Dict[str, tf.Tensor]]":
        """Distribution of the n-step return and what follows, `[B, K]`, and means to log."""
        first = self._step
        returns = n_step.n_step(
            experience.reward[:, first : first + self._num_steps],
            experience.discount[:, first : first + self._num_steps],
            experience.step_type[:, first + 1 : first + 1 + self._num_steps],
            self._gamma,
        )
        later = representations.at(
            self._target.representation, experience.observation, experience.step_type, first + returns.steps
        )
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
