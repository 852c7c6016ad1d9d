"""Soft actor-critic (Haarnoja et al. 2018), from pixels and from state."""

from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.agents.sac import sac_agent
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types
from tf_agents.utils import common

from slac_tf.agents.sac import networks as sac_networks
from slac_tf.losses import sac
from slac_tf.networks import representations
from slac_tf.utils import optimizers


class LearningRates(NamedTuple):
    """Adam's, for each loss.

    Attributes:
        critic: Of critics and encoder.
        actor: Of the actor.
        alpha: Of the temperature.
    """

    critic: float
    actor: float
    alpha: float


class PixelSacAgent(tf_agent.TFAgent):
    """SAC on features of the last frames (the paper's "SAC from pixels").

    Replayed windows hold H+1 steps, H the frames that are seen. Variables trained by each loss: the critic
    loss trains the two critics and the encoder, the actor loss the actor, the temperature loss log α; target
    critics follow the critics and see features of the same encoder.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.NestedTensorSpec,
        networks: sac_networks.PixelSacNetworks,
        learning_rates: LearningRates,
        *,
        collect_policy: tf_policy.TFPolicy,
        policy: tf_policy.TFPolicy,
        gamma: float,
        target_update_tau: float,
        initial_alpha: float,
        target_entropy: float,
        train_step_counter: tf.Variable,
        name: str = "pixel_sac_agent",
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds what the representation reads.
            action_spec: `[A] float32` in [-1, 1].
            networks: The networks, built.
            learning_rates: For each loss.
            collect_policy: A sample of π.
            policy: The mode of π.
            gamma: Discount factor of an agent step.
            target_update_tau: Share of the critics in each update of their targets.
            initial_alpha: Temperature at the start.
            target_entropy: In nats.
            train_step_counter: Incremented by each `train`.
            name: Name.
        """
        length = networks.representation.length
        super().__init__(
            time_step_spec,
            action_spec,
            policy=policy,
            collect_policy=collect_policy,
            train_sequence_length=length + 1,
            train_step_counter=train_step_counter,
        )
        self._networks = networks
        self._step = length - 1  # of the window: the one whose transition is trained on
        self._gamma = gamma
        self._target_update_tau = target_update_tau
        self._target_entropy = target_entropy
        self._log_alpha = tf.Variable(np.log(initial_alpha), dtype=tf.float32, name="log_alpha")
        self._critic_optimizer = optimizers.adam(learning_rates.critic, self._critic_variables)
        self._actor_optimizer = optimizers.adam(learning_rates.actor, networks.actor.trainable_variables)
        self._alpha_optimizer = optimizers.adam(learning_rates.alpha, [self._log_alpha])
        self._compiled_train = common.function(self._train_step)

    @property
    def _critic_variables(self) -> List[tf.Variable]:
        critics = [v for critic in self._networks.critics for v in critic.trainable_variables]
        return [*critics, *self._networks.representation.trainable_variables]

    def _initialize(self) -> None:
        self._update_targets(1.0)

    def _update_targets(self, target_update_tau: float) -> None:
        for critic, target in zip(self._networks.critics, self._networks.target_critics):
            common.soft_variables_update(critic.variables, target.variables, target_update_tau)

    def _train(self, experience: trajectory_lib.Trajectory, weights: Optional[tf.Tensor]) -> tf_agent.LossInfo:
        return self._compiled_train(experience, weights)

    def _train_step(self, experience: trajectory_lib.Trajectory, weights: Optional[tf.Tensor]) -> tf_agent.LossInfo:
        weights = tf.constant(1.0) if weights is None else weights  # scalar or [B]
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

        # All gradients are those of the weights before this step.
        steps = (
            (self._critic_optimizer, critic_tape.gradient(critic_loss, self._critic_variables), self._critic_variables),
            (self._actor_optimizer, actor_tape.gradient(actor_loss, actor_variables), actor_variables),
            (self._alpha_optimizer, alpha_tape.gradient(alpha_loss, [self._log_alpha]), [self._log_alpha]),
        )
        for optimizer, gradients, variables in steps:
            optimizer.apply_gradients(zip(gradients, variables))
        self._update_targets(self._target_update_tau)
        self.train_step_counter.assign_add(1)
        extra = {
            **extra,
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "alpha_loss": alpha_loss,
            "alpha": alpha,
            "entropy": -tf.reduce_mean(log_prob),
        }
        return tf_agent.LossInfo(critic_loss + actor_loss + alpha_loss, extra)

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


class StateSacAgent(sac_agent.SacAgent):
    """TF-Agents' SAC, compiled, with its losses by name."""

    def __init__(self, *args: Any, **kwargs: Any):
        """Constructor.

        Args:
            *args: TF-Agents' own.
            **kwargs: TF-Agents' own.
        """
        super().__init__(*args, **kwargs)
        self._compiled_train = common.function(super()._train)

    def create_optimizer_slots(self) -> None:
        """Makes all Adam moments now, so that a checkpoint restored before training finds them."""
        critics = (self._critic_network_1, self._critic_network_2)
        self._critic_optimizer._create_all_weights([v for critic in critics for v in critic.trainable_variables])
        self._actor_optimizer._create_all_weights(self._actor_network.trainable_variables)
        self._alpha_optimizer._create_all_weights([self._log_alpha])

    def _train(self, experience: trajectory_lib.Trajectory, weights: Optional[tf.Tensor]) -> tf_agent.LossInfo:
        loss, losses = self._compiled_train(experience, weights)
        return tf_agent.LossInfo(loss, {**losses._asdict(), "alpha": tf.exp(self._log_alpha)})
