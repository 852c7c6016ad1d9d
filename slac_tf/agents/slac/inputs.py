"""What an actor or a critic sees of a window, and how a policy comes by it."""

from typing import Protocol

import gin
import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types as tf_types

from slac_tf.agents.slac import window as window_lib
from slac_tf.latent_models import base
from slac_tf.networks import representations, tanh_gaussian_actor
from slac_tf.policies import history_policy, latent_policy


class Input(Protocol):
    """One vector for each step; made of a latent model and a `FeatureHistory`.

    Attributes:
        size: Of the vector.
        length: Steps of a window that it reads, up to the one it is of.
    """

    size: int
    length: int

    def at(self, step: int, window: window_lib.Window, inferred: window_lib.Inferred) -> tf.Tensor:
        """What is seen at one step of a window.

        Args:
            step: Index in the window, at least `length - 1`.
            window: `[B, T+1, …]`.
            inferred: `[B, T+1, …]`.

        Returns:
            `[B, size] float32`.
        """
        ...

    def policy(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        actor: tanh_gaussian_actor.TanhGaussianActor,
        *,
        greedy: bool,
        keep_features: bool,
    ) -> tf_policy.TFPolicy:
        """A policy whose actor sees this.

        Args:
            time_step_spec: Its observation holds `'pixels'`, `[64, 64, 3] uint8`.
            action_spec: `[A] float32` in [-1, 1].
            actor: Sees the vector.
            greedy: Whether to take the mode of the distribution instead of a sample.
            keep_features: Whether the state may hold features; only right while the weights stay.
        """
        ...


@gin.configurable
class HistoryInput:
    """The features of the last frames and the actions between them; SLAC's actor sees this."""

    def __init__(self, model: base.LatentModel, history: representations.FeatureHistory):
        """Constructor.

        Args:
            model: Not read.
            history: Lays out the vector.
        """
        del model
        self.size = history.size
        self.length = history.length
        self._history = history

    def at(self, step: int, window: window_lib.Window, inferred: window_lib.Inferred) -> tf.Tensor:
        """The history that a policy would have had at a step."""
        return self._history.at(step, inferred.features, window.actions, window.step_types)

    def policy(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        actor: tanh_gaussian_actor.TanhGaussianActor,
        *,
        greedy: bool,
        keep_features: bool,
    ) -> history_policy.HistoryPolicy:
        """A policy that keeps frames, or features where weights stay, and actions."""
        return history_policy.HistoryPolicy(
            time_step_spec, action_spec, self._history, actor, greedy=greedy, keep_features=keep_features
        )


@gin.configurable
class LatentInput:
    """The posterior's sample of the latent; SLAC's critics see this."""

    def __init__(self, model: base.LatentModel, history: representations.FeatureHistory):
        """Constructor.

        Args:
            model: Filters.
            history: Not read.
        """
        del history
        self.size = model.latent_size
        self.length = 1
        self._model = model

    def at(self, step: int, window: window_lib.Window, inferred: window_lib.Inferred) -> tf.Tensor:
        """The latent of a step, filtered from the window's first step on, or from the episode's."""
        del window
        return inferred.latents[:, step]

    def policy(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: tf_types.NestedTensorSpec,
        actor: tanh_gaussian_actor.TanhGaussianActor,
        *,
        greedy: bool,
        keep_features: bool,
    ) -> latent_policy.LatentPolicy:
        """A policy that keeps the posterior of the latent and the last action; no frame is seen twice."""
        del keep_features
        return latent_policy.LatentPolicy(time_step_spec, action_spec, self._model, actor, greedy=greedy)
