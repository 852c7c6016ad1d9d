"""Animated GIFs and MP4 files."""

import io
import pathlib
from typing import Tuple

import imageio.v2 as imageio
import numpy as np
import tensorflow as tf
from PIL import Image


def encode_gif(frames: np.ndarray, fps: float) -> bytes:
    """Encodes a clip, which then loops for ever.

    Args:
        frames: `[T, H, W, 3] uint8`.
        fps: Frames a second.

    Returns:
        The file's bytes.
    """
    pictures = [Image.fromarray(frame).quantize(64) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="gif",
        save_all=True,
        append_images=pictures[1:],
        duration=max(20, round(1000 / fps)),  # viewers slow down frames shorter than 20 ms
        loop=0,
    )
    return buffer.getvalue()


def write_gif(tag: str, gif: bytes, size: Tuple[int, int], step: int) -> None:
    """Writes a clip to the default summary writer, where TensorBoard's Images tab plays it.

    Args:
        tag: Name.
        gif: From `encode_gif`.
        size: H and W, in pixels.
        step: Position on the x axis.
    """
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images"))
    tf.summary.write(
        tag,
        tf.constant([str(size[1]).encode(), str(size[0]).encode(), gif]),
        step=step,
        metadata=metadata,
    )


def write_mp4(path: pathlib.Path, frames: np.ndarray, fps: float) -> None:
    """Writes a clip as H.264.

    Args:
        path: The file, replaced where it exists.
        frames: `[T, H, W, 3] uint8`, H and W multiples of 16.
        fps: Frames a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    imageio.mimwrite(path, list(frames), format="FFMPEG", fps=fps, codec="libx264", quality=8)
