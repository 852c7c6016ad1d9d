import threading

import fakes
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.policies import py_tf_eager_policy, tf_policy
from tf_agents.trajectories import policy_step

from slac_tf.rollouts import batched_driver, rollout_driver

LENGTHS = (3, 5)
NUM_STEPS = 13


class Remembering(tf_policy.TFPolicy):
    """Its action is the sum of all frames' first bytes since the episode began, over 1000."""

    def __init__(self):
        super().__init__(*fakes.specs(), policy_state_spec=tf.TensorSpec([], tf.float32))

    def _variables(self):
        return []

    def _action(self, time_step, policy_state, seed):
        seen = tf.cast(time_step.observation["pixels"][:, 0, 0, 0], tf.float32)
        state = policy_state + seen
        action = tf.tile(state[:, tf.newaxis] / 1000, [1, fakes.ACTION_SIZE])  # [N, A]
        return policy_step.PolicyStep(action, state, ())

    def _distribution(self, time_step, policy_state):
        raise NotImplementedError


@pytest.fixture(scope="module")
def policy():
    return Remembering()


def collected(steps):
    return [(int(step.step_type), fakes.counts(step.observation["pixels"]).item()) for step in steps]


def run_batched(policy, mix_up=False):
    environments = [fakes.CountingEnvironment(length) for length in LENGTHS]
    steps = [[] for _ in environments]
    driver = batched_driver.BatchedDriver(environments, [[taken.append] for taken in steps])
    wrapped = py_tf_eager_policy.PyTFEagerPolicy(policy, use_tf_function=True, batch_time_steps=False)
    if mix_up:  # as a driver would that gives each environment the state of another
        action = wrapped.action

        def mixed(time_step, state):
            result = action(time_step, state)
            return result._replace(state=tf.nest.map_structure(lambda x: tf.reverse(x, [0]), result.state))

        wrapped.action = mixed
    driver.begin(wrapped)
    shown = 0
    while min(map(len, steps)) < NUM_STEPS:
        driver.run()
        shown += 1
    resets = sum(step.step_type == fakes.LAST for taken in steps for step in taken)
    assert shown == sum(map(len, steps)) - resets  # an agent step each time
    return [taken[:NUM_STEPS] for taken in steps]


def run_alone(policy, length, count):
    taken = []
    driver = rollout_driver.RolloutDriver(fakes.CountingEnvironment(length), observers=[taken.append], overlap=False)
    driver.begin(py_tf_eager_policy.PyTFEagerPolicy(policy, use_tf_function=True))
    while len(taken) < count:
        driver.run()
    return taken[:count]


def largest_difference(found, expected):
    return max(np.max(np.abs(a.action - b.action)) for a, b in zip(found, expected) if a.step_type != fakes.LAST)


def test_as_each_environment_alone(policy):
    for steps, length in zip(run_batched(policy), LENGTHS):
        expected = run_alone(policy, length, NUM_STEPS)
        assert collected(steps) == collected(expected)
        assert [float(step.reward) for step in steps] == [float(step.reward) for step in expected]
        assert largest_difference(steps, expected) < 1e-5


def test_states_of_the_policy_that_are_mixed_up_are_noticed(policy):
    steps = run_batched(policy, mix_up=True)[1]
    assert largest_difference(steps, run_alone(policy, LENGTHS[1], NUM_STEPS)) > 1e-5


class Meeting(fakes.CountingEnvironment):
    """A step ends once every environment is in one."""

    def __init__(self, barrier):
        super().__init__()
        self._barrier = barrier

    def _step(self, action):
        self._barrier.wait(timeout=5)
        return super()._step(action)


def test_environments_step_side_by_side(policy):
    barrier = threading.Barrier(3)
    driver = batched_driver.BatchedDriver([Meeting(barrier) for _ in range(3)], [[]] * 3)
    driver.begin(py_tf_eager_policy.PyTFEagerPolicy(policy, use_tf_function=True, batch_time_steps=False))
    for _ in range(7):  # one step after another would break the barrier
        driver.run()
    driver.close()
