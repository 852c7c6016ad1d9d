"""PlaNet (Hafner et al. 2019): trains the model alone; the policies plan with it."""

from typing import Dict, Optional

import numpy as np
import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib
from tf_agents.typing import types as tf_types

from slac_tf.agents import base
from slac_tf.latent_models import base as latent_model
from slac_tf.latent_models import pictures
from slac_tf.losses import planet
from slac_tf.utils import images, optimizers

_CONTEXT_FRAMES = 5


class PlanetAgent(base.ModelAgent):
    """One loss trains all of the model's variables. Pretraining is the same step under a counter of its own."""

    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        model: latent_model.LatentModel,
        optimizer: tf.keras.optimizers.Optimizer,
        *,
        policy: tf_policy.TFPolicy,
        collect_policy: tf_policy.TFPolicy,
        sequence_length: int,
        reward_scale: float,
        train_step_counter: tf.Variable,
    ):
        """Constructor.

        Args:
            time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`.
            action_spec: `[A] float32` in [-1, 1].
            model: The latent model, whose reward is of the state arrived at.
            optimizer: Of the model.
            policy: Plans.
            collect_policy: Plans, and adds noise.
            sequence_length: T; windows of replay hold T+1 steps.
            reward_scale: Weight of the reward's term of the loss.
            train_step_counter: Incremented by each `train`.
        """
        super().__init__(
            time_step_spec,
            action_spec,
            model,
            policy=policy,
            collect_policy=collect_policy,
            sequence_length=sequence_length,
            train_step_counter=train_step_counter,
        )
        self._optimizer = optimizer
        self._reward_scale = reward_scale
        optimizers.create_moments(optimizer, self._model_variables)

    def _pretraining_losses(self, experience: trajectory_lib.Trajectory) -> base.Losses:
        return self._losses(experience, tf.constant(1.0))

    def _losses(self, experience: trajectory_lib.Trajectory, weights: tf.Tensor) -> base.Losses:
        with tf.GradientTape() as tape:
            terms = self.model_loss(experience)
            loss = tf.reduce_mean(weights * terms.loss)
        extra = {name: tf.reduce_mean(values) for name, values in terms._asdict().items() if name != "loss"}
        return base.Losses([optimizers.Objective("model", loss, tape, self._optimizer, self._model_variables)], extra)

    def model_loss(self, experience: trajectory_lib.Trajectory) -> planet.PlanetLoss:
        """The loss of a batch. Trains the model's variables, the encoder's among them.

        `reward[:, t]` belongs to the step that leads to the state at t+1, so the first state of a window has no
        reward; a reset's is 0, which is what the published code has for the first frame of an episode.

        Args:
            experience: `[B, T+1, …]`.

        Returns:
            The loss and its terms, `[B]`.
        """
        model, actions, step_types = self._model, experience.action, experience.step_type
        frames = images.quantize(experience.observation["pixels"])
        posterior = model.posterior(model.encoder(frames), actions, step_types)
        prior = model.prior(posterior, actions, step_types)
        latents = model.vector(posterior)
        kl = model.kl(posterior, prior, step_types)
        return planet.planet_loss(
            frames=frames,
            frame_means=model.decode(latents),
            rewards=experience.reward[:, :-1],
            reward_means=model.reward(latents, actions)[0],
            kl=tf.add_n(list(kl.values())),
            reward_scale=self._reward_scale,
        )

    def report(
        self, experience: trajectory_lib.Trajectory, context_frames: Optional[int] = None
    ) -> Dict[str, np.ndarray]:
        """Frames beside what the model makes of them; see `pictures.videos`.

        Args:
            experience: `[B, length, …]`, each sequence within one episode, of any length.
            context_frames: Frames that the conditional prior is given; where None 5, as in Hafner et al. (2019), or all
                of a shorter sequence.

        Returns:
            Videos `[B, length, 64, 64, 3] uint8` by name.
        """
        features = self._model.encoder(images.quantize(experience.observation["pixels"]))
        if context_frames is None:
            context_frames = min(_CONTEXT_FRAMES, experience.step_type.shape[1])
        return pictures.videos(self._model, features, experience, context_frames)
