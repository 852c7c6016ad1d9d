"""Soft actor-critic (Haarnoja et al. 2018) on what a representation makes of the last observations."""

from typing import Dict, List, NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types
from tf_agents.utils import common

from slac_tf.agents import base
from slac_tf.agents.sac import networks as sac_networks
from slac_tf.losses import sac
from slac_tf.networks import representations
from slac_tf.utils import optimizers


class SacOptimizers(NamedTuple):
    """One optimizer for each loss.

    Attributes:
        critic: For critics and encoder.
        actor: For the actor.
        alpha: For the temperature.
    """

    critic: tf.keras.optimizers.Optimizer
    actor: tf.keras.optimizers.Optimizer
    alpha: tf.keras.optimizers.Optimizer


class SacAgent(base.Agent):
    """SAC; on features of the last frames the paper's "SAC from pixels", on the state its upper bound.

    Replayed windows hold H+1 steps, H the observations that are seen. Variables trained by each loss: the critic
    loss trains the two critics and the encoder, the actor loss the actor, the temperature loss log α; target
    critics follow the critics and see features of the same encoder.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        networks: sac_networks.SacNetworks,
        sac_optimizers: SacOptimizers,
        *,
        collect_policy: tf_policy.TFPolicy,
        policy: tf_policy.TFPolicy,
        gamma: float,
        target_update_tau: float,
        initial_alpha: float,
        target_entropy: float,
        train_step_counter: tf.Variable,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the representation reads.
            action_spec: `[A] float32` in [-1, 1].
            networks: The networks, built.
            sac_optimizers: One for each loss.
            collect_policy: A sample of π.
            policy: The mode of π.
            gamma: Discount factor of an agent step.
            target_update_tau: Share of the critics in each update of their targets.
            initial_alpha: Temperature at the start.
            target_entropy: In nats.
            train_step_counter: Incremented by each `train`.
        """
        length = networks.representation.length
        super().__init__(
            time_step_spec,
            action_spec,
            policy=policy,
            collect_policy=collect_policy,
            sequence_length=length,
            train_step_counter=train_step_counter,
        )
        self._networks = networks
        self._step = length - 1  # of the window: the one whose transition is trained on
        self._gamma = gamma
        self._target_update_tau = target_update_tau
        self._target_entropy = target_entropy
        self._log_alpha = tf.Variable(np.log(initial_alpha), dtype=tf.float32, name="log_alpha")
        self._optimizers = sac_optimizers
        optimizers.create_moments(sac_optimizers.critic, self._critic_variables)
        optimizers.create_moments(sac_optimizers.actor, networks.actor.trainable_variables)
        optimizers.create_moments(sac_optimizers.alpha, [self._log_alpha])

    @property
    def _critic_variables(self) -> List[tf.Variable]:
        critics = [v for critic in self._networks.critics for v in critic.trainable_variables]
        return [*critics, *self._networks.representation.trainable_variables]

    def _initialize(self) -> None:
        self._move_targets(1.0)

    def _update_targets(self) -> None:
        self._move_targets(self._target_update_tau)

    def _move_targets(self, target_update_tau: float) -> None:
        for critic, target in zip(self._networks.critics, self._networks.target_critics):
            common.soft_variables_update(critic.variables, target.variables, target_update_tau)

    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> base.Losses:
        alpha = tf.exp(self._log_alpha)
        next_seen = tf.stop_gradient(self._see(experience, self._step + 1))
        with tf.GradientTape() as critic_tape:
            seen = self._see(experience, self._step)
            critic_losses, extra = self.critic_loss(experience, seen, next_seen, alpha)
            critic_loss = tf.reduce_mean(weights * critic_losses)
        actor_variables = self._networks.actor.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as actor_tape:
            actor_tape.watch(actor_variables)
            actor_losses, log_prob = self.actor_loss(tf.stop_gradient(seen), alpha)
            actor_loss = tf.reduce_mean(weights * actor_losses)
        with tf.GradientTape() as alpha_tape:
            alpha_losses = sac.alpha_loss(self._log_alpha, log_prob, self._target_entropy)
            alpha_loss = tf.reduce_mean(weights * alpha_losses)

        each, objective = self._optimizers, optimizers.Objective
        objectives = [
            objective("critic", critic_loss, critic_tape, each.critic, self._critic_variables),
            objective("actor", actor_loss, actor_tape, each.actor, actor_variables),
            objective("alpha", alpha_loss, alpha_tape, each.alpha, [self._log_alpha]),
        ]
        return base.Losses(objectives, {**extra, "alpha": alpha, "entropy": -tf.reduce_mean(log_prob)})

    def _see(self, experience: trajectory_lib.Trajectory, step: int) -> tf.Tensor:
        steps = tf.fill(tf.shape(experience.step_type)[:1], step)
        return representations.at(
            self._networks.representation, experience.observation, experience.step_type, steps
        )  # [B, S]

    def critic_loss(
        self, experience: trajectory_lib.Trajectory, seen: tf.Tensor, next_seen: tf.Tensor, alpha: tf.Tensor
    ) -> "tuple[tf.Tensor, Dict[str, tf.Tensor]]":
        """J_Q on the window's last transition. Trains the two critics and, through `seen`, the encoder.

        Args:
            experience: `[B, H+1, …]`.
            seen: Representation of the last transition's first step, `[B, S] float32`.
            next_seen: Of its second step, `[B, S] float32`.
            alpha: Temperature, scalar.

        Returns:
            The loss `[B]` and means to log.
        """
        next_actions, next_log_prob = self._networks.actor(next_seen).experimental_sample_and_log_prob()
        target = sac.td_target(
            reward=experience.reward[:, self._step],
            discount=experience.discount[:, self._step],
            next_qs=[critic(next_seen, next_actions) for critic in self._networks.target_critics],
            next_log_prob=next_log_prob,
            alpha=alpha,
            gamma=self._gamma,
        )
        qs = [critic(seen, experience.action[:, self._step]) for critic in self._networks.critics]
        return sac.critic_loss(qs, target), {"q_mean": tf.reduce_mean(qs[0]), "q_target_mean": tf.reduce_mean(target)}

    def actor_loss(self, seen: tf.Tensor, alpha: tf.Tensor) -> "tuple[tf.Tensor, tf.Tensor]":
        """J_π. Trains the actor.

        Args:
            seen: Representation, `[B, S] float32`, without a gradient.
            alpha: Temperature, scalar.

        Returns:
            The loss `[B]` and log π of the actions `[B]`.
        """
        actions, log_prob = self._networks.actor(seen).experimental_sample_and_log_prob()
        qs = [critic(seen, actions) for critic in self._networks.critics]
        return sac.actor_loss(qs, log_prob, alpha), log_prob
