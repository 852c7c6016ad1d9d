import numpy as np
import pytest
import tensorflow as tf

from slac_tf.utils import augmentation

PIXELS = 2
CORNERS = 2 * PIXELS + 1


def frames(*shape, dtype=np.uint8, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(dtype)


def crops(frame):
    """All crops `[CORNERS, CORNERS, H, W, C]` of one frame, padded with its edges."""
    height, width, _ = frame.shape
    padded = np.pad(frame, [(PIXELS, PIXELS), (PIXELS, PIXELS), (0, 0)], mode="edge")
    return np.array(
        [[padded[row : row + height, column : column + width] for column in range(CORNERS)] for row in range(CORNERS)]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_crop_by_hand(dtype):
    corners = np.array([[row, column] for row in range(CORNERS) for column in range(CORNERS)], np.int32)
    corners = np.random.RandomState(1).permutation(corners)
    given = frames(len(corners), 6, 7, 3, dtype=dtype)
    found = augmentation.crop_padded(tf.constant(given), tf.constant(corners), PIXELS)
    assert found.dtype == dtype and found.shape == given.shape
    expected = np.array([crops(frame)[row, column] for frame, (row, column) in zip(given, corners)])
    np.testing.assert_array_equal(found, expected)
    # The middle is the frame itself, and rows are not columns.
    middle = np.all(corners == PIXELS, axis=1)
    np.testing.assert_array_equal(found[middle], given[middle])
    assert np.any(expected != np.array([crops(frame)[column, row] for frame, (row, column) in zip(given, corners)]))


def found_corners(sequences, shifted):
    """Row and column of each crop, `[B, T, 2]`; fails where a frame is none of its crops."""
    found = np.empty((*sequences.shape[:2], 2), np.int32)
    for b, t in np.ndindex(*sequences.shape[:2]):
        matches = np.argwhere(np.all(crops(sequences[b, t]) == shifted[b, t], axis=(2, 3, 4)))
        (found[b, t],) = matches
    return found


@pytest.mark.parametrize("each_frame", [False, True])
def test_shifts_are_uniform_and_of_a_sequence_or_of_a_frame(each_frame):
    tf.random.set_seed(0)
    sequences = frames(100, 3, 5, 6, 1)
    shift = tf.function(lambda x: augmentation.random_shift(x, PIXELS, each_frame=each_frame))
    corners = found_corners(sequences, shift(tf.constant(sequences)).numpy())
    assert bool(np.all(corners == corners[:, :1])) != each_frame
    # Each row and each column about as often as any other: with p = 1/5 of 100 or 300, four standard deviations.
    number = 300 if each_frame else 100
    drawn = corners.reshape(-1, 2) if each_frame else corners[:, 0]
    for values in drawn.T:
        counts = np.bincount(values, minlength=CORNERS)
        assert len(counts) == CORNERS
        np.testing.assert_allclose(counts, number / 5, atol=4 * np.sqrt(number * 0.2 * 0.8))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(number)  # rows and columns are drawn apart
    again = found_corners(sequences, shift(tf.constant(sequences)).numpy())
    assert np.any(again != corners)  # and anew at each call


def test_shapes_are_kept_in_a_function_that_does_not_know_the_batch():
    @tf.function(input_signature=[tf.TensorSpec([None, 3, 6, 5, 3], tf.uint8)])
    def shift(sequences):
        shifted = augmentation.random_shift(sequences, PIXELS, each_frame=False)
        assert shifted.shape.as_list() == [None, 3, 6, 5, 3]
        return shifted

    for batch_size in (2, 0):
        assert shift(tf.zeros([batch_size, 3, 6, 5, 3], tf.uint8)).shape == (batch_size, 3, 6, 5, 3)
