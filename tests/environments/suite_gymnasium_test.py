import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from tf_agents.environments import utils

from slac_tf.environments import gymnasium_wrapper, suite_dm_control, suite_gymnasium

FAST = {"render_quality": "fast"}


@pytest.fixture
def load():
    """load_gymnasium whose environments are closed at the end."""
    environments = []

    def call(*args, **kwargs):
        environments.append(suite_gymnasium.load_gymnasium(*args, **kwargs))
        return environments[-1]

    yield call
    for env in environments:
        env.close()


def test_validity_and_a_fall_has_discount_zero(load):
    env = load("Hopper-v4", action_repeat=2, seed=0, **FAST)
    utils.validate_py_environment(env, episodes=1)
    assert env.task_name == "Hopper-v4"
    env.reset()
    for _ in range(500):
        step = env.step(np.ones(3, np.float32))
        if step.is_last():
            break
        assert float(step.discount) == 1.0
    assert step.is_last()
    assert float(step.discount) == 0.0


def test_a_time_limit_has_discount_one():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inner = gymnasium.make("HalfCheetah-v4", max_episode_steps=3)
    env = gymnasium_wrapper.GymnasiumWrapper(inner, seed=0)
    env.reset()
    steps = [env.step(np.zeros(6, np.float32)) for _ in range(3)]
    assert [(bool(step.is_last()), float(step.discount)) for step in steps] == [(0, 1.0), (0, 1.0), (1, 1.0)]


def test_agent_steps_of_an_episode(load):
    assert load("Hopper-v4", action_repeat=2, **FAST).episode_agent_steps == 500


def test_no_warning_that_v4_is_out_of_date(load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("Walker2d-v4", observations=("state",))


def test_the_seed_decides_the_first_frame(load):
    first, same, other = (load("Ant-v4", seed=seed, **FAST).reset().observation for seed in (3, 3, 4))
    np.testing.assert_array_equal(first["pixels"], same["pixels"])
    np.testing.assert_array_equal(first["state"], same["state"])
    assert np.any(first["state"] != other["state"])


def test_gymnasium_itself_renders_nothing(load):
    env = load("HalfCheetah-v4", observations=("state",), **FAST)
    env.reset()
    env.step(np.zeros(6, np.float32))
    renderer = env.wrapped_env()._env.unwrapped.mujoco_renderer
    assert renderer.viewer is None  # made with the first frame
    assert np.std(env.render()) > 0
    assert renderer.viewer is not None


def test_fast_changes_pixels_a_little_and_the_state_not_at_all(load):
    default, fast = (load("HalfCheetah-v4", seed=0, render_quality=q).reset() for q in ("default", "fast"))
    np.testing.assert_array_equal(default.observation["state"], fast.observation["state"])
    difference = np.abs(default.observation["pixels"].astype(np.float32) - fast.observation["pixels"])
    assert 0.1 < np.mean(difference) < 10.0  # of 255


def test_environments_in_one_process_do_not_disturb_each_other(load):
    cheetah = suite_dm_control.load_dm_control("cheetah", "run", seed=0, **FAST)
    hopper, ant = load("Hopper-v4", seed=0, **FAST), load("Ant-v4", seed=0, **FAST)
    frames = {env: env.reset().observation["pixels"] for env in (hopper, cheetah, ant)}

    def render(env):
        return env.wrapped_env().render()  # past the cached frame

    for env in (hopper, ant, cheetah, hopper):
        np.testing.assert_array_equal(render(env), frames[env])
    ant.close()
    for env in (cheetah, hopper):
        np.testing.assert_array_equal(render(env), frames[env])
    cheetah.close()
    np.testing.assert_array_equal(render(hopper), frames[hopper])


def test_closing_leaves_no_noise_at_interpreter_exit():
    code = """if True:
        from slac_tf.environments import suite_dm_control, suite_gymnasium
        hopper = suite_gymnasium.load_gymnasium('Hopper-v4')
        cheetah = suite_dm_control.load_dm_control('cheetah', 'run')
        for env in (hopper, cheetah):
            env.reset()
            env.close()
            env.close()
    """
    result = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for noise in ("Traceback", "Exception ignored", "EGLError", "out of date"):
        assert noise not in result.stderr


def test_a_camera_that_is_not_there_and_an_environment_after_its_end(load):
    with pytest.raises(ValueError, match=r"camera='front': expected one of \['track'\]"):
        load("Hopper-v4", camera="front")
    env = load("Hopper-v4", **FAST)
    env.reset()
    env.close()
    with pytest.raises(ValueError, match="after close"):
        env.wrapped_env().render()


def test_a_model_without_cameras_is_seen_by_the_free_one(load):
    env = load("InvertedPendulum-v4", camera=None)
    frame = env.reset().observation["pixels"]
    assert frame.shape == (64, 64, 3) and np.ptp(frame) > 50
