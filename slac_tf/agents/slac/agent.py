"""The stochastic latent actor-critic agent (Algorithm 1)."""

import functools
from typing import Dict, List, Optional, Sequence

import numpy as np
import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types
from tf_agents.utils import common

from slac_tf.agents import base
from slac_tf.agents.slac import inputs, resets, synthetic
from slac_tf.agents.slac import networks as slac_networks
from slac_tf.agents.slac import window as window_lib
from slac_tf.latent_models import pictures
from slac_tf.losses import elbo, sac
from slac_tf.utils import images, masks, optimizers


class SlacAgent(base.ModelAgent):
    """Trains a latent model on replayed sequences, and critics and an actor on its latents or on histories.

    Replayed windows hold T+1 steps, T the paper's tau. Variables trained by each loss: the model loss
    trains the model (with its encoder), the critic loss the two critics, the actor loss the actor's
    fully connected layers, the temperature loss log α; target critics follow the critics.
    """

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        networks: slac_networks.SlacNetworks,
        slac_optimizers: slac_networks.SlacOptimizers,
        *,
        policy: tf_policy.TFPolicy,
        collect_policy: tf_policy.TFPolicy,
        sequence_length: int,
        transitions_per_window: int,
        model_batch_size: int,
        decoder_variance: float,
        gamma: float,
        target_update_tau: float,
        initial_alpha: float,
        target_entropy: float,
        actor_loss_on_next_step: bool,
        shifts: window_lib.Shifts,
        reset_interval: Optional[int],
        imagination: synthetic.Imagination,
        train_step_counter: tf.Variable,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`, and `'state'` if the model reads it.
            action_spec: `[A] float32` in [-1, 1].
            networks: The networks, built.
            slac_optimizers: One for each loss.
            policy: The mode of π.
            collect_policy: A sample of π.
            sequence_length: T, the paper's tau.
            transitions_per_window: N, critics and actor train on the last N transitions of a window.
            model_batch_size: The model loss takes this many, the first, of a batch's sequences.
            decoder_variance: Of each pixel, on the scale of [0, 1].
            gamma: Discount factor of an agent step.
            target_update_tau: Share of the critics in each update of their targets.
            initial_alpha: Temperature at the start.
            target_entropy: In nats.
            actor_loss_on_next_step: Whether the actor's loss is taken at step tau+1, as Eq. (11) has it,
                or at step tau, as the published code does.
            shifts: Random shifts of frames.
            reset_interval: Train steps between two resets of critics, actor and temperature; None for none.
            imagination: Synthetic experience, for actor and critics that see latents.
            train_step_counter: Incremented by each `train`.
        """
        super().__init__(
            time_step_spec,
            action_spec,
            networks.model,
            policy=policy,
            collect_policy=collect_policy,
            sequence_length=sequence_length,
            train_step_counter=train_step_counter,
        )
        self._critics = list(networks.critics)
        self._target_critics = list(networks.target_critics)
        self._actor = networks.actor
        self._actor_input = networks.actor_input
        self._critic_input = networks.critic_input
        self._optimizers = slac_optimizers
        # Indices of the steps that the trained transitions arrive at; the last one is tau+1 in the paper.
        self._arrivals = range(sequence_length + 1 - transitions_per_window, sequence_length + 1)
        self._model_batch_size = model_batch_size
        self._decoder_variance = decoder_variance
        self._gamma = gamma
        self._target_update_tau = target_update_tau
        self._target_entropy = target_entropy
        self._actor_steps = self._arrivals if actor_loss_on_next_step else [step - 1 for step in self._arrivals]
        self._shifts = shifts
        self._log_alpha = tf.Variable(np.log(initial_alpha), dtype=tf.float32, name="log_alpha")
        for optimizer, variables in (
            (slac_optimizers.model, self._model.trainable_variables),
            (slac_optimizers.critic, self._critic_variables),
            (slac_optimizers.actor, self._actor.trainable_variables),
            (slac_optimizers.alpha, [self._log_alpha]),
        ):
            optimizers.create_moments(optimizer, variables)
        self._resets = None
        if reset_interval is not None:
            self._resets = resets.HeadResets(reset_interval, networks, slac_optimizers, self._log_alpha)
        self._synthetic = synthetic.SyntheticExperience(imagination, networks, gamma)

    @property
    def _critic_variables(self) -> List[tf.Variable]:
        return [v for critic in self._critics for v in critic.trainable_variables]

    def _initialize(self) -> None:
        self._move_targets(1.0)

    def _update_targets(self) -> None:
        self._move_targets(self._target_update_tau)
        if self._resets is not None:
            self._resets.after_step(self._train_step_counter)

    def _move_targets(self, target_update_tau: float) -> None:
        for critic, target in zip(self._critics, self._target_critics):
            common.soft_variables_update(critic.variables, target.variables, target_update_tau)

    # Training.

    def _pretraining_losses(self, experience: trajectory_lib.Trajectory) -> base.Losses:
        model, losses, _ = self._model_objective(self._shifts.of(_window(experience), self._shifts.model))
        return base.Losses([model], _model_summary(losses))

    def _model_objective(
        self, window: window_lib.Window
    ) -> "tuple[optimizers.Objective, elbo.Elbo, window_lib.Inferred]":
        with tf.GradientTape() as tape:
            losses, inferred = self.model_loss(window)
            loss = tf.reduce_mean(losses.loss)
        objective = optimizers.Objective("model", loss, tape, self._optimizers.model, self._model_variables)
        return objective, losses, tf.nest.map_structure(tf.stop_gradient, inferred)

    def _model_and_inferred(
        self, window: window_lib.Window
    ) -> "tuple[optimizers.Objective, elbo.Elbo, window_lib.Inferred]":
        """The model's objective on the first sequences, and what critics and actor see of all of them.

        The model sees its sequences under a tape. All others are only filtered, outside of it: a critic or actor never
        has a gradient into the model, so recording it would be waste.
        """
        size = self._model_batch_size // tf.distribute.get_strategy().num_replicas_in_sync
        seen = self._shifts.of(window, self._shifts.critic)
        if self._shifts.model != self._shifts.critic:
            modelled = tf.nest.map_structure(lambda x: x[:size], window)
            model, losses, _ = self._model_objective(self._shifts.of(modelled, self._shifts.model))
            return model, losses, self.infer(seen)
        model, losses, inferred = self._model_objective(tf.nest.map_structure(lambda x: x[:size], seen))
        batch_size = window.actions.shape[0]
        if batch_size is None or batch_size > size:
            others = self.infer(tf.nest.map_structure(lambda x: x[size:], seen))
            inferred = tf.nest.map_structure(lambda a, b: tf.concat([a, b], axis=0), inferred, others)
        return model, losses, inferred

    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> base.Losses:
        window = _window(experience)
        alpha = tf.exp(self._log_alpha)
        model, model_losses, inferred = self._model_and_inferred(window)
        imagined = self._synthetic.imagine(inferred, window)

        with tf.GradientTape() as critic_tape:
            critic_losses, critic_extra = self.critic_loss(window, inferred, alpha)
            critic_losses = self._synthetic.with_critic_loss(critic_losses, imagined, alpha)
            critic_loss = tf.reduce_mean(weights * critic_losses)

        with tf.GradientTape(watch_accessed_variables=False) as actor_tape:
            actor_tape.watch(self._actor.trainable_variables)
            actor_losses, log_prob = self.actor_loss(window, inferred, alpha)
            actor_losses = self._synthetic.with_actor_loss(actor_losses, imagined, alpha)
            actor_loss = tf.reduce_mean(weights * actor_losses)

        with tf.GradientTape() as alpha_tape:
            alpha_losses = sac.alpha_loss(self._log_alpha, log_prob, self._target_entropy)
            alpha_loss = tf.reduce_mean(weights * alpha_losses)

        each, objective = self._optimizers, optimizers.Objective
        objectives = [
            model,  # ψ
            objective("critic", critic_loss, critic_tape, each.critic, self._critic_variables),  # θ
            objective("actor", actor_loss, actor_tape, each.actor, self._actor.trainable_variables),  # φ
            objective("alpha", alpha_loss, alpha_tape, each.alpha, [self._log_alpha]),
        ]
        entropy = -tf.reduce_mean(log_prob)
        return base.Losses(
            objectives, {**_model_summary(model_losses), **critic_extra, "alpha": alpha, "entropy": entropy}
        )

    # Losses, per sequence.

    def infer(self, window: window_lib.Window) -> window_lib.Inferred:
        """Features and posterior samples of a window.

        Args:
            window: `[B, T+1, …]`.

        Returns:
            `[B, T+1, …]`.
        """
        features = self._model.encode(window.observation)
        posterior = self._model.posterior(features, window.actions, window.step_types)
        return window_lib.Inferred(features, self._model.vector(posterior), self._synthetic.begin(posterior))

    def model_loss(self, window: window_lib.Window) -> "tuple[elbo.Elbo, window_lib.Inferred]":
        """J_M(ψ), Eq. (9). Trains the model's variables, the encoder's among them.

        Args:
            window: `[B, T+1, …]`.

        Returns:
            The loss and its terms, `[B]`, and what was inferred on the way.
        """
        model = self._model
        frames = images.to_float(window.frames)
        features = model.encode(window.observation)
        posterior = model.posterior(features, window.actions, window.step_types)
        prior = model.prior(posterior, window.actions, window.step_types)
        latents = model.vector(posterior)
        reward_means, reward_stds = model.reward(latents, window.actions)
        states = model.state(latents)
        losses = elbo.elbo(
            frame_log_probs=elbo.frame_log_prob(frames, model.decode(latents), self._decoder_variance),
            rewards=window.rewards[:, :-1],
            reward_means=reward_means,
            reward_stds=reward_stds,
            reward_mask=1.0 - tf.cast(masks.is_first(window.step_types)[:, 1:], tf.float32),
            kl=model.kl(posterior, prior, window.step_types),
            state_log_probs=None if states is None else elbo.state_log_prob(window.states, *states),
        )
        return losses, window_lib.Inferred(features, latents, self._synthetic.begin(posterior))

    def critic_loss(
        self, window: window_lib.Window, inferred: window_lib.Inferred, alpha: tf.Tensor
    ) -> "tuple[tf.Tensor, Dict[str, tf.Tensor]]":
        """J_Q(θ), Eq. (10), on the window's last transitions. Trains the two critics.

        Args:
            window: `[B, T+1, …]`.
            inferred: `[B, T+1, …]`.
            alpha: Temperature, scalar.

        Returns:
            The loss `[B]` and means to log.
        """
        arrivals, departures = self._arrivals, [step - 1 for step in self._arrivals]
        see = functools.partial(_seen, self._critic_input, window=window, inferred=inferred)
        next_seen = _seen(self._actor_input, arrivals, window, inferred)
        next_actions, next_log_prob = self._actor(next_seen).experimental_sample_and_log_prob()
        target = sac.td_target(
            reward=_rows(window.rewards, departures),
            discount=_rows(window.discounts, departures),
            next_qs=[critic(see(arrivals), next_actions) for critic in self._target_critics],
            next_log_prob=next_log_prob,
            alpha=alpha,
            gamma=self._gamma,
        )
        qs = [critic(see(departures), _rows(window.actions, departures)) for critic in self._critics]
        extra = {"q_mean": tf.reduce_mean(qs[0]), "q_target_mean": tf.reduce_mean(target)}
        return self._mean(sac.critic_loss(qs, target), window), extra

    def actor_loss(
        self, window: window_lib.Window, inferred: window_lib.Inferred, alpha: tf.Tensor
    ) -> "tuple[tf.Tensor, tf.Tensor]":
        """J_π(φ), Eq. (11). Trains the actor's fully connected layers.

        Args:
            window: `[B, T+1, …]`.
            inferred: `[B, T+1, …]`.
            alpha: Temperature, scalar.

        Returns:
            The loss `[B]` and the mean of log π of each sequence's actions `[B]`.
        """
        steps = self._actor_steps
        actions, log_prob = self._actor(
            _seen(self._actor_input, steps, window, inferred)
        ).experimental_sample_and_log_prob()
        qs = [critic(_seen(self._critic_input, steps, window, inferred), actions) for critic in self._critics]
        return self._mean(sac.actor_loss(qs, log_prob, alpha), window), self._mean(log_prob, window)

    def _mean(self, rows: tf.Tensor, window: window_lib.Window) -> tf.Tensor:
        """Means `[B]` over the trained transitions, `[N B]`, without resets, of which the last one never is one."""
        if len(self._arrivals) == 1:
            return rows
        weights = 1.0 - tf.cast(masks.is_first(_rows(window.step_types, self._arrivals)), tf.float32)
        shape = [len(self._arrivals), -1]
        return tf.reduce_sum(tf.reshape(weights * rows, shape), axis=0) / tf.reduce_sum(
            tf.reshape(weights, shape), axis=0
        )

    # Pictures.

    def report(self, experience: trajectory_lib.Trajectory, context_frames: int = 1) -> Dict[str, np.ndarray]:
        """Frames beside what the model makes of them (Figures 7, 9 and 10).

        Args:
            experience: `[B, length, …]`, each sequence within one episode, of any length.
            context_frames: Frames that the conditional prior is given; 1 in the paper.

        Returns:
            Videos `[B, length, 64, 64, 3] uint8` by name: `truth`, `posterior`, `conditional_prior`, `prior`.
        """
        return pictures.videos(self._model, self._model.encode(experience.observation), experience, context_frames)


def _rows(values: tf.Tensor, steps: Sequence[int]) -> tf.Tensor:
    """Steps of windows below each other, `[B, T+1, …]` to `[N B, …]`."""
    return tf.concat([values[:, step] for step in steps], axis=0)


def _seen(
    seen_by: inputs.Input, steps: Sequence[int], window: window_lib.Window, inferred: window_lib.Inferred
) -> tf.Tensor:
    """What is seen at each of these steps, `[N B, size]`."""
    return tf.concat([seen_by.at(step, window, inferred) for step in steps], axis=0)


def _window(experience: trajectory_lib.Trajectory) -> window_lib.Window:
    return window_lib.Window(
        frames=experience.observation["pixels"],
        actions=experience.action,
        rewards=experience.reward,
        discounts=experience.discount,
        step_types=experience.step_type,
        states=experience.observation.get("state", ()),
    )


def _model_summary(losses: elbo.Elbo) -> Dict[str, tf.Tensor]:
    means = {"frame_log_prob": losses.frame_log_prob, "reward_log_prob": losses.reward_log_prob}
    means.update({f"kl_{layer}": kl for layer, kl in losses.kl.items()})
    if losses.state_log_prob is not None:
        means["state_log_prob"] = losses.state_log_prob
    return {name: tf.reduce_mean(values) for name, values in means.items()}
