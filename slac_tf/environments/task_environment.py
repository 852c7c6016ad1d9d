"""The one environment that agents see: pixels and state, actions in [-1, 1], action repeat."""

import pathlib
import traceback
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import faults

OBSERVATIONS = ("pixels", "state")


def check_arguments(*, observations: Sequence[str], action_repeat: int, image_size: int) -> None:
    """Refuses what no environment can show; loaders ask before they load anything.

    Args:
        observations: Which of `OBSERVATIONS` to return.
        action_repeat: Control steps per agent step.
        image_size: Side of the frame, in pixels.

    Raises:
        ValueError: If one is of another type or out of range; the message names it.
    """
    listed = isinstance(observations, (tuple, list)) and bool(observations)
    if not listed or any(key not in OBSERVATIONS for key in observations):
        raise ValueError(f"observations={observations!r}: expected one or more of {OBSERVATIONS}")
    for name, value in (("action_repeat", action_repeat), ("image_size", image_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: expected an integer of at least 1")


class TaskEnvironment(py_environment.PyEnvironment):
    """Adds pixels, action repeat and normalized actions to an environment with a flat state.

    One step of this environment is an agent step: `action_repeat` control steps of the environment inside,
    with their rewards summed, fewer if the episode ends first. Only the last of them is rendered.

    Observation: a dict of those of `'pixels': [H, W, 3] uint8` and `'state': [S] float32` that were asked
    for. Action: `[A] float32` in [-1, 1], mapped affinely onto the native bounds. Discount: 0 where the
    episode terminated, 1 elsewhere, also where a time limit cut it.

    `reset`, `step` and `render` raise `FaultyEnvironmentError` where the environment inside raises, or gives a value
    or frame that is not finite or of another shape or kind.
    """

    def __init__(
        self,
        env: py_environment.PyEnvironment,
        render: Callable[[], np.ndarray],
        *,
        task_name: str,
        control_time_step: float,
        episode_control_steps: Optional[int] = None,
        action_repeat: int = 1,
        observations: Sequence[str] = OBSERVATIONS,
        image_size: int = 64,
    ) -> None:
        """Wraps an environment.

        Args:
            env: Its observation is the state, `[S] float32`; its action has finite bounds. It is closed with
                this one.
            render: Returns the current frame, `[H, W, 3] uint8` with `H = W = image_size`. It may reuse its
                memory for the next frame. Never called without need.
            task_name: Name for titles and messages, such as 'cheetah_run'.
            control_time_step: Simulated seconds of one control step of `env`.
            episode_control_steps: Time limit of an episode of `env`, in control steps; None where it has none.
            action_repeat: Control steps per agent step.
            observations: Which of `OBSERVATIONS` to return.
            image_size: Side of the frame, in pixels.

        Raises:
            ValueError: If an argument or the action spec of `env` is not as said above.
        """
        super().__init__(handle_auto_reset=True)
        check_arguments(observations=observations, action_repeat=action_repeat, image_size=image_size)
        self._env = env
        self._render_frame = render
        self._task_name = task_name
        self._action_repeat = action_repeat
        # The last of them is cut short where the action repeat does not divide the episode.
        self._episode_agent_steps = (
            None if episode_control_steps is None else -(-episode_control_steps // action_repeat)
        )
        self._agent_time_step = control_time_step * action_repeat
        self._observations = tuple(key for key in OBSERVATIONS if key in observations)
        self._frame_shape = (image_size, image_size, 3)
        self._frame: Optional[np.ndarray] = None  # of the current time step, once rendered
        self._episode = 0
        self._control_step = 0  # within the episode

        native = env.action_spec()
        self._low = np.broadcast_to(np.asarray(native.minimum, np.float64), native.shape)
        self._high = np.broadcast_to(np.asarray(native.maximum, np.float64), native.shape)
        unbounded = np.finfo(np.float32).max  # what array specs make of an infinite bound, or less
        if np.any(np.maximum(np.abs(self._low), np.abs(self._high)) >= unbounded):
            raise ValueError(f"env.action_spec()={native}: expected finite bounds")
        self._native_dtype = native.dtype
        self._action_spec = array_spec.BoundedArraySpec(native.shape, np.float32, -1.0, 1.0, name="action")
        self._state_shape = tuple(env.observation_spec().shape)
        specs = {
            "pixels": array_spec.BoundedArraySpec(self._frame_shape, np.uint8, 0, 255, name="pixels"),
            "state": array_spec.ArraySpec(self._state_shape, np.float32, name="state"),
        }
        self._observation_spec = {key: specs[key] for key in self._observations}

    @property
    def action_repeat(self) -> int:
        """Control steps per agent step."""
        return self._action_repeat

    @property
    def episode_agent_steps(self) -> Optional[int]:
        """Agent steps of an episode that lasts up to its time limit; None where it has none."""
        return self._episode_agent_steps

    @property
    def agent_time_step(self) -> float:
        """Simulated seconds of one agent step."""
        return self._agent_time_step

    @property
    def task_name(self) -> str:
        """Name of the task, such as 'cheetah_run' or 'Ant-v4'."""
        return self._task_name

    def wrapped_env(self) -> py_environment.PyEnvironment:
        """Returns the environment inside."""
        return self._env

    def observation_spec(self) -> Dict[str, array_spec.ArraySpec]:
        """Returns the specs of the observations that were asked for."""
        return self._observation_spec

    def action_spec(self) -> array_spec.BoundedArraySpec:
        """Returns the spec of the action, `[A] float32` in [-1, 1]."""
        return self._action_spec

    def to_native(self, action: np.ndarray) -> np.ndarray:
        """Maps actions as agents give them to those of the environment inside.

        Args:
            action: `[…, A] float32` in [-1, 1].

        Returns:
            `[…, A]` in the bounds of the environment inside, and of its dtype.
        """
        # Centre and half-width, not `low + ...`: exact where the native bounds are symmetric. Clipped because
        # the last bit of a rounded sum may lie outside.
        centre, half_width = (self._high + self._low) / 2.0, (self._high - self._low) / 2.0
        native_action = centre + half_width * np.asarray(action, np.float64)
        return np.clip(native_action, self._low, self._high).astype(self._native_dtype)

    def render(self, mode: str = "rgb_array") -> np.ndarray:
        """Returns the frame of the current time step, also where observations have no pixels.

        Args:
            mode: 'rgb_array'.

        Returns:
            `[H, W, 3] uint8`, the caller's own copy.

        Raises:
            ValueError: If `mode` is another, or before the first reset.
        """
        if mode != "rgb_array":
            raise ValueError(f"mode={mode!r}: expected 'rgb_array'")
        if self._current_time_step is None:
            raise ValueError(f"{self._task_name}: render() before the first reset()")
        return self._current_frame().copy()

    def close(self) -> None:
        """Closes the environment inside, which frees its GL context."""
        self._env.close()

    def _reset(self) -> ts.TimeStep:
        self._episode += 1
        self._control_step = 0
        self._frame = None
        time_step = self._call("reset()", self._env.reset)
        return ts.restart(self._observation(self._state(time_step)))

    def _step(self, action: np.ndarray) -> ts.TimeStep:
        native_action = self.to_native(action)
        reward = 0.0
        self._frame = None
        for _ in range(self._action_repeat):
            self._control_step += 1
            time_step = self._call("step()", self._env.step, native_action)
            state = self._state(time_step)
            reward += float(self._float32("reward", time_step.reward, ()))
            if time_step.is_last():
                break
        return ts.TimeStep(
            step_type=time_step.step_type,
            reward=self._float32("reward", reward, ()),  # a sum of finite numbers may exceed float32
            discount=self._float32("discount", time_step.discount, ()),
            observation=self._observation(state),
        )

    def _state(self, time_step: Any) -> np.ndarray:
        if not isinstance(time_step, ts.TimeStep):
            raise self._fault(f"gave {type(time_step).__name__}, expected a TimeStep")
        return self._float32("state", time_step.observation, self._state_shape)

    def _observation(self, state: np.ndarray) -> Dict[str, np.ndarray]:
        observation = {}
        if "pixels" in self._observations:
            observation["pixels"] = self._current_frame()
        if "state" in self._observations:
            observation["state"] = state
        return observation

    def _current_frame(self) -> np.ndarray:
        if self._frame is None:
            frame = np.array(self._call("render()", self._render_frame), order="C")  # the renderer may reuse its memory
            if frame.shape != self._frame_shape or frame.dtype != np.uint8:
                raise self._fault(f"rendered {frame.dtype} {frame.shape}, expected uint8 {self._frame_shape}")
            self._frame = frame
        return self._frame

    # What may go wrong inside.

    def _fault(self, what: str) -> faults.FaultyEnvironmentError:
        return faults.FaultyEnvironmentError(
            f"{self._task_name}: {what} (control step {self._control_step} of episode {self._episode})"
        )

    def _call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{name} raised {type(error).__name__}: {error}, {pathlib.Path(place.filename).name}:{place.lineno}"
            raise self._fault(what) from error

    def _float32(self, name: str, value: Any, shape: Tuple[int, ...]) -> np.ndarray:
        """A copy of a value, if it is made of finite numbers and has its shape."""
        array = self._call(name, np.asarray, value)
        if array.shape != shape or array.dtype.kind not in "biuf":
            wanted = f"numbers of shape {shape}" if shape else "one number"
            raise self._fault(f"{name} is {array.dtype} {array.shape}, expected {wanted}")
        with np.errstate(over="ignore"):  # infinite then, which is said
            array = array.astype(np.float32)
        wrong = array[~np.isfinite(array)]
        if wrong.size:
            many = f" in {wrong.size} of {array.size} numbers" if shape else ""
            raise self._fault(f"{name} is {wrong[0]}{many}, expected finite numbers")
        return array
