"""Random shifts of frames (Kostrikov, Yarats, Fergus 2020: DrQ)."""

from typing import List

import tensorflow as tf


def random_shift(sequences: tf.Tensor, pixels: int, *, each_frame: bool) -> tf.Tensor:
    """Shifts frames by up to so many pixels up, down, left and right, uniformly; edge pixels fill the gaps.

    The same as padding frames by `pixels` with their edge pixels and cropping them at a random place.

    Args:
        sequences: `[B, T, H, W, C]` of any dtype.
        pixels: The longest shift, at least 1 and less than H and W.
        each_frame: Whether each frame is shifted on its own instead of a sequence as one.

    Returns:
        Same shape and dtype.
    """
    height, width, channels = sequences.shape[2:]
    batch, length = tf.unstack(tf.shape(sequences)[:2])
    number = batch * length if each_frame else batch
    corners = tf.random.uniform([number, 2], maxval=2 * pixels + 1, dtype=tf.int32)
    corners = corners if each_frame else tf.repeat(corners, length, axis=0)  # [B * T, 2]
    frames = tf.reshape(sequences, [-1, height, width, channels])  # [B, T, H, W, C] -> [B * T, H, W, C]
    shifted = tf.reshape(crop_padded(frames, corners, pixels), tf.shape(sequences))
    return tf.ensure_shape(shifted, sequences.shape)


def crop_padded(frames: tf.Tensor, corners: tf.Tensor, pixels: int) -> tf.Tensor:
    """Pads frames by `pixels` on each side with their edge pixels, and crops them to their size.

    Args:
        frames: `[N, H, W, C]` of any dtype.
        corners: Row and column of each crop's corner in the padded frame, 0 to `2 * pixels`, `[N, 2] int32`.
        pixels: Width of the padding, at least 1 and less than H and W.

    Returns:
        Same shape and dtype as `frames`.
    """
    height, width, channels = frames.shape[1:]
    number = tf.shape(frames)[0]
    steps = tf.range(height) + corners[:, :1] - pixels
    rows = tf.range(number)[:, tf.newaxis] * height + tf.clip_by_value(steps, 0, height - 1)  # [N, H]
    # On a CPU copying rows is fast and copying single pixels slow. So frames of one column, of which there are few,
    # are moved together.
    all_rows = tf.reshape(frames, [-1, width * channels])  # [N, H, W, C] -> [N * H, W * C]
    places = tf.dynamic_partition(tf.range(number), corners[:, 1], 2 * pixels + 1)
    moved: List[tf.Tensor] = []
    for column, place in enumerate(places):
        taken = tf.gather(all_rows, tf.gather(rows, place))  # [n, H, W * C]
        moved.append(_move_left(taken, column - pixels, channels))
    return tf.reshape(tf.dynamic_stitch(places, moved), tf.shape(frames))  # [N, H, W * C] -> [N, H, W, C]


def _move_left(rows: tf.Tensor, by: int, channels: int) -> tf.Tensor:
    """Moves pixels of `[n, H, W * C]` to the left, or to the right where `by` is negative."""
    size = by * channels
    if by > 0:
        return tf.concat([rows[..., size:], tf.tile(rows[..., -channels:], [1, 1, by])], axis=-1)
    if by < 0:
        return tf.concat([tf.tile(rows[..., :channels], [1, 1, -by]), rows[..., :size]], axis=-1)
    return rows
