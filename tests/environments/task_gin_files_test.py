"""The environment half of the eight task files: what they load."""

import pathlib

import gin
import numpy as np
import pytest

from slac_tf.environments import suite_dm_control, suite_gymnasium

GIN_CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "gin_configs"

# file -> task, Table 1's action repeat, actions, control steps on the x axis of the paper's figure
TASKS = {
    "cheetah_run": ("cheetah_run", 4, 6, 3_000_000),
    "walker_walk": ("walker_walk", 2, 6, 1_000_000),
    "ball_in_cup_catch": ("ball_in_cup_catch", 4, 2, 1_000_000),
    "finger_spin": ("finger_spin", 2, 2, 1_000_000),
    "half_cheetah": ("HalfCheetah-v4", 1, 6, 1_000_000),
    "walker2d": ("Walker2d-v4", 4, 6, 4_000_000),
    "hopper": ("Hopper-v4", 2, 3, 2_000_000),
    "ant": ("Ant-v4", 4, 8, 4_000_000),
}


@pytest.mark.parametrize("name", TASKS)
def test_task(name):
    task_name, action_repeat, num_actions, num_env_steps = TASKS[name]
    text = (GIN_CONFIGS / f"{name}.gin").read_text()
    # Only what belongs to the environment; the whole files are built in gin_configs_test.py.
    lines = [line for line in text.splitlines() if line.startswith(("load_", "import "))]
    gin.parse_config("\n".join(["OBSERVATIONS = ('pixels', 'state')", "RENDER_QUALITY = 'fast'", *lines]))
    assert f"Schedule.num_env_steps = {num_env_steps:_}" in text
    load = suite_gymnasium.load_gymnasium if "-v4" in task_name else suite_dm_control.load_dm_control
    assert f"train_eval.load_environment = @{load.__name__}\n" in text

    env = load()
    try:
        assert env.task_name == task_name
        assert env.action_repeat == action_repeat
        assert env.action_spec().shape == (num_actions,)
        assert env.observation_spec()["pixels"].shape == (64, 64, 3)
        env.reset()
        step = env.step(np.full(num_actions, 0.1, np.float32))
        assert step.observation["pixels"].shape == (64, 64, 3)
        assert np.std(step.observation["pixels"]) > 5.0
        assert step.observation["state"].shape == env.observation_spec()["state"].shape
        assert step.reward.dtype == np.float32
    finally:
        env.close()
