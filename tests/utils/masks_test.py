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
