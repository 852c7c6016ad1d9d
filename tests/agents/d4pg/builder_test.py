import functools

import fakes
import numpy as np
import pytest
import tensorflow as tf
from fakes import FIRST, MID

from slac_tf import types
from slac_tf.agents.d4pg import builder
from slac_tf.networks import encoders, representations

STATE_SIZE = 3

StackedFrames = functools.partial(
    representations.StackedFrames,
    encoder=functools.partial(encoders.build_control_suite_encoder, base_depth=1),
    length=2,
)


def build(observation=None, **kwargs):
    """From pixels, or from another observation spec."""
    tf.keras.utils.set_random_seed(0)
    time_step_spec, action_spec = fakes.specs()
    if observation is not None:
        time_step_spec = time_step_spec._replace(observation=observation)
    settings = dict(
        representation=StackedFrames,
        batch_size=4,
        pixel_layer_size=5,
        actor_hidden_sizes=(8,),
        critic_hidden_sizes=(8,),
        num_steps=3,
    )
    counter = tf.Variable(0, dtype=tf.int64, trainable=False)
    return builder.build_d4pg(time_step_spec, action_spec, counter, **{**settings, **kwargs})


def from_state(**kwargs):
    return build({"state": tf.TensorSpec([STATE_SIZE], tf.float32)}, **kwargs)


@pytest.fixture(scope="module")
def built():
    return build()


def time_step(built, step_types):
    """A batch of time steps, all observations one."""
    spec = built.agent.time_step_spec
    step = tf.nest.map_structure(lambda s: tf.ones([len(step_types), *s.shape], s.dtype), spec)
    return step._replace(step_type=tf.constant(step_types, tf.int32))


def test_what_the_training_loop_reads(built):
    # Two frames and three transitions: five steps, the second of which is trained on.
    assert built.sequence_length == 4
    assert built.agent.train_sequence_length == 5
    assert built.trained_step == 1
    assert built.batch_size == 4
    assert sorted(built.policies) == ["greedy", "stochastic"]
    assert built.agent.policy is built.policies["greedy"]
    assert built.agent.collect_policy is built.policies["stochastic"]
    assert built.agent.collect_data_spec.observation["pixels"].shape == (64, 64, 3)
    assert built.agent.collect_data_spec.policy_info == ()
    assert (built.pretraining, built.report, built.representation) == (None, None, None)


def test_prioritization_is_asked_for(built):
    assert built.prioritization is None
    assert from_state(priority_exponent=0.6).prioritization == types.Prioritization(0.6, 0.4)
    other = from_state(priority_exponent=0.0, importance_exponent=1.0)  # all alike, but asked for
    assert other.prioritization == types.Prioritization(0.0, 1.0)


def test_from_state(built):
    other = from_state()
    assert (other.sequence_length, other.trained_step, other.agent.train_sequence_length) == (3, 0, 4)
    assert other.policies["greedy"].policy_state_spec == ()
    assert sorted(other.policies["stochastic"].policy_state_spec) == ["scale"]  # no history
    assert other.agent.collect_data_spec.observation["state"].shape == (STATE_SIZE,)
    action = other.policies["greedy"].action(time_step(other, [FIRST, MID])).action
    assert action.shape == (2, fakes.ACTION_SIZE)
    # No encoder, and no layer of its own before the hidden ones: kernels state -> 8 -> actions.
    kernels = [v.shape for v in other.agent._networks.actor.variables if v.shape.rank == 2]
    assert sorted(map(tuple, kernels)) == [(STATE_SIZE, 8), (8, fakes.ACTION_SIZE)]
    features = built.agent._networks.representation.size
    kernels = [v.shape for v in built.agent._networks.actor.variables if v.shape.rank == 2]
    assert sorted(map(tuple, kernels)) == [(5, 8), (8, fakes.ACTION_SIZE), (features, 5)]


def test_pixels_come_before_the_state_where_both_are_observed():
    both = {"pixels": tf.TensorSpec([64, 64, 3], tf.uint8), "state": tf.TensorSpec([STATE_SIZE], tf.float32)}
    assert build(both).agent._networks.representation.observation == "pixels"


