"""Plans in the simulator against the real environment stepped with the same actions; wrong variants must differ."""

import numpy as np
import point_task
import pytest

from slac_tf.environments import simulated_tasks, simulator, suite_dm_control, suite_gymnasium

# Table 1's action repeats; for the two tasks that are not the paper's those of Hafner et al. (2019).
ACTION_REPEATS = {
    "cheetah_run": 4,
    "walker_walk": 2,
    "ball_in_cup_catch": 4,
    "finger_spin": 2,
    "cartpole_swingup": 8,
    "reacher_easy": 4,
    "HalfCheetah-v4": 1,
    "Hopper-v4": 2,
    "Walker2d-v4": 4,
    "Ant-v4": 4,
}
FALLING = ("Hopper-v4", "Walker2d-v4", "Ant-v4")
HORIZON = 12


def load(name, observations=("state",), seed=0, more_repeats=0):
    repeat = ACTION_REPEATS.get(name, 1) + more_repeats
    if name.endswith(("-v4", "-v5")):
        return suite_gymnasium.load_gymnasium(name, action_repeat=repeat, observations=observations, seed=seed)
    domain, _, task = name.rpartition("_")
    return suite_dm_control.load_dm_control(
        domain, task, action_repeat=repeat, observations=observations, render_quality="fast", seed=seed
    )


def random_actions(random, environment, *shape):
    return random.uniform(-1.0, 1.0, [*shape, *environment.action_spec().shape]).astype(np.float32)


def go_somewhere(environment, random):
    """Resets and makes up to 20 random agent steps, fewer where the episode would end."""
    environment.reset()
    if environment.task_name == "finger_spin":  # random actions do not spin it fast enough for a reward
        physics = environment.wrapped_env().physics
        physics.named.data.qvel["hinge"] = -random.uniform(14.0, 30.0)
        physics.after_reset()
    for action in random_actions(random, environment, random.randint(0, 20)):
        if environment.step(action).is_last():
            environment.reset()


def really(environment, plan):
    """Rewards of the agent steps of a plan `[H, A]` in the environment, 0 after its end, and whether it ended."""
    rewards, ended = np.zeros(len(plan), np.float32), False
    for step, action in enumerate(plan):
        time_step = environment.step(action)
        rewards[step] = time_step.reward
        if time_step.is_last():
            ended = True
            break
    return rewards, ended


class Compared:
    """What the simulator foretells and what comes true, from many states.

    Attributes:
        rewards: Whether all rewards are equal, bit for bit.
        states: Whether all last states are, where the episode did not end.
        nonzero: How many of the rewards are not zero.
        ends: How many plans ended the episode.
    """

    def __init__(self, name, num_states=8, *, change_start=lambda start: start, scale=1.0):
        self.rewards, self.states, self.nonzero, self.ends = True, True, 0, 0
        environment, random = load(name), np.random.RandomState(0)
        simulation = simulator.Simulator(environment)
        try:
            for _ in range(num_states):
                go_somewhere(environment, random)
                plans = scale * random_actions(random, environment, 3, HORIZON)
                outcome = simulation.roll_out(change_start(simulation.snapshot()), plans)
                rewards, ended = really(environment, plans[1])
                assert outcome.rewards.shape == (3, HORIZON)
                assert outcome.rewards.dtype == np.float32
                self.rewards &= np.array_equal(outcome.rewards[1], rewards)
                self.nonzero += np.count_nonzero(rewards)
                self.ends += ended
                data = environment.wrapped_env().mujoco_data
                if not ended:
                    self.states &= np.array_equal(outcome.qpos[1], data.qpos)
                    self.states &= np.array_equal(outcome.qvel[1], data.qvel)
            repeats = num_states * 3 * HORIZON * environment.action_repeat
            assert simulation.control_steps == repeats
        finally:
            simulation.close()
            environment.close()


def check_exact(name, num_states):
    compared = Compared(name, num_states)
    assert compared.rewards
    assert compared.states
    assert compared.nonzero > 0
    assert (compared.ends > 0) == (name in FALLING)


def test_all_tasks_are_compared():
    assert set(simulated_tasks.TASKS) == set(ACTION_REPEATS)


