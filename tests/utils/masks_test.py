import numpy as np
import pytest
import tensorflow as tf

from slac_tf.utils import masks

FIRST, MID, LAST = 0, 1, 2


def test_is_first():
    step_types = tf.constant([[MID, LAST, FIRST, MID]])
    np.testing.assert_array_equal(masks.is_first(step_types), [[False, False, True, False]])


def test_where_aligns_the_mask_with_the_leading_dimensions():
    a, b = tf.ones([2, 3, 4]), tf.zeros([2, 3, 4])
    # A row of the mask rules a [3, 4] slice, an entry of a two-dimensional mask a [4] slice.
    np.testing.assert_array_equal(tf.reduce_sum(masks.where(tf.constant([True, False]), a, b), [1, 2]), [12, 0])
    mask = tf.constant([[True, False, True], [False, False, True]])
    np.testing.assert_array_equal(tf.reduce_sum(masks.where(mask, a, b), 2), [[4, 0, 4], [0, 0, 4]])


# Features are 10, 20, 30, 40 and actions 1, 2, 3 (from frame to frame). All before the last FIRST goes.
@pytest.mark.parametrize(
    ("step_types", "features", "actions"),
    [
        ((MID, MID, MID, MID), (10, 20, 30, 40), (1, 2, 3)),
        ((FIRST, MID, MID, MID), (10, 20, 30, 40), (1, 2, 3)),
        ((MID, LAST, FIRST, MID), (30, 30, 30, 40), (0, 0, 3)),
        ((MID, MID, LAST, FIRST), (40, 40, 40, 40), (0, 0, 0)),
        ((FIRST, LAST, FIRST, MID), (30, 30, 30, 40), (0, 0, 3)),
        # A LAST at the end hides nothing: it belongs to the episode that is looked back on.
        ((FIRST, MID, MID, LAST), (10, 20, 30, 40), (1, 2, 3)),
    ],
)
def test_hide_before_first(step_types, features, actions):
    all_features = tf.constant([[[10.0], [20.0], [30.0], [40.0]]])
    all_actions = tf.constant([[[1.0], [2.0], [3.0]]])
    seen, taken = masks.hide_before_first(all_features, all_actions, tf.constant([step_types]))
    np.testing.assert_array_equal(seen[0, :, 0], features)
    np.testing.assert_array_equal(taken[0, :, 0], actions)


def test_hide_before_first_treats_each_row_by_itself():
    features = tf.constant([[[1.0], [2.0]], [[3.0], [4.0]]])
    actions = tf.constant([[[5.0]], [[6.0]]])
    step_types = tf.constant([[MID, MID], [LAST, FIRST]])
    seen, taken = masks.hide_before_first(features, actions, step_types)
    np.testing.assert_array_equal(seen[..., 0], [[1, 2], [4, 4]])
    np.testing.assert_array_equal(taken[..., 0], [[5], [0]])


def test_hide_before_first_of_a_history_of_one_frame():
    features = tf.constant([[[7.0]]])
    seen, taken = masks.hide_before_first(features, tf.zeros([1, 0, 2]), tf.constant([[FIRST]]))
    np.testing.assert_array_equal(seen, features)
    assert taken.shape == (1, 0, 2)


@pytest.mark.parametrize(
    ("step_types", "step", "expected"),
    [
        ((MID, MID, MID, MID, MID), 2, (0, 1, 2)),
        ((MID, MID, MID, MID, MID), 4, (2, 3, 4)),
        ((FIRST, MID, MID, MID, MID), 2, (0, 1, 2)),
        ((MID, LAST, FIRST, MID, MID), 3, (2, 2, 3)),
        ((MID, LAST, FIRST, MID, MID), 4, (2, 3, 4)),
        # The step is itself the first.
        ((MID, MID, MID, LAST, FIRST), 4, (4, 4, 4)),
        # What comes after the step is not known yet.
        ((MID, MID, MID, LAST, FIRST), 3, (1, 2, 3)),
        ((MID, MID, LAST, FIRST, MID), 2, (0, 1, 2)),
        # Two of them: the later one counts.
        ((FIRST, LAST, FIRST, LAST, FIRST), 3, (2, 2, 3)),
    ],
)
def test_history_steps(step_types, step, expected):
    steps = masks.history_steps(tf.constant([step_types]), tf.constant([step]), length=3)
    np.testing.assert_array_equal(steps, [expected])


def test_history_steps_of_each_row():
    step_types = tf.constant([[MID, MID, MID, MID], [MID, LAST, FIRST, MID], [FIRST, MID, LAST, FIRST]])
    steps = masks.history_steps(step_types, tf.constant([1, 3, 3]), length=2)
    np.testing.assert_array_equal(steps, [[0, 1], [2, 3], [3, 3]])
    np.testing.assert_array_equal(masks.history_steps(step_types, tf.constant([0, 2, 1]), 1), [[0], [2], [1]])


def test_history_steps_hide_what_hide_before_first_hides():
    length = 3
    step_types = np.random.RandomState(0).choice([FIRST, MID, LAST], (50, 6)).astype(np.int32)
    features = tf.tile(tf.range(6.0)[tf.newaxis, :, tf.newaxis], [50, 1, 1])
    for step in range(length - 1, 6):
        window = slice(step + 1 - length, step + 1)
        seen, _ = masks.hide_before_first(features[:, window], tf.zeros([50, 2, 1]), tf.constant(step_types[:, window]))
        steps = masks.history_steps(tf.constant(step_types), tf.fill([50], step), length)
        np.testing.assert_array_equal(steps, seen[..., 0])


def test_push():
    history = tf.constant([[[1, 10], [2, 20], [3, 30]]] * 2)
    new = tf.constant([[4, 40], [5, 50]])
    np.testing.assert_array_equal(
        masks.push(history, new, tf.constant([False, True])),
        [[[2, 20], [3, 30], [4, 40]], [[5, 50], [5, 50], [5, 50]]],
    )


def test_push_to_a_history_of_one():
    pushed = masks.push(tf.constant([[1], [2]]), tf.constant([3, 4]), tf.constant([False, True]))
    np.testing.assert_array_equal(pushed, [[3], [4]])