def test_support():
    support = from_state(num_atoms=5, min_value=-1, max_value=3).agent._networks.critic.support
    np.testing.assert_allclose(support, [-1, 0, 1, 2, 3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, r"build_d4pg\.num_steps: 0, expected an integer of at least 1"),
        ({"target_update_period": 1.5}, r"build_d4pg\.target_update_period: 1\.5, expected an integer"),
        ({"num_atoms": 1}, r"build_d4pg\.num_atoms: 1, expected at least 2"),
        ({"min_value": 400.0}, r"build_d4pg\.max_value: 400.0, expected more than min_value 400.0"),
        ({"min_value": 2.0, "max_value": 1.0}, r"build_d4pg\.max_value: 1.0, expected more than min_value 2.0"),
        ({"exploration_scales": ()}, r"build_d4pg\.exploration_scales: \(\), expected at least one"),
        ({"observation": {}}, r"observation holds \[\], expected 'pixels' or 'state'"),
        ({"observation": {"sound": tf.TensorSpec([2], tf.float32)}}, r"observation holds \['sound'\]"),
        ({"observation": {"pixels": tf.TensorSpec([84, 84, 3], tf.uint8)}}, r"\[84, 84, 3\], expected \[64, 64, 3\]"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_greedy_has_no_noise(built):
    policy = built.policies["greedy"]
    state = policy.get_initial_state(3)
    assert sorted(state) == ["history"]
    first = policy.action(time_step(built, [FIRST] * 3), state)
    again = policy.action(time_step(built, [MID] * 3), first.state)
    np.testing.assert_array_equal(first.action, again.action)  # the same frames
    np.testing.assert_array_equal(first.action, tf.repeat(first.action[:1], 3, axis=0))


def test_stochastic_is_greedy_with_noise_of_the_scale():
    built = from_state(exploration_scales=(0.1,))
    steps = time_step(built, [FIRST] * 5000)
    stochastic = built.policies["stochastic"]
    noisy = stochastic.action(steps, stochastic.get_initial_state(5000))
    noise = noisy.action - built.policies["greedy"].action(steps).action
    # The deviation of 10,000 normal numbers is within 4 % of its own, their mean within 0.005: five deviations.
    np.testing.assert_allclose(np.std(noise), 0.1, rtol=0.04)
    np.testing.assert_allclose(np.mean(noise), 0.0, atol=0.005)
    assert abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 0.08
    # Each step has noise of its own.
    later = stochastic.action(time_step(built, [MID] * 5000), noisy.state)
    assert abs(np.corrcoef(noisy.action[:, 0], later.action[:, 0])[0, 1]) < 0.08


def test_an_episode_keeps_its_scale_until_the_next_first_step():
    scales = np.float32([0.1, 0.5, 2.0])
    built = from_state(exploration_scales=tuple(scales.tolist()))
    policy, size = built.policies["stochastic"], 600

    def act(step_types, state):
        return policy.action(time_step(built, step_types), state).state

    state = act([FIRST] * size, policy.get_initial_state(size))
    drawn = state["scale"].numpy()
    # 200 each, with a deviation of 11.5.
    assert set(drawn) == set(scales)
    assert all(abs(np.sum(drawn == scale) - 200) < 60 for scale in scales)
    for _ in range(3):
        state = act([MID] * size, state)
        np.testing.assert_array_equal(state["scale"], drawn)
    # Half of the environments begin anew: theirs are drawn again, the others' are not.
    half = size // 2
    state = act([FIRST] * half + [MID] * half, state)
    np.testing.assert_array_equal(state["scale"][half:], drawn[half:])
    redrawn = state["scale"][:half].numpy()
    assert set(redrawn) == set(scales)
    assert 0.5 < np.mean(redrawn != drawn[:half]) < 0.83  # two in three


def test_noise_has_the_scale_of_the_episode():
    built = from_state(exploration_scales=(0.02, 0.2))
    policy, size = built.policies["stochastic"], 4000
    step = policy.action(time_step(built, [FIRST] * size), policy.get_initial_state(size))
    scale = step.state["scale"].numpy()
    noise = (step.action - built.policies["greedy"].action(time_step(built, [FIRST] * size)).action).numpy()
    for value in np.unique(scale):
        np.testing.assert_allclose(np.std(noise[scale == value]), value, rtol=0.08)


def test_actions_are_within_their_bounds():
    built = from_state(exploration_scales=(5.0,))
    policy = built.policies["stochastic"]
    actions = policy.action(time_step(built, [FIRST] * 500), policy.get_initial_state(500)).action.numpy()
    assert np.max(actions) == 1 and np.min(actions) == -1


def test_pixels_keep_history_and_scale():
    built = build(exploration_scales=(0.1, 0.3))
    policy = built.policies["stochastic"]
    assert sorted(policy.policy_state_spec) == ["history", "scale"]
    assert policy.policy_state_spec["history"].shape == (2, 64, 64, 3)
    step = policy.action(time_step(built, [FIRST]), policy.get_initial_state(1))
    assert float(step.state["scale"][0]) in (pytest.approx(0.1), pytest.approx(0.3))
    np.testing.assert_array_equal(step.state["history"], 1)  # the first frame, repeated
