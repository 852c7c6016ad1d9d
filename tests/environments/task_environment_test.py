import numpy as np
import pytest
from tf_agents.environments import py_environment, utils
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import faults, task_environment


class CountingEnv(py_environment.PyEnvironment):
    """State and reward are the number of the control step; `render` paints it and counts its calls."""

    def __init__(self, length=5, discount=0.0, minimum=(-1.0, -1.0), maximum=(1.0, 1.0), dtype=np.float64):
        super().__init__(handle_auto_reset=True)
        self.length = length
        self.last_discount = discount
        self.spec = array_spec.BoundedArraySpec((2,), dtype, minimum, maximum)
        self.actions = []
        self.renders = 0
        self.count = 0
        self.closed = False
        self.buffer = np.zeros((8, 8, 3), np.uint8)  # reused, as a real renderer does
        self.poison = {}  # control step -> reward

    def observation_spec(self):
        return array_spec.ArraySpec((1,), np.float32)

    def action_spec(self):
        return self.spec

    def close(self):
        self.closed = True

    def render(self, mode="rgb_array"):
        self.renders += 1
        self.buffer[:] = self.count
        return self.buffer

    def _reset(self):
        self.count = 0
        return ts.restart(np.zeros(1, np.float32))

    def _step(self, action):
        self.count += 1
        self.actions.append(action)
        state = np.full(1, self.count, np.float32)
        reward = self.poison.get(self.count, float(self.count))
        last = self.count == self.length
        return ts.TimeStep(
            step_type=ts.StepType.LAST if last else ts.StepType.MID,
            reward=np.asarray(reward, np.float32),
            discount=np.asarray(self.last_discount if last else 1.0, np.float32),
            observation=state,
        )


ACTION = np.zeros(2, np.float32)


def wrap(base, **kwargs):
    kwargs = {"task_name": "counting", "image_size": 8, **kwargs}
    return task_environment.TaskEnvironment(base, base.render, control_time_step=0.1, **kwargs)


@pytest.mark.parametrize(
    "control_steps, action_repeat, agent_steps", [(6, 1, 6), (6, 2, 3), (5, 2, 3), (5, 8, 1), (None, 2, None)]
)
def test_agent_steps_of_an_episode(control_steps, action_repeat, agent_steps):
    base = CountingEnv(length=control_steps or 3)
    env = wrap(base, action_repeat=action_repeat, episode_control_steps=control_steps)
    assert env.episode_agent_steps == agent_steps
    if control_steps:
        env.reset()
        steps = [env.step(ACTION) for _ in range(agent_steps)]
        assert [step.is_last() for step in steps] == [False] * (agent_steps - 1) + [True]


def test_action_repeat_sums_rewards_and_stops_at_the_end():
    env = wrap(CountingEnv(length=5), action_repeat=2)
    steps = [env.reset()] + [env.step(ACTION) for _ in range(4)]
    # Control steps 1+2, 3+4, then 5 alone because the episode ends there, then the next episode.
    assert [float(step.reward) for step in steps] == [0.0, 3.0, 7.0, 5.0, 0.0]
    assert [int(step.step_type) for step in steps] == [0, 1, 1, 2, 0]
    assert [float(step.discount) for step in steps] == [1.0, 1.0, 1.0, 0.0, 1.0]
    assert [float(step.observation["state"][0]) for step in steps] == [0.0, 2.0, 4.0, 5.0, 0.0]
    assert all(step.reward.dtype == np.float32 and step.discount.dtype == np.float32 for step in steps)


def test_a_time_limit_keeps_discount_one():
    env = wrap(CountingEnv(length=3, discount=1.0), action_repeat=4)
    env.reset()
    step = env.step(ACTION)
    assert step.is_last()
    assert float(step.discount) == 1.0
    assert float(step.reward) == 6.0


