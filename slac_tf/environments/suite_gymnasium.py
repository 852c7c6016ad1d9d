"""Loads the MuJoCo tasks of Gymnasium."""

import difflib
import warnings
from typing import Any, Optional, Sequence

import gin
import gymnasium
import numpy as np

from slac_tf.environments import gymnasium_wrapper, rendering, task_environment


@gin.configurable
def load_gymnasium(
    env_id: str,
    *,
    action_repeat: int = 1,
    observations: Sequence[str] = task_environment.OBSERVATIONS,
    image_size: int = 64,
    camera: Optional[str] = "track",
    render_quality: str = "default",
    seed: Optional[int] = None,
) -> task_environment.TaskEnvironment:
    """Loads a MuJoCo task of Gymnasium.

    Args:
        env_id: With its version, such as 'HalfCheetah-v4'.
        action_repeat: Control steps per agent step.
        observations: Which of 'pixels' and 'state' to return. Without 'pixels' nothing is rendered.
        image_size: Side of the square frame, in pixels.
        camera: Name of a camera of the model; None leaves it to Gymnasium: 'track' where the model has it, else
            the free one.
        render_quality: A key of `rendering.QUALITIES`.
        seed: Given to the first reset. None draws one.

    Returns:
        The environment. Its state is Gymnasium's observation, flattened.

    Raises:
        ValueError: If there is no such task or camera, or as said in `TaskEnvironment`.
        OSError: If pixels are asked for and no GL backend works.
    """
    task_environment.check_arguments(observations=observations, action_repeat=action_repeat, image_size=image_size)
    if not isinstance(env_id, str):
        raise ValueError(f"env_id={env_id!r}: expected a name in quotes such as 'HalfCheetah-v4'")
    if ":" not in env_id and env_id not in gymnasium.registry:  # 'module:id' is imported by `make`
        nearest = difflib.get_close_matches(env_id, gymnasium.registry, n=1, cutoff=0.0)[0]
        raise ValueError(f"env_id={env_id!r} is not registered: did you mean {nearest!r}?")
    rendering.configure_backend(required="pixels" in observations)
    with warnings.catch_warnings():
        # Version 4 is out of date on purpose: its rewards are those of the paper.
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
        # render_mode only says what `render` returns; `step` renders in mode 'human' alone.
        try:
            env = gymnasium.make(
                env_id,
                render_mode="rgb_array",
                width=image_size,
                height=image_size,
                camera_name=camera,
                disable_env_checker=True,
            )
        except (ImportError, TypeError, gymnasium.error.Error) as error:
            # No such module; arguments that only MuJoCo tasks have; a version for another MuJoCo package.
            reason = str(error).rstrip(".")
            raise ValueError(f"env_id={env_id!r}: {reason}; expected a MuJoCo task such as 'HalfCheetah-v4'") from error
    model = env.unwrapped.model  # type: ignore[attr-defined]
    names = rendering.camera_names(model)
    if camera is not None and camera not in names:
        env.close()
        raise ValueError(f"camera={camera!r}: expected one of {names}, or None for the free camera")
    rendering.apply_quality(model, render_quality, image_size)
    base = MujocoGymnasiumWrapper(env, seed=seed)
    return task_environment.TaskEnvironment(
        base,
        base.render,
        task_name=env_id,
        control_time_step=env.unwrapped.dt,  # type: ignore[attr-defined]
        episode_control_steps=None if env.spec is None else env.spec.max_episode_steps,
        action_repeat=action_repeat,
        observations=observations,
        image_size=image_size,
    )


class MujocoGymnasiumWrapper(gymnasium_wrapper.GymnasiumWrapper):
    """A `GymnasiumWrapper` whose GL context keeps out of the way of others in the process.

    Gymnasium makes a context current when it creates it and then relies on it. With a second environment
    alive, for evaluation, each would draw into the context made last, and freeing one would delete textures
    of the other.
    """

    _closed = False

    @property
    def mujoco_model(self) -> Any:
        """The `mujoco.MjModel` inside."""
        return self._env.unwrapped.model  # type: ignore[attr-defined]

    @property
    def mujoco_data(self) -> Any:
        """The `mujoco.MjData` inside."""
        return self._env.unwrapped.data  # type: ignore[attr-defined]

    @property
    def _viewer(self) -> Any:
        unwrapped: Any = self._env.unwrapped
        return unwrapped.mujoco_renderer.viewer  # None before the first frame

    def render(self, mode: str = "rgb_array") -> np.ndarray:
        """Renders the current frame.

        Args:
            mode: Ignored, always 'rgb_array'.

        Returns:
            `[H, W, 3] uint8`.

        Raises:
            ValueError: If the environment is closed.
        """
        if self._closed:
            raise ValueError("render() after close()")
        if self._viewer is not None:
            self._viewer.make_context_current()
        return super().render(mode)

    def close(self) -> None:
        """Frees the GL context."""
        if self._closed:
            return
        self._closed = True
        if self._viewer is not None:
            self._viewer.make_context_current()
            self._viewer.con.free()
        super().close()
