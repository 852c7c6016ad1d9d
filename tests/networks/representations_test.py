import functools

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, LAST, MID
from tf_agents.trajectories import time_step as ts

from slac_tf.networks import conv, encoders, representations
from slac_tf.policies import representation_policy


@pytest.fixture(scope="module")
def history():
    return representations.FeatureHistory(conv.Encoder(base_depth=1), fakes.ACTION_SIZE, length=3)


def test_encode_scales_bytes(history):
    frames = tf.constant(np.full((2, 4, 64, 64, 3), 51, np.uint8))
    features = history.encode(frames)
    assert features.shape == (2, 4, history.feature_size)
    np.testing.assert_allclose(features, history._encoder(tf.fill([2, 4, 64, 64, 3], 0.2)), rtol=1e-5, atol=1e-6)


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


# What is seen of the last observations without actions.

small_slac_encoder = functools.partial(encoders.build_slac_encoder, base_depth=1)
small_stack_encoder = functools.partial(encoders.build_control_suite_encoder, base_depth=1)


@pytest.fixture(scope="module")
def frame_features():
    return representations.FrameFeatures(small_slac_encoder, length=3)


@pytest.fixture(scope="module")
def stacked_frames():
    return representations.StackedFrames(small_stack_encoder, length=3)


def frames(*shape):
    return tf.constant(np.random.RandomState(0).randint(0, 256, (*shape, 64, 64, 3)).astype(np.uint8))


def test_state_is_taken_as_it_is():
    state = representations.State(tf.TensorSpec([3], tf.float32))
    assert (state.observation, state.length, state.size) == ("state", 1, 3)
    assert not state.variables and not state.trainable_variables
    np.testing.assert_array_equal(state(tf.constant([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]])), [[1, 2, 3], [4, 5, 6]])


def test_frame_features_stand_side_by_side_oldest_first(frame_features):
    assert (frame_features.observation, frame_features.length, frame_features.size) == ("pixels", 3, 3 * 8)
    seen = frames(2, 3)
    features = frame_features(seen)
    assert features.shape == (2, 24)
    expected = [frame_features._encoder(tf.cast(seen[:, i], tf.float32) / 255) for i in range(3)]
    np.testing.assert_allclose(features, np.concatenate(expected, axis=-1), atol=1e-5)
    assert np.any(np.abs(expected[0] - expected[2]) > 1e-3)  # the order is there to be seen


def test_stacked_frames_are_channels_oldest_first(stacked_frames, monkeypatch):
    assert (stacked_frames.observation, stacked_frames.length, stacked_frames.size) == ("pixels", 3, 29 * 29)
    seen = frames(2, 3)
    assert stacked_frames(seen).shape == (2, 29 * 29)
    images = []
    monkeypatch.setattr(stacked_frames, "_encoder", lambda x: images.append(x.numpy()))
    stacked_frames(seen)
    assert images[0].shape == (2, 64, 64, 9)
    for i in range(3):
        np.testing.assert_array_equal(images[0][..., 3 * i : 3 * i + 3], seen[:, i])


def test_the_order_of_stacked_frames_matters(stacked_frames):
    seen = frames(1, 3)
    assert np.any(np.abs(stacked_frames(seen) - stacked_frames(seen[:, ::-1])) > 1e-3)


@pytest.mark.parametrize("name", ["frame_features", "stacked_frames"])
def test_variables_are_the_encoders(name, request):
    representation = request.getfixturevalue(name)
    found = {v.ref() for v in representation.trainable_variables}
    assert found == {v.ref() for v in representation._encoder.trainable_variables}
    assert found


@pytest.mark.parametrize("name", ["frame_features", "stacked_frames"])
def test_an_unknown_batch_size_keeps_the_size(name, request):
    representation = request.getfixturevalue(name)
    signature = [tf.TensorSpec([None, 3, 64, 64, 3], tf.uint8)]
    function = tf.function(lambda x: representation(x), input_signature=signature)
    assert function.get_concrete_function().output_shapes[-1] == representation.size