def test_one_frame_per_agent_step_and_it_is_the_last_one():
    base = CountingEnv()
    env = wrap(base, action_repeat=2)
    steps = [env.reset()] + [env.step(ACTION) for _ in range(3)]
    assert base.renders == 4
    # Looked at after the fact: earlier frames must survive the renderer's reuse of its memory.
    assert [int(step.observation["pixels"][0, 0, 0]) for step in steps] == [0, 2, 4, 5]
    assert steps[1].observation["pixels"].dtype == np.uint8
    frame = env.render()
    assert base.renders == 4  # the frame is there already
    frame[:] = 77
    assert int(env.render()[0, 0, 0]) == 5


def test_state_alone_renders_on_demand_only():
    base = CountingEnv()
    env = wrap(base, observations=("state",))
    assert set(env.observation_spec()) == set(env.reset().observation) == {"state"}
    env.step(ACTION)
    assert base.renders == 0
    assert int(env.render()[0, 0, 0]) == 1
    assert base.renders == 1
    env.step(ACTION)
    assert int(env.render()[0, 0, 0]) == 2


def test_pixels_alone():
    env = wrap(CountingEnv(), observations=["pixels"])
    assert set(env.observation_spec()) == set(env.reset().observation) == {"pixels"}


def test_actions_are_mapped_onto_asymmetric_bounds():
    base = CountingEnv(minimum=(-1.0, 2.0), maximum=(3.0, 12.0), dtype=np.float32)
    env = wrap(base)
    env.reset()
    for action in ([-1.0, -1.0], [1.0, 1.0], [0.0, 0.5]):
        env.step(np.float32(action))
    # First dimension: centre 1, half-width 2. Second: centre 7, half-width 5, so 0.5 -> 7 + 2.5.
    np.testing.assert_array_equal(base.actions, [[-1.0, 2.0], [3.0, 12.0], [1.0, 9.5]])
    assert base.actions[0].dtype == np.float32
    spec = env.action_spec()
    assert (spec.dtype, spec.shape) == (np.float32, (2,))
    np.testing.assert_array_equal([spec.minimum, spec.maximum], [-1.0, 1.0])


def test_scalar_bounds_and_exact_identity_on_symmetric_ones():
    base = CountingEnv(minimum=-1.0, maximum=1.0)
    env = wrap(base)
    env.reset()
    action = np.float32([0.1, -1e-7])
    env.step(action)
    np.testing.assert_array_equal(base.actions[0], action.astype(np.float64))


def test_actions_never_leave_the_native_bounds():
    base = CountingEnv(minimum=-0.1, maximum=0.3, length=100)
    env = wrap(base)
    env.reset()
    for value in (1.0, -1.0, 1.0000001):
        env.step(np.full(2, value, np.float32))
    assert np.min(base.actions) >= -0.1
    assert np.max(base.actions) <= 0.3


@pytest.mark.parametrize("observations", [(), ("pixel",), ("pixels", "depth"), "pixels"])
def test_unknown_observations(observations):
    with pytest.raises(ValueError, match="observations="):
        wrap(CountingEnv(), observations=observations)


@pytest.mark.parametrize("action_repeat", [0, -1, 1.5])
def test_bad_action_repeat(action_repeat):
    with pytest.raises(ValueError, match="action_repeat="):
        wrap(CountingEnv(), action_repeat=action_repeat)


def test_unbounded_actions_are_refused():
    with pytest.raises(ValueError, match="finite bounds"):
        wrap(CountingEnv(maximum=np.inf))


def test_a_reward_that_is_not_finite_names_task_and_step():
    base = CountingEnv()
    base.poison = {4: np.nan}
    env = wrap(base, action_repeat=2)
    env.reset()
    env.step(ACTION)
    with pytest.raises(
        faults.FaultyEnvironmentError, match=r"counting: reward is nan, .* \(control step 4 of episode 1\)"
    ):
        env.step(ACTION)


def test_a_frame_of_another_size_is_refused():
    env = wrap(CountingEnv(), image_size=64)
    with pytest.raises(
        faults.FaultyEnvironmentError, match=r"rendered uint8 \(8, 8, 3\), expected uint8 \(64, 64, 3\)"
    ):
        env.reset()


