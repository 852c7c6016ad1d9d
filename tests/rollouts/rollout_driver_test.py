"""Steps in order, with and without a thread for the environment."""

import threading

import fakes
import numpy as np
import pytest
from fakes import FIRST, LAST, MID
from tf_agents.policies import random_py_policy

from slac_tf.environments import faults
from slac_tf.rollouts import rollout_driver


class Environment(fakes.CountingEnvironment):
    """Notes the threads that it is called from, and waits where it is told to."""

    def __init__(self):
        super().__init__(length=3)
        self.threads = set()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error = None

    def _reset(self):
        self.threads.add(threading.get_ident())
        return super()._reset()

    def _step(self, action):
        self.threads.add(threading.get_ident())
        assert self.may_go_on.wait(10)
        if self.error is not None:
            raise self.error
        return super()._step(action)

    def close(self):
        self.threads.add(threading.get_ident())


def make(overlap):
    environment, steps = Environment(), []
    driver = rollout_driver.RolloutDriver(environment, observers=[steps.append], overlap=overlap)
    policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec(), seed=0)
    driver.begin(policy)
    return environment, driver, policy, steps


@pytest.mark.parametrize("overlap", [False, True])
def test_steps_are_whole_and_in_order(overlap):
    _, driver, policy, steps = make(overlap)
    for _ in range(4):
        driver.run()
        driver.start()
    # Three actions, the reset, one action, of which the next one is not finished.
    types = [(int(step.step_type), int(step.next_step_type)) for step in steps]
    assert types == [(FIRST, MID), (MID, MID), (MID, LAST), (LAST, FIRST), (FIRST, MID)]
    assert fakes.counts(np.stack([step.observation["pixels"] for step in steps])).tolist() == [0, 1, 2, 3, 4]
    assert [float(step.reward) for step in steps] == [1, 2, 3, 0, 1]
    driver.begin(policy)  # begins with an episode
    driver.run()
    assert int(steps[-1].step_type) == FIRST
    driver.close()


def test_the_environment_is_called_from_one_thread():
    own = threading.get_ident()
    for overlap in (False, True):
        environment, driver, _, _ = make(overlap)
        for _ in range(5):
            driver.run()
        driver.close()
        assert len(environment.threads) == 1
        assert (own in environment.threads) is not overlap


def test_a_step_goes_on_while_something_else_is_done():
    environment, driver, _, steps = make(overlap=True)
    environment.may_go_on.clear()
    driver.start()  # does not wait for the environment
    driver.start()  # a step is under way: nothing to do
    assert not steps
    environment.may_go_on.set()
    driver.wait()
    assert not steps  # seen only when it is asked for
    driver.run()
    assert len(steps) == 1
    driver.close()


def test_without_overlap_nothing_is_begun():
    environment, driver, _, steps = make(overlap=False)
    driver.start()
    driver.wait()
    assert not environment.threads and not steps


@pytest.mark.parametrize("overlap", [False, True])
def test_errors_arrive(overlap):
    environment, driver, _, steps = make(overlap)
    environment.error = ValueError("the reward is NaN")
    driver.start()
    with pytest.raises(ValueError, match="the reward is NaN"):
        driver.run()
    assert not steps
    driver.close()


@pytest.mark.parametrize("overlap", [False, True])
def test_closing_does_not_wait_for_a_fault(overlap):
    environment, driver, _, _ = make(overlap)
    environment.error = faults.FaultyEnvironmentError("the reward is NaN")
    driver.start()  # and then something else ends the run
    driver.close()
    assert len(environment.threads) == 1


def test_the_thread_ends_where_the_environment_cannot_be_closed():
    environment, driver, _, _ = make(overlap=True)

    def close():
        raise OSError("gone")

    environment.close = close
    with pytest.raises(OSError, match="gone"):
        driver.close()
    assert driver._thread._shutdown
