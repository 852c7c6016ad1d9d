import json
import math

import fakes
import numpy as np
import pytest
from tf_agents.drivers import py_driver
from tf_agents.policies import random_py_policy

from slac_tf.runs import counters as counters_lib


def drive(counters, environment, num_steps, time_step=None):
    """Runs an environment with random actions; boundaries do not count as steps here either."""
    policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec())
    driver = py_driver.PyDriver(environment, policy, observers=[counters.observe], max_steps=num_steps)
    return driver.run(time_step or environment.reset())[0]


def test_steps_and_returns():
    counters = counters_lib.Counters()
    assert math.isnan(counters.recent_return)
    # Episodes of 5 actions with rewards 1 to 5: returns of 15.
    time_step = drive(counters, fakes.CountingEnvironment(length=5), 4)
    assert (counters.agent_step, counters.episodes, counters.recent_returns) == (4, 0, [])
    environment = fakes.CountingEnvironment(length=5)
    counters = counters_lib.Counters()
    time_step = drive(counters, environment, 5)
    assert (counters.agent_step, counters.episodes, counters.recent_returns) == (5, 1, [15.0])
    # Two episodes more: 10 actions, and the resets before them, which the policy is not asked about.
    drive(counters, environment, 10, time_step)
    assert (counters.agent_step, counters.episodes, counters.recent_returns) == (15, 3, [15.0] * 3)
    assert counters.recent_return == 15.0


def test_an_episode_of_one_step():
    counters = counters_lib.Counters()
    drive(counters, fakes.CountingEnvironment(length=1), 3)
    assert (counters.agent_step, counters.episodes, counters.recent_returns) == (3, 3, [1.0] * 3)


def test_the_last_ten_returns():
    counters = counters_lib.Counters()
    drive(counters, fakes.CountingEnvironment(length=1), 8)
    drive(counters, fakes.CountingEnvironment(length=2), 8)  # four episodes of return 1 + 2
    assert counters.episodes == 12
    assert counters.recent_returns == [1.0] * 6 + [3.0] * 4
    assert counters.recent_return == pytest.approx(1.8)


def test_an_abandoned_episode_leaves_no_return():
    counters = counters_lib.Counters()
    drive(counters, fakes.CountingEnvironment(length=5), 3)  # rewards 1, 2, 3, then a fresh environment
    drive(counters, fakes.CountingEnvironment(length=2), 2)
    assert (counters.agent_step, counters.episodes, counters.recent_returns) == (5, 1, [3.0])


def test_state_survives_json():
    counters = counters_lib.Counters(last_eval={"agent_step": 3, "greedy": 1.5})
    drive(counters, fakes.CountingEnvironment(length=2), 5)
    counters.updates_owed = 0.25
    restored = counters_lib.Counters(**json.loads(json.dumps(counters.state())))
    assert math.isnan(restored.random_return)
    restored.random_return = counters.random_return = np.float64(2.5).item()
    assert restored == counters
    # The episode in progress is not taken up again.
    drive(restored, fakes.CountingEnvironment(length=2), 2)
    assert restored.recent_returns == [3.0, 3.0, 3.0]


def test_streams_that_come_in_turns():
    counters = counters_lib.Counters()
    environments = [fakes.CountingEnvironment(length=3), fakes.CountingEnvironment(length=5)]
    taken = [[], []]
    for steps, environment in zip(taken, environments):
        policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec())
        py_driver.PyDriver(environment, policy, observers=[steps.append], max_steps=5).run(environment.reset())
    for steps in zip(*taken):
        for stream, step in enumerate(steps):
            counters.observe(step, stream)
    # 1 + 2 + 3 after three steps of the one, 1 + ... + 5 after five of the other; the reset of the first is no step.
    assert (counters.agent_step, counters.recent_returns) == (9, [6.0, 15.0])
