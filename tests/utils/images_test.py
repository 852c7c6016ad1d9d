import numpy as np
import pytest
import tensorflow as tf

from slac_tf.utils import images


def test_every_byte_survives_the_way_to_float_and_back():
    frames = tf.constant(np.arange(256, dtype=np.uint8))
    floats = images.to_float(frames)
    assert floats.dtype == tf.float32
    np.testing.assert_allclose(floats, np.arange(256) / 255.0, rtol=1e-6)
    assert float(floats[0]) == 0.0
    assert float(floats[255]) == pytest.approx(1.0)
    np.testing.assert_array_equal(images.to_uint8(floats), frames)


def test_to_uint8_rounds_and_clips():
    # 0.5 * 255 = 127.5 rounds to even, 128.
    np.testing.assert_array_equal(images.to_uint8(tf.constant([-0.3, 0.5, 1.7, 20.4 / 255])), [0, 128, 255, 20])


def test_clip_grid_has_a_row_per_clip_and_a_column_per_batch_entry():
    def clip(base):  # [B=3, T=2, H=2, W=1, 3], every frame filled with base + 10 b + t
        values = base + 10 * np.arange(3)[:, None] + np.arange(2)
        return np.broadcast_to(values[:, :, None, None, None], (3, 2, 2, 1, 3)).astype(np.uint8)

    grid = images.clip_grid([clip(0), clip(100)])
    assert grid.shape == (2, 4, 3, 3)
    assert grid.dtype == np.uint8
    for t in range(2):
        expected = [[t, 10 + t, 20 + t]] * 2 + [[100 + t, 110 + t, 120 + t]] * 2
        np.testing.assert_array_equal(grid[t, :, :, 0], expected)


def test_clip_grid_keeps_the_order_of_pixels_inside_a_frame():
    frame = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(1, 1, 2, 3, 3)
    np.testing.assert_array_equal(images.clip_grid([frame])[0], frame[0, 0])


@pytest.mark.parametrize("shapes", [[], [(1, 2, 4, 4, 3), (1, 3, 4, 4, 3)]])
def test_clip_grid_refuses_clips_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match=r"clips: shapes .* expected one shape \[B, T, H, W, 3\]"):
        images.clip_grid([np.zeros(shape, np.uint8) for shape in shapes])


@pytest.mark.parametrize("byte, low", [(0, 0), (7, 0), (8, 1), (15, 1), (16, 2), (255, 31)])
def test_quantize_keeps_the_upper_five_bits_under_noise(byte, low):
    drawn = images.quantize(tf.fill([1000], tf.constant(byte, tf.uint8))).numpy()
    assert drawn.min() >= low / 32
    assert drawn.max() < (low + 1) / 32
    assert len(np.unique(drawn)) > 900
    # Standard error of the mean of 1,000: 1 / 32 / √12 / √1000 = 0.0003.
    assert np.mean(drawn) == pytest.approx((byte // 8 + 0.5) / 32, abs=0.0012)


def test_quantize_draws_anew_at_each_call():
    frames = tf.zeros([100], tf.uint8)
    in_graph = tf.function(images.quantize)
    for call in (images.quantize, in_graph):
        assert np.any(call(frames).numpy() != call(frames).numpy())
