import fakes
import numpy as np
import pytest
from tf_agents.policies import random_py_policy
from tf_agents.trajectories import policy_step

from slac_tf.environments import faults
from slac_tf.rollouts import episodes, rollout_driver


class CountingPolicy:
    """Its state is the number of its calls in the episode."""

    def __init__(self):
        self.initial_states, self.states = 0, []

    def get_initial_state(self, batch_size):
        assert batch_size == 1
        self.initial_states += 1
        return 0

    def action(self, time_step, state):
        self.states.append(state)
        return policy_step.PolicyStep(np.zeros(fakes.ACTION_SIZE, np.float32), state + 1, ())


class StateEnvironment(fakes.CountingEnvironment):
    """Shows the agent no pixels."""

    def _observe(self):
        return {"state": super()._observe()["pixels"][0, 0].astype(np.float32)}


class StopAt:
    """Becomes true at the n-th question."""

    def __init__(self, number):
        self._left = number

    def __call__(self):
        self._left -= 1
        return self._left < 0


def test_returns_lengths_and_policy_states():
    policy = CountingPolicy()
    done = episodes.run_episodes(fakes.CountingEnvironment(length=3), policy, 2, record=False)
    assert done.returns.tolist() == [6.0, 6.0]  # 1 + 2 + 3
    assert done.lengths.tolist() == [3, 3]
    assert done.frames.shape == (0,)
    assert policy.initial_states == 2
    assert policy.states == [0, 1, 2, 0, 1, 2]


def test_frames_of_the_first_episode():
    done = episodes.run_episodes(fakes.CountingEnvironment(length=3), CountingPolicy(), 2, record=True)
    assert done.frames.shape == (3, 64, 64, 3)
    assert done.frames.dtype == np.uint8
    assert fakes.counts(done.frames).tolist() == [0, 1, 2]  # those that the policy acted on


def test_frames_are_rendered_where_the_observation_has_none():
    done = episodes.run_episodes(StateEnvironment(length=3), CountingPolicy(), 1, record=True)
    assert done.frames[:, 0, 0, 0].tolist() == [0, 1, 2]  # the fake renders the index in the episode


def test_stopped_episodes_are_left_out():
    done = episodes.run_episodes(
        fakes.CountingEnvironment(length=3), CountingPolicy(), 5, record=False, should_stop=StopAt(7)
    )
    assert done.returns.tolist() == [6.0, 6.0]
    assert done.lengths.tolist() == [3, 3]


def test_no_episodes():
    with pytest.raises(ValueError, match="num_episodes: 0"):
        episodes.run_episodes(fakes.CountingEnvironment(), CountingPolicy(), 0, record=False)


def test_an_episode_that_never_ends():
    endless = fakes.CountingEnvironment(length=10**9)
    with pytest.raises(
        faults.FaultyEnvironmentError, match=r"counting: episode 1 has not ended after 7 agent steps: .*"
    ):
        episodes.run_episodes(endless, CountingPolicy(), 1, record=False, max_agent_steps=7)
    just_ends = fakes.CountingEnvironment(length=7)
    done = episodes.run_episodes(just_ends, CountingPolicy(), 2, record=False, max_agent_steps=7)
    assert done.lengths.tolist() == [7, 7]


def test_totals_count_no_resets():
    environment, totals = fakes.CountingEnvironment(length=3), episodes.Totals()
    policy = random_py_policy.RandomPyPolicy(environment.time_step_spec(), environment.action_spec(), seed=0)
    driver = rollout_driver.RolloutDriver(environment, policy, [totals], overlap=False)
    lengths = []
    for _ in range(5):
        driver.run()
        lengths.append(totals.length)
    assert lengths == [1, 2, 0, 1, 2]
    assert (totals.returns, totals.lengths) == ([6.0], [3])
    driver.begin(policy)  # breaks the episode off
    driver.run()
    assert totals.length == 1
