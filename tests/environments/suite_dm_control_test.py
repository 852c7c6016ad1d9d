import numpy as np
import pytest
from tf_agents.environments import utils

from slac_tf.environments import rendering, suite_dm_control

FAST = {"render_quality": "fast"}


@pytest.fixture
def load():
    """load_dm_control whose environments are closed at the end."""
    environments = []

    def call(*args, **kwargs):
        environments.append(suite_dm_control.load_dm_control(*args, **kwargs))
        return environments[-1]

    yield call
    for env in environments:
        env.close()


def test_specs_state_and_validity(load):
    env = load("cheetah", "run", action_repeat=4, **FAST)
    utils.validate_py_environment(env, episodes=1)
    assert env.task_name == "cheetah_run"
    step = env.reset()
    physics = env.wrapped_env().physics
    # The suite's own order: position, velocity.
    expected = np.concatenate([physics.data.qpos[1:], physics.velocity()])
    np.testing.assert_allclose(step.observation["state"], expected, rtol=1e-6)
    assert step.observation["state"].dtype == np.float32


def test_pixels_are_those_of_physics_render(load):
    env = load("finger", "spin", action_repeat=2, seed=0)
    env.reset()
    for _ in range(3):
        frame = env.step(np.ones(2, np.float32)).observation["pixels"]
    np.testing.assert_array_equal(frame, env.wrapped_env().physics.render(64, 64, camera_id=0))


def test_an_episode_has_250_steps_and_ends_with_discount_one(load):
    env = load("cheetah", "run", action_repeat=4, observations=("state",))
    env.reset()
    steps = [env.step(np.zeros(6, np.float32)) for _ in range(250)]
    assert [bool(step.is_last()) for step in steps] == [False] * 249 + [True]
    assert all(float(step.discount) == 1.0 for step in steps)


def _base(**task_kwargs):
    rendering.configure_backend()
    from dm_control import suite

    return suite.load("cheetah", "run", task_kwargs=task_kwargs)


def test_time_limit_has_discount_one_and_termination_zero():
    env = suite_dm_control.DmControlWrapper(_base(time_limit=0.03), image_size=64, camera_id=0)
    env.reset()
    steps = [env.step(np.zeros(6)) for _ in range(3)]
    assert [(bool(step.is_last()), float(step.discount)) for step in steps] == [(0, 1.0), (0, 1.0), (1, 1.0)]
    assert env.step(np.zeros(6)).is_first()

    inner = _base()
    inner.task.get_termination = lambda physics: 0.0
    env = suite_dm_control.DmControlWrapper(inner, image_size=64, camera_id=0)
    env.reset()
    step = env.step(np.zeros(6))
    assert step.is_last()
    assert float(step.discount) == 0.0


def test_agent_steps_of_an_episode(load):
    assert load("cheetah", "run", action_repeat=4, **FAST).episode_agent_steps == 250


def test_the_seed_decides_the_first_frame(load):
    first, same, other = (load("walker", "walk", seed=seed, **FAST).reset().observation for seed in (3, 3, 4))
    np.testing.assert_array_equal(first["pixels"], same["pixels"])
    np.testing.assert_array_equal(first["state"], same["state"])
    assert np.any(first["state"] != other["state"])
    assert np.any(first["pixels"] != other["pixels"])


def test_fast_changes_pixels_a_little_and_the_state_not_at_all(load):
    default, fast = (load("cheetah", "run", seed=0, render_quality=q) for q in ("default", "fast"))
    default.reset(), fast.reset()
    action = np.full(6, 0.5, np.float32)
    a, b = default.step(action), fast.step(action)
    np.testing.assert_array_equal(a.observation["state"], b.observation["state"])
    assert a.reward == b.reward
    difference = np.abs(a.observation["pixels"].astype(np.float32) - b.observation["pixels"])
    assert 0.1 < np.mean(difference) < 10.0  # of 255


def test_state_alone_renders_nothing(load, monkeypatch):
    env = load("walker", "walk", observations=("state",), **FAST)
    with monkeypatch.context() as patch:
        patch.setattr(env.wrapped_env(), "render", lambda: pytest.fail("rendered"))
        patch.setattr(env, "_render_frame", lambda: pytest.fail("rendered"))
        env.reset()
        env.step(np.zeros(6, np.float32))
    assert np.std(env.render()) > 0


def test_image_size_and_named_camera(load):
    frame = load("cheetah", "run", image_size=32, camera_id="side", **FAST).reset().observation["pixels"]
    assert frame.shape == (32, 32, 3)
    frame = load("cheetah", "run", image_size=700, observations=("pixels",)).reset().observation["pixels"]
    assert frame.shape == (700, 700, 3)  # larger than the suite's buffer
