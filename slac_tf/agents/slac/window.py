"""What the losses read of a replayed window, and how its frames are shifted."""

from typing import Any, Mapping, NamedTuple, Tuple, Union

import tensorflow as tf

from slac_tf.latent_models import base
from slac_tf.utils import augmentation


class Window(NamedTuple):
    """A replayed window, on the device."""

    frames: tf.Tensor  # [B, T+1, 64, 64, 3] uint8
    actions: tf.Tensor  # [B, T+1, A] float32
    rewards: tf.Tensor  # [B, T+1] float32
    discounts: tf.Tensor  # [B, T+1] float32
    step_types: tf.Tensor  # [B, T+1] int32
    states: Union[tf.Tensor, Tuple[()]]  # [B, T+1, S] float32, or nothing where only frames are observed

    @property
    def observation(self) -> Mapping[str, Any]:
        """What a model's `encode` reads of."""
        return {"pixels": self.frames, "state": self.states}


class Inferred(NamedTuple):
    """What the latent model infers of a window."""

    features: tf.Tensor  # [B, T+1, F] float32
    latents: tf.Tensor  # [B, T+1, L] float32, samples of the posterior
    last_state: base.LatentState  # [B, D] for each layer, at the last step; empty where nothing is imagined


class Shifts(NamedTuple):
    """Random shifts of the replayed frames, in pixels; 0 is none.

    Attributes:
        model: Of what the model is trained on.
        critic: Of what is filtered for critics and actor. One shift serves both where the two are equal.
        each_frame: Whether each frame is shifted on its own instead of a sequence as one.
    """

    model: int
    critic: int
    each_frame: bool

    def of(self, window: Window, pixels: int) -> Window:
        """A window with its frames shifted by up to so many pixels.

        Args:
            window: `[B, T+1, …]`.
            pixels: `model` or `critic`.

        Returns:
            Same shapes.
        """
        if not pixels:
            return window
        return window._replace(frames=augmentation.random_shift(window.frames, pixels, each_frame=self.each_frame))