@pytest.mark.parametrize("kind", ["FrameFeatures", "StackedFrames"])
@pytest.mark.parametrize("length", [0, -1, 2.0, "3"])
def test_bad_length(kind, length):
    with pytest.raises(ValueError, match=rf"{kind}.length: {length!r}, expected an integer of at least 1"):
        getattr(representations, kind)(length=length)


def test_represent():
    state, pixels = tf.TensorSpec([3], tf.float32), tf.TensorSpec([64, 64, 3], tf.uint8)
    assert representations.represent({"pixels": pixels}, lambda: "of pixels") == "of pixels"
    assert representations.represent({"pixels": pixels, "state": state}, lambda: "of pixels") == "of pixels"
    of_state = representations.represent({"state": state}, lambda: pytest.fail("there are no pixels"))
    assert isinstance(of_state, representations.State) and of_state.size == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"pixels": tf.TensorSpec([84, 84, 3], tf.uint8)}, r"frames of shape \[84, 84, 3\], expected \[64, 64, 3\]"),
        ({"touch": tf.TensorSpec([2])}, r"observation holds \['touch'\], expected 'pixels' or 'state'"),
        ({}, r"observation holds \[\], expected 'pixels' or 'state'"),
    ],
)
def test_represent_refuses(spec, message):
    with pytest.raises(ValueError, match=message):
        representations.represent(spec, representations.FrameFeatures)


# Two rows of two and three episodes; a window may hold a boundary anywhere.
STREAM = np.int32(
    [
        [FIRST, MID, MID, MID, LAST, FIRST, MID, MID],
        [FIRST, MID, LAST, FIRST, LAST, FIRST, MID, MID],
    ]
)
WINDOW = 5


def seen_by_the_policy(representation, observations, spec):
    """What the policy's `act` is given at each step of the stream, `[B, N, size]`."""
    seen = []

    def act(x):
        seen.append(x.numpy())
        return tf.zeros([2, fakes.ACTION_SIZE])

    time_step_spec = fakes.specs()[0]._replace(observation={representation.observation: spec})
    policy = representation_policy.RepresentationPolicy(time_step_spec, fakes.specs()[1], representation, act, ())
    state = policy.get_initial_state(2)
    for t in range(STREAM.shape[1]):
        observation = {representation.observation: observations[:, t]}
        step = ts.TimeStep(tf.constant(STREAM[:, t]), tf.zeros([2]), tf.ones([2]), observation)
        state = policy.action(step, state).state
    return np.stack(seen, axis=1)


@pytest.mark.parametrize("name", ["frame_features", "stacked_frames", "state"])
def test_at_a_step_is_seen_what_the_policy_saw_then(name, request):
    if name == "state":
        spec = tf.TensorSpec([4], tf.float32)
        representation, observations = representations.State(spec), tf.random.normal([2, STREAM.shape[1], 4])
    else:
        spec = tf.TensorSpec([64, 64, 3], tf.uint8)
        representation, observations = request.getfixturevalue(name), frames(*STREAM.shape)
    expected = seen_by_the_policy(representation, observations, spec)
    assert np.all(np.std(expected, axis=1).max(axis=-1) > 1e-3)  # steps differ
    for begin in range(STREAM.shape[1] - WINDOW + 1):
        window = slice(begin, begin + WINDOW)
        observed = {representation.observation: observations[:, window]}
        step_types = tf.constant(STREAM[:, window])
        for step in range(representation.length - 1, WINDOW):
            seen = representations.at(representation, observed, step_types, tf.fill([2], step))
            np.testing.assert_allclose(seen, expected[:, begin + step], atol=1e-5)


def test_at_a_step_of_each_row_its_own(frame_features):
    seen, step_types = frames(2, WINDOW), tf.constant(STREAM[:, :WINDOW])
    together = representations.at(frame_features, {"pixels": seen}, step_types, tf.constant([2, 4]))
    for row, step in enumerate((2, 4)):
        rows = slice(row, row + 1)
        alone = representations.at(frame_features, {"pixels": seen[rows]}, step_types[rows], tf.constant([step]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)
