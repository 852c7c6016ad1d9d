"""Conversions between frames as stored (uint8) and as computed with (float32), and clips in a grid."""

from typing import Sequence

import numpy as np
import tensorflow as tf

from slac_tf.utils import seeds


def to_float(frames: tf.Tensor) -> tf.Tensor:
    """Scales frames to [0, 1].

    Args:
        frames: `[…] uint8`, or `[…] float32` in [0, 1] already.

    Returns:
        `[…] float32`, 0 to 1.
    """
    if frames.dtype == tf.float32:
        return frames
    return tf.cast(frames, tf.float32) * (1.0 / 255.0)


def to_uint8(frames: tf.Tensor) -> tf.Tensor:
    """Rounds frames to bytes, clipping what lies outside [0, 1].

    Args:
        frames: `[…] float32`.

    Returns:
        `[…] uint8`.
    """
    return tf.saturate_cast(tf.round(frames * 255.0), tf.uint8)


def quantize(frames: tf.Tensor) -> tf.Tensor:
    """Frames of five bits with uniform noise below the last one, drawn anew at each call (Hafner et al. 2019, App. A).

    Args:
        frames: `[…] uint8`.

    Returns:
        `[…] float32` in [0, 1): a byte's upper bits, then noise.
    """
    levels = 32.0
    kept = tf.floor(tf.cast(frames, tf.float32) / (256.0 / levels))
    noise = tf.random.uniform(tf.shape(frames), seed=seeds.of_draw())
    return (kept + noise) / levels


def clip_grid(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Puts clips into one: a row for each element of `clips`, a column for each batch entry.

    Args:
        clips: Arrays `[B, T, H, W, 3] uint8` of one shape.

    Returns:
        `[T, len(clips) * H, B * W, 3] uint8`.

    Raises:
        ValueError: If `clips` is empty or the shapes differ.
    """
    shapes = {clip.shape for clip in clips}
    if len(shapes) != 1:
        raise ValueError(f"clips: shapes {sorted(shapes)}, expected one shape [B, T, H, W, 3] for all")
    grid = np.stack(clips)  # [R, B, T, H, W, 3]
    rows, batch, time, height, width, channels = grid.shape
    grid = grid.transpose(2, 0, 3, 1, 4, 5)  # [T, R, H, B, W, 3]
    return grid.reshape(time, rows * height, batch * width, channels)