def answer(**changes):
    """What `step` gives: a time step with some values changed."""
    step = ts.transition(np.ones(1, np.float32), reward=1.0)
    return step._replace(**changes)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (answer(reward=np.float32(np.inf)), "reward is inf, expected finite numbers"),
        (answer(reward=np.zeros(2, np.float32)), r"reward is float32 \(2,\), expected one number"),
        (answer(reward="much"), r"reward is <U4 \(\), expected one number"),
        (answer(reward=None), r"reward is object \(\), expected one number"),
        (answer(reward=1e300), "reward is inf, expected finite numbers"),  # of float32
        (answer(discount=np.float32(np.nan)), "discount is nan"),
        (answer(observation=np.float32([np.nan])), "state is nan in 1 of 1 numbers"),
        (answer(observation=np.zeros(3, np.float32)), r"state is float32 \(3,\), expected numbers of shape \(1,\)"),
        (answer(observation=np.array(["x"])), r"state is <U1 \(1,\), expected numbers of shape \(1,\)"),
        (answer(observation=[[1.0], [1.0, 2.0]]), "state raised ValueError: setting an array element"),
        (None, "gave NoneType, expected a TimeStep"),
    ],
)
def test_an_answer_that_is_none(given, text):
    base = CountingEnv()
    env = wrap(base)
    env.reset()
    env.step(ACTION)
    base._step = lambda action: given
    with pytest.raises(faults.FaultyEnvironmentError, match=rf"^counting: {text}.* \(control step 2 of episode 1\)$"):
        env.step(ACTION)


def test_rewards_whose_sum_is_not_finite():
    base = CountingEnv()
    base.poison = {1: 3e38, 2: 3e38}
    env = wrap(base, action_repeat=2)
    env.reset()
    with pytest.raises(faults.FaultyEnvironmentError, match="reward is inf"):
        env.step(ACTION)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
def test_numbers_of_another_kind_become_float32(dtype):
    base = CountingEnv()
    env = wrap(base)
    env.reset()
    base._step = lambda action: answer(observation=np.ones(1, dtype), reward=dtype(1))
    step = env.step(ACTION)
    assert (step.observation["state"].dtype, step.reward.dtype) == (np.float32, np.float32)


def test_a_state_whose_memory_is_reused_is_copied():
    base, memory = CountingEnv(), np.zeros(1, np.float32)
    env = wrap(base)
    env.reset()
    base._step = lambda action: answer(observation=memory)
    step = env.step(ACTION)
    memory[:] = 7
    assert float(step.observation["state"][0]) == 0.0


@pytest.mark.parametrize("name", ["reset", "step", "render"])
def test_what_the_environment_raises_is_named_and_kept(name):
    base = CountingEnv()
    base.length = 1
    env = wrap(base)
    env.reset()
    env.step(ACTION)

    def fails(*_):
        raise KeyError("the simulator")

    if name == "render":
        env._render_frame = fails
    else:
        setattr(base, f"_{name}", fails)
    with pytest.raises(faults.FaultyEnvironmentError) as caught:
        for _ in range(2):
            env.step(ACTION)
    step = 1 if name == "step" else 0
    place = "task_environment_test.py:"
    assert str(caught.value).startswith(f"counting: {name}() raised KeyError: 'the simulator', {place}")
    assert str(caught.value).endswith(f"(control step {step} of episode 2)")
    assert isinstance(caught.value.__cause__, KeyError)


def test_render_needs_a_reset_and_knows_one_mode():
    env = wrap(CountingEnv())
    with pytest.raises(ValueError, match="before the first reset"):
        env.render()
    with pytest.raises(ValueError, match="mode='human'"):
        env.render("human")


def test_properties_and_close():
    base = CountingEnv()
    env = wrap(base, action_repeat=3)
    assert (env.action_repeat, env.task_name, env.wrapped_env()) == (3, "counting", base)
    utils.validate_py_environment(env, episodes=2)
    env.close()
    assert base.closed
