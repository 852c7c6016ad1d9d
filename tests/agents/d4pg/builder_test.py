import numpy as np
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


def test_support():
    support = from_state(num_atoms=5, min_value=-1, max_value=3).agent._networks.critic.support
    np.testing.assert_allclose(support, [-1, 0, 1, 2, 3])


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