@pytest.mark.parametrize("name", ACTION_REPEATS)
def test_comes_true(name):
    check_exact(name, 8)


@pytest.mark.expensive
@pytest.mark.long
@pytest.mark.parametrize("name", ACTION_REPEATS)
def test_comes_true_from_100_states(name):
    check_exact(name, 100)


@pytest.mark.parametrize("name", ["walker_walk", "Ant-v4"])
def test_without_warm_start(name):
    assert not Compared(name, change_start=lambda start: start._replace(warm_start=0.0 * start.warm_start)).states


@pytest.mark.parametrize("name", ["cheetah_run", "HalfCheetah-v4"])
def test_with_another_action_repeat(name):
    environment, other = load(name), load(name, more_repeats=1)
    environment.reset()
    simulations = [simulator.Simulator(one) for one in (environment, other)]
    start, plan = simulations[0].snapshot(), random_actions(np.random.RandomState(0), environment, 1, HORIZON)
    foretold = [simulation.roll_out(start, plan).rewards[0] for simulation in simulations]
    truth, _ = really(environment, plan[0])
    np.testing.assert_array_equal(foretold[0], truth)
    assert not np.array_equal(foretold[1], truth)
    for each in (*simulations, environment, other):
        each.close()


def test_with_sensors_of_the_step_before(monkeypatch):
    def early(course, name):
        return course.sensors[:, :-1, course.model.sensor(name).adr[0]]

    monkeypatch.setattr(simulated_tasks.Course, "sensor", early)
    for name in ("cheetah_run", "walker_walk", "finger_spin"):
        assert not Compared(name).rewards, name


def test_actions_outside_of_the_bounds_are_clipped(monkeypatch):
    assert Compared("HalfCheetah-v4", scale=3.0).rewards

    # Wrong: the cost of the action as it was given.
    squared = simulated_tasks.Course.squared_action
    monkeypatch.setattr(simulated_tasks.Course, "squared_action", lambda course: 9.0 * squared(course))
    assert not Compared("HalfCheetah-v4", scale=3.0).rewards


@pytest.mark.parametrize("name", FALLING)
def test_without_termination(name, monkeypatch):
    never = simulated_tasks.TASKS["HalfCheetah-v4"].terminated
    task = simulated_tasks.TASKS[name]._replace(terminated=never)
    monkeypatch.setattr(simulated_tasks, "TASKS", {**simulated_tasks.TASKS, name: task})
    assert not Compared(name).rewards


def test_ant_with_the_place_of_its_state(monkeypatch):
    task = simulated_tasks.TASKS["Ant-v4"]._replace(stepped_body=None)
    monkeypatch.setattr(simulated_tasks, "TASKS", {**simulated_tasks.TASKS, "Ant-v4": task})
    compared = Compared("Ant-v4")
    assert compared.states  # the physics is the same, but
    assert not compared.rewards


@pytest.mark.parametrize("name", ["cheetah_run", "Hopper-v4", "Ant-v4"])
def test_leaves_the_environment_alone(name):
    """Of two equal environments one is planned in: their steps and frames stay equal."""
    environments = [load(name, observations=("pixels", "state"), seed=4) for _ in range(2)]
    random = np.random.RandomState(0)
    simulation = simulator.Simulator(environments[0])
    for environment in environments:
        environment.reset()
    for action in random_actions(random, environments[0], 4):
        before = simulation.snapshot()
        simulation.roll_out(before, random_actions(random, environments[0], 5, HORIZON))
        for one, other in zip(before, simulation.snapshot()):
            np.testing.assert_array_equal(one, other)
        steps = [environment.step(action) for environment in environments]
        assert steps[0].reward == steps[1].reward
        for key in ("pixels", "state"):
            np.testing.assert_array_equal(steps[0].observation[key], steps[1].observation[key])
    simulation.close()
    for environment in environments:
        environment.close()


def test_other_tasks_are_refused():
    for environment in (load("hopper_hop"), load("HalfCheetah-v5"), point_task.load_point()):
        with pytest.raises(
            ValueError, match=r"no task that plans .* one of cheetah_run, walker_walk, .*, Ant-v4$"
        ) as e:
            simulator.Simulator(environment)
        assert str(e.value).startswith(environment.task_name)
        environment.close()
