import numpy as np
import pytest
import small_agents
import tensorflow as tf
from fakes import FIRST, MID

from slac_tf import types


def from_state(**kwargs):
    return small_agents.build("d4pg state", **kwargs)


def time_step(built, step_types):
    """A batch of time steps, all observations one."""
    spec = built.agent.time_step_spec
    step = tf.nest.map_structure(lambda s: tf.ones([len(step_types), *s.shape], s.dtype), spec)
    return step._replace(step_type=tf.constant(step_types, tf.int32))


def test_prioritization_is_asked_for():
    assert from_state(priority_exponent=0.6).prioritization == types.Prioritization(0.6, 0.4)
    other = from_state(priority_exponent=0.0, importance_exponent=1.0)  # all alike, but asked for
    assert other.prioritization == types.Prioritization(0.0, 1.0)


def test_from_state():
    built = from_state()
    assert built.policies["greedy"].policy_state_spec == ()
    assert sorted(built.policies["stochastic"].policy_state_spec) == ["scale"]  # no history


def test_support():
    support = from_state(num_atoms=5, min_value=-1, max_value=3).agent._networks.critic.support
    np.testing.assert_allclose(support, [-1, 0, 1, 2, 3])


def test_greedy_has_no_noise():
    built = small_agents.build("d4pg pixels")
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
    built = small_agents.build("d4pg pixels", exploration_scales=(0.1, 0.3))
    policy = built.policies["stochastic"]
    assert sorted(policy.policy_state_spec) == ["history", "scale"]
    assert policy.policy_state_spec["history"].shape == (2, 64, 64, 3)
    step = policy.action(time_step(built, [FIRST]), policy.get_initial_state(1))
    assert float(step.state["scale"][0]) in (pytest.approx(0.1), pytest.approx(0.3))
    np.testing.assert_array_equal(step.state["history"], 1)  # the first frame, repeated
