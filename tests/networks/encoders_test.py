import numpy as np
import pytest
import tensorflow as tf

from slac_tf.networks import encoders

BUILDERS = {
    "slac": encoders.build_slac_encoder,
    "strided": encoders.build_strided_encoder,
    "control_suite": encoders.build_control_suite_encoder,
    "max_pool": encoders.build_max_pool_encoder,
}
STACKS = [name for name in BUILDERS if name != "slac"]


@pytest.fixture(scope="module")
def small():
    return {name: build(base_depth=1) for name, build in BUILDERS.items()}


# 64/2/2/2 = 8: 8*8*32; (64-3)/2+1 = 31, 31-2 = 29: 29*29*32; 64/2/2 = 16: 16*16*32.
@pytest.mark.parametrize(
    ("name", "size"), [("slac", 256), ("strided", 2048), ("control_suite", 26_912), ("max_pool", 8192)]
)
def test_number_of_features(name, size):
    encoder = BUILDERS[name]()
    assert encoder.feature_size == size
    assert encoder(tf.zeros([1, 64, 64, 3])).shape == (1, size)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("strided", [(4, 4, 3, 1), (4, 4, 1, 1), (4, 4, 1, 1)]),
        ("control_suite", [(3, 3, 3, 1), (3, 3, 1, 1)]),
        ("max_pool", [(3, 3, 3, 1), (3, 3, 1, 1)]),
    ],
)
def test_kernels(small, name, kernels):
    assert [tuple(v.shape) for v in small[name].trainable_variables if v.shape.rank == 4] == kernels


@pytest.mark.parametrize("name", BUILDERS)
def test_leading_dimensions_are_kept_in_order(small, name):
    encoder = small[name]
    frames = tf.random.uniform([2, 3, 64, 64, 3])
    features = encoder(frames)
    assert features.shape == (2, 3, encoder.feature_size)
    np.testing.assert_allclose(features[1, 2], encoder(frames[1, 2]), atol=1e-5)
    np.testing.assert_allclose(features[0], encoder(frames[0]), atol=1e-5)


@pytest.mark.parametrize("name", BUILDERS)
def test_an_unknown_batch_size_keeps_the_static_shape(small, name):
    encoder = small[name]
    function = tf.function(encoder, input_signature=[tf.TensorSpec([None, 2, 64, 64, 3])])
    assert function.get_concrete_function().output_shapes.as_list() == [None, 2, encoder.feature_size]


@pytest.mark.parametrize("name", STACKS)
def test_channels(small, name):
    encoder = BUILDERS[name](base_depth=1, channels=9)
    assert encoder.feature_size == small[name].feature_size
    for variable in encoder.trainable_variables:
        variable.assign(tf.fill(variable.shape, 1.0 if variable.shape.rank == 4 else 0.0))
    for channel in range(9):  # every one of them is looked at
        frames = tf.one_hot(tf.fill([1, 64, 64], channel), 9)
        assert np.all(encoder(frames) > 0)


# One channel of all-ones kernels on frames of one value; what is looked at is the middle of the last map.
@pytest.mark.parametrize(
    ("name", "value", "bias", "expected"),
    [
        ("strided", 1.0, 0.0, 48 * 16 * 16),
        ("control_suite", 1.0, 0.0, 27 * 9),
        ("max_pool", 1.0, 0.0, 27 * 9),
        # Below zero: ReLU gives 0, which the next layer's bias of -1 leaves there; ELU gives exp(x) - 1.
        ("strided", 0.0, -1.0, 0.0),
        ("max_pool", 0.0, -1.0, 0.0),
        ("control_suite", 0.0, -1.0, np.expm1(9 * np.expm1(-1.0) - 1)),
    ],
)
def test_by_hand(name, value, bias, expected):
    encoder = BUILDERS[name](base_depth=1)
    for variable in encoder.trainable_variables:
        variable.assign(tf.fill(variable.shape, 1.0 if variable.shape.rank == 4 else bias))
    features = encoder(tf.fill([1, 64, 64, 3], value))
    side = int(np.sqrt(encoder.feature_size))
    np.testing.assert_allclose(features.numpy().reshape(side, side)[side // 2, side // 2], expected, rtol=1e-5)


def test_max_pooling_takes_the_largest():
    encoder = encoders.build_max_pool_encoder(base_depth=1, channels=1)
    for variable in encoder.trainable_variables:
        kernel = np.zeros(variable.shape, np.float32)
        if kernel.ndim == 4:
            kernel[1, 1] = 1.0  # hands the frame on
        variable.assign(kernel)
    frame = np.random.RandomState(0).uniform(size=(64, 64)).astype(np.float32)
    features = encoder(tf.constant(frame[np.newaxis, :, :, np.newaxis]))
    np.testing.assert_allclose(features[0], frame.reshape(16, 4, 16, 4).max(axis=(1, 3)).ravel())


def test_frames_and_state_side_by_side():
    frames = encoders.build_slac_encoder(base_depth=1)
    joint = encoders.JointEncoder(frames, 3, (6,))
    observation = {"pixels": tf.random.uniform([2, 4, 64, 64, 3]), "state": tf.random.normal([2, 4, 3])}
    features = joint(observation)
    assert features.shape == (2, 4, joint.feature_size) and joint.feature_size == 2 * frames.feature_size
    np.testing.assert_array_equal(features[..., : frames.feature_size], frames(observation["pixels"]))
    # The state reaches its own half alone.
    other = joint({**observation, "state": -observation["state"]})
    moved = np.any(other != features, axis=(0, 1))
    assert not np.any(moved[: frames.feature_size]) and np.any(moved[frames.feature_size :])
    assert len(joint.trainable_variables) == len(frames.trainable_variables) + 4


def test_what_an_encoder_reads():
    frames = encoders.build_slac_encoder(base_depth=1)
    observation = {"pixels": 1, "state": 2, "other": 3}
    assert encoders.read(frames, observation) == 1
    assert encoders.read(encoders.JointEncoder(frames, 3, (6,)), observation) == {"pixels": 1, "state": 2}
