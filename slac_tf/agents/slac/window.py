"""What the losses read of a replayed window."""

from typing import NamedTuple

import tensorflow as tf


class Window(NamedTuple):
    """A replayed window, on the device."""

    frames: tf.Tensor  # [B, T+1, 64, 64, 3] uint8
    actions: tf.Tensor  # [B, T+1, A] float32
    rewards: tf.Tensor  # [B, T+1] float32
    discounts: tf.Tensor  # [B, T+1] float32
    step_types: tf.Tensor  # [B, T+1] int32


class Inferred(NamedTuple):
    """What the latent model infers of a window."""

    features: tf.Tensor  # [B, T+1, F] float32
    latents: tf.Tensor  # [B, T+1, L] float32, samples of the posterior
