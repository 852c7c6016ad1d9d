import io

import imageio.v2 as imageio
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from slac_tf.runs import films


@pytest.fixture
def clip():
    """Five frames `[5, 32, 48, 3]` of grey levels 0, 50, … 200, with a white left half."""
    frames = np.broadcast_to(50 * np.arange(5)[:, None, None, None], (5, 32, 48, 3)).astype(np.uint8)
    frames[:, :, :24] = 255
    return frames


def test_gif(clip):
    picture = Image.open(io.BytesIO(films.encode_gif(clip, fps=10)))
    assert picture.format == "GIF"
    assert picture.size == (48, 32)
    assert picture.n_frames == 5
    assert picture.info["loop"] == 0  # for ever
    for t in range(5):
        picture.seek(t)
        assert picture.info["duration"] == 100  # milliseconds
        np.testing.assert_allclose(np.asarray(picture.convert("RGB")), clip[t], atol=4)


def test_gif_frames_that_do_not_move_are_not_lost_in_time():
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    picture = Image.open(io.BytesIO(films.encode_gif(frames, fps=10)))
    # Equal frames may be stored as one that is shown for longer.
    total = 0
    for t in range(picture.n_frames):
        picture.seek(t)
        total += picture.info["duration"]
    assert total == 400


def test_gif_is_not_faster_than_viewers_allow(clip):
    picture = Image.open(io.BytesIO(films.encode_gif(clip, fps=200)))
    assert picture.info["duration"] == 20


def test_gif_summary(clip, tmp_path):
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        films.write_gif("clip", films.encode_gif(clip, fps=10), clip.shape[1:3], step=7)
    events = event_accumulator.EventAccumulator(str(tmp_path), size_guidance={"tensors": 0, "images": 0})
    events.Reload()
    assert events.Tags()["tensors"] == ["clip"]
    assert events.SummaryMetadata("clip").plugin_data.plugin_name == "images"
    (event,) = events.Tensors("clip")
    assert event.step == 7
    width, height, picture = event.tensor_proto.string_val
    assert (width, height) == (b"48", b"32")
    assert Image.open(io.BytesIO(picture)).n_frames == 5


def test_mp4(clip, tmp_path):
    path = tmp_path / "videos" / "clip.mp4"
    for _ in range(2):  # the second replaces the first
        films.write_mp4(path, clip, fps=10)
    with imageio.get_reader(path) as reader:
        assert reader.get_meta_data()["fps"] == 10
        frames = np.stack([frame for frame in reader])  # list() would ask for its infinite length
    assert frames.shape == clip.shape
    np.testing.assert_allclose(frames[:, 4:-4, 28:-4].mean((1, 2, 3)), [0, 50, 100, 150, 200], atol=8)
