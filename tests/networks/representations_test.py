import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID

from slac_tf.networks import conv, representations


@pytest.fixture(scope="module")
def history():
    return representations.FeatureHistory(conv.Encoder(base_depth=1), fakes.ACTION_SIZE, length=3)


def test_encode_scales_bytes(history):
    frames = tf.constant(np.full((2, 4, 64, 64, 3), 51, np.uint8))
    features = history.encode(frames)
    assert features.shape == (2, 4, history.feature_size)
    np.testing.assert_allclose(features, history._encoder(tf.fill([2, 4, 64, 64, 3], 0.2)), rtol=1e-5)


def window(step_types):
    """Features 10, 11, 12, ... in all entries of a step, actions 0.0, 0.1, 0.2, ..."""
    length = len(step_types)
    steps = tf.range(length, dtype=tf.float32)[None, :, None]
    return tf.tile(10 + steps, [1, 1, 8]), tf.tile(steps / 10, [1, 1, 2]), tf.constant([step_types])


def vector(features, actions):
    return np.concatenate([np.repeat(features, 8), np.repeat(actions, 2)])


@pytest.mark.parametrize(
    ("step", "step_types", "features", "actions"),
    [
        # Three frames up to the step and the two actions between them; never the step's own action.
        (2, (MID, MID, MID, MID), (10, 11, 12), (0.0, 0.1)),
        (3, (MID, MID, MID, MID), (11, 12, 13), (0.1, 0.2)),
        (3, (MID, LAST, FIRST, MID), (12, 12, 13), (0.0, 0.2)),
        # The episode begins after the step: nothing is hidden, and nothing of it is seen.
        (2, (MID, MID, LAST, FIRST), (10, 11, 12), (0.0, 0.1)),
        (3, (MID, MID, LAST, FIRST), (13, 13, 13), (0.0, 0.0)),
        # A FIRST before the history changes nothing.
        (3, (FIRST, MID, MID, MID), (11, 12, 13), (0.1, 0.2)),
    ],
)
def test_at(history, step, step_types, features, actions):
    result = history.at(step, *window(step_types))
    assert result.shape == (1, history.size)
    np.testing.assert_allclose(result[0], vector(features, actions), rtol=1e-6)


@pytest.mark.parametrize("step", [1, 4])
def test_a_history_that_the_window_does_not_hold_is_refused(history, step):
    with pytest.raises(ValueError, match=f"step: {step}, expected 2 to 3 for a history of 3 frames"):
        history.at(step, *window((MID,) * 4))
