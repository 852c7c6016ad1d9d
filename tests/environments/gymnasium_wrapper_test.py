import gymnasium
import numpy as np
import pytest
from tf_agents.environments import utils

from slac_tf.environments import faults, gymnasium_wrapper, task_environment


class FakeEnv(gymnasium.Env):
    """Ends after three steps as told; its reward is the number of the step."""

    observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2, 2), np.float64)
    action_space = gymnasium.spaces.Box(np.float32([-2.0, 0.0]), np.float32([2.0, 4.0]))

    def __init__(self, *, terminated, truncated):
        self.end = (terminated, truncated)
        self.seeds = []
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.steps = 0
        return np.zeros((2, 2)), {}

    def step(self, action):
        self.steps += 1
        end = self.end if self.steps == 3 else (False, False)
        return np.full((2, 2), self.steps, np.float64), float(self.steps), *end, {"step": self.steps}


ACTION = np.zeros(2, np.float32)


# Termination wins where both hold: the state is terminal whatever the clock says.
@pytest.mark.parametrize(("terminated", "truncated", "discount"), [(1, 0, 0.0), (0, 1, 1.0), (1, 1, 0.0)])
def test_discount_is_zero_only_on_termination(terminated, truncated, discount):
    env = gymnasium_wrapper.GymnasiumWrapper(FakeEnv(terminated=terminated, truncated=truncated))
    steps = [env.reset()] + [env.step(ACTION) for _ in range(4)]
    assert [int(step.step_type) for step in steps] == [0, 1, 1, 2, 0]
    assert [float(step.discount) for step in steps] == [1.0, 1.0, 1.0, discount, 1.0]
    assert [float(step.reward) for step in steps] == [0.0, 1.0, 2.0, 3.0, 0.0]


def test_the_seed_is_given_to_the_first_reset_only():
    fake = FakeEnv(terminated=True, truncated=False)
    env = gymnasium_wrapper.GymnasiumWrapper(fake, seed=7)
    env.reset()
    env.reset()
    assert fake.seeds == [7, None]


def test_specs():
    env = gymnasium_wrapper.GymnasiumWrapper(FakeEnv(terminated=True, truncated=False))
    assert env.observation_spec().shape == (4,)
    assert env.reset().observation.dtype == np.float32
    np.testing.assert_array_equal(env.action_spec().maximum, [2.0, 4.0])
    utils.validate_py_environment(env, episodes=2)


def test_other_spaces_are_refused():
    fake = FakeEnv(terminated=True, truncated=False)
    fake.action_space = gymnasium.spaces.Discrete(3)
    with pytest.raises(ValueError, match=r"action_space=Discrete\(3\)"):
        gymnasium_wrapper.GymnasiumWrapper(fake)


@pytest.mark.parametrize(("state", "reward", "name"), [(0.0, np.nan, "reward"), (np.inf, 0.0, "state")])
def test_what_is_not_finite_reaches_the_check_that_names_task_and_step(state, reward, name):
    fake = FakeEnv(terminated=True, truncated=False)
    fake.step = lambda action: (np.full((2, 2), state), reward, False, False, {})
    base = gymnasium_wrapper.GymnasiumWrapper(fake)
    env = task_environment.TaskEnvironment(
        base, base.render, task_name="fake", control_time_step=0.1, observations=("state",)
    )
    env.reset()
    with pytest.raises(
        faults.FaultyEnvironmentError, match=rf"fake: {name} is (nan|inf).* \(control step 1 of episode 1\)"
    ):
        env.step(ACTION)
