"""Loads tasks of the DeepMind Control Suite."""

import difflib
import math
from typing import Any, Dict, Optional, Sequence, Union

import gin
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import rendering, task_environment


@gin.configurable
def load_dm_control(
    domain_name: str,
    task_name: str,
    *,
    action_repeat: int = 1,
    observations: Sequence[str] = task_environment.OBSERVATIONS,
    image_size: int = 64,
    camera_id: Union[int, str] = 0,
    render_quality: str = "default",
    seed: Optional[int] = None,
) -> task_environment.TaskEnvironment:
    """Loads a task of the DeepMind Control Suite.

    Args:
        domain_name: Such as 'cheetah'.
        task_name: Such as 'run'.
        action_repeat: Control steps per agent step.
        observations: Which of 'pixels' and 'state' to return. Without 'pixels' nothing is rendered.
        image_size: Side of the square frame, in pixels.
        camera_id: Number or name of a camera of the model, or -1 for the free one.
        render_quality: A key of `rendering.QUALITIES`.
        seed: Of the task's random state. None draws one.

    Returns:
        The environment. Its state is the suite's observation, flattened and concatenated in its own order.

    Raises:
        ValueError: If there is no such domain, task or camera, or as said in `TaskEnvironment`.
        OSError: If pixels are asked for and no GL backend works.
    """
    task_environment.check_arguments(observations=observations, action_repeat=action_repeat, image_size=image_size)
    # dm_control binds to a GL backend when it is imported: first the choice, then the import.
    rendering.configure_backend(required="pixels" in observations)
    from dm_control import suite

    _check_name("domain_name", domain_name, suite.TASKS_BY_DOMAIN)
    _check_name("task_name", task_name, suite.TASKS_BY_DOMAIN[domain_name])
    task_kwargs = {} if seed is None else {"random": seed}
    env = suite.load(domain_name, task_name, task_kwargs=task_kwargs)
    model = env.physics.model.ptr
    rendering.apply_quality(model, render_quality, image_size)
    names = rendering.camera_names(model)
    if camera_id not in names and camera_id not in range(-1, len(names)):
        raise ValueError(f"camera_id={camera_id!r}: expected a number or a name of the cameras {names}")
    step_limit = env._step_limit  # the suite's time limit in control steps, which it tells in no other way
    base = DmControlWrapper(env, image_size=image_size, camera_id=camera_id)
    return task_environment.TaskEnvironment(
        base,
        base.render,
        task_name=f"{domain_name}_{task_name}",
        control_time_step=env.control_timestep(),
        episode_control_steps=math.ceil(step_limit) if math.isfinite(step_limit) else None,
        action_repeat=action_repeat,
        observations=observations,
        image_size=image_size,
    )


class DmControlWrapper(py_environment.PyEnvironment):
    """A dm_control `Environment` as a PyEnvironment with a flat state.

    The discount is dm_control's own: 1 at a time limit, 0 where the task terminated.
    """

    def __init__(self, env: Any, *, image_size: int, camera_id: Union[int, str]) -> None:
        """Wraps an environment.

        Args:
            env: A `dm_control.rl.control.Environment`.
            image_size: Side of the square frame, in pixels.
            camera_id: Number or name of the camera.
        """
        super().__init__(handle_auto_reset=True)
        self._env = env
        self._image_size = image_size
        self._camera_id = camera_id
        self._camera: Any = None
        size = sum(int(np.prod(spec.shape)) for spec in env.observation_spec().values())
        self._observation_spec = array_spec.ArraySpec((size,), np.float32, name="state")
        native = env.action_spec()
        self._action_spec = array_spec.BoundedArraySpec(
            native.shape, native.dtype, native.minimum, native.maximum, name="action"
        )

    def observation_spec(self) -> array_spec.ArraySpec:
        """Returns the spec of the state, `[S] float32`."""
        return self._observation_spec

    def action_spec(self) -> array_spec.BoundedArraySpec:
        """Returns the spec of the action, in the task's own bounds."""
        return self._action_spec

    @property
    def physics(self) -> Any:
        """The `dm_control.mujoco.Physics` inside."""
        return self._env.physics

    @property
    def mujoco_model(self) -> Any:
        """The `mujoco.MjModel` inside, with what the task has changed in it for this episode."""
        return self.physics.model.ptr

    @property
    def mujoco_data(self) -> Any:
        """The `mujoco.MjData` inside."""
        return self.physics.data.ptr

    def render(self, mode: str = "rgb_array") -> np.ndarray:
        """Renders the current frame.

        Args:
            mode: Ignored, always 'rgb_array'.

        Returns:
            `[H, W, 3] uint8`, a view of memory that the next frame overwrites.
        """
        del mode
        self._make_current()
        if self._camera is None:
            # One camera for all frames. `physics.render` makes a new one each time, which costs about 2 ms.
            from dm_control.mujoco import engine

            self._camera = engine.Camera(
                self.physics, height=self._image_size, width=self._image_size, camera_id=self._camera_id
            )
        return self._camera.render()

    def close(self) -> None:
        """Frees the GL context and the simulation."""
        if self._camera is not None:
            self._make_current()
            self._camera.scene.free()
            self._camera = None
        self.physics.free()
        self._env.close()

    def _make_current(self) -> None:
        gl = self.physics.contexts.gl
        with gl.make_current() as context:
            # `make_current` does nothing for the context that dm_control made current last. Gymnasium's
            # may have taken its place since; then frames are drawn, and textures freed, in the other one.
            context.call(gl._platform_make_current)

    def _reset(self) -> ts.TimeStep:
        return ts.restart(_flat(self._env.reset().observation))

    def _step(self, action: np.ndarray) -> ts.TimeStep:
        time_step = self._env.step(action)
        # Not `ts.transition`, which stops at a NaN reward without saying where.
        return ts.TimeStep(
            step_type=ts.StepType.LAST if time_step.last() else ts.StepType.MID,
            reward=np.asarray(time_step.reward, np.float32),
            discount=np.asarray(time_step.discount, np.float32),
            observation=_flat(time_step.observation),
        )


def _flat(observation: Dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in observation.values()]).astype(np.float32)


def _check_name(argument: str, name: str, known: Sequence[str]) -> None:
    if not isinstance(name, str) or name not in known:
        nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
        raise ValueError(f"{argument}={name!r} is not in the suite: did you mean {nearest!r}?")
