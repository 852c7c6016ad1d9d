"""Gymnasium environments as TF-Agents environments."""

from typing import Any, Optional

import gymnasium
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts


class GymnasiumWrapper(py_environment.PyEnvironment):
    """A `gymnasium.Env` of Box spaces as a PyEnvironment.

    Unlike the older gym interface, gymnasium says why an episode ended, and so does the discount: 0 where it
    `terminated`, so that nothing is bootstrapped, and 1 where it was only `truncated` by a time limit.
    """

    def __init__(self, env: gymnasium.Env, *, seed: Optional[int] = None) -> None:
        """Wraps an environment.

        Args:
            env: Its observations are flattened to `[S] float32`, its actions are passed on as they are.
            seed: Given to the first reset only, so that later episodes differ from the first.

        Raises:
            ValueError: If a space is not a Box.
        """
        super().__init__(handle_auto_reset=True)
        observation_space = _box("observation_space", env.observation_space)
        action_space = _box("action_space", env.action_space)
        self._env = env
        self._seed = seed
        size = int(np.prod(observation_space.shape))
        self._observation_spec = array_spec.ArraySpec((size,), np.float32, name="state")
        self._action_spec = array_spec.BoundedArraySpec(
            action_space.shape,
            action_space.dtype,
            minimum=action_space.low,
            maximum=action_space.high,
            name="action",
        )

    def observation_spec(self) -> array_spec.ArraySpec:
        """Returns the spec of the state, `[S] float32`."""
        return self._observation_spec

    def action_spec(self) -> array_spec.BoundedArraySpec:
        """Returns the spec of the action, in the bounds of the wrapped environment."""
        return self._action_spec

    def render(self, mode: str = "rgb_array") -> Any:
        """Returns the current frame in the wrapped environment's render mode."""
        del mode  # chosen when the wrapped environment was made
        return self._env.render()

    def close(self) -> None:
        """Closes the wrapped environment."""
        self._env.close()

    def _reset(self) -> ts.TimeStep:
        observation, _ = self._env.reset(seed=self._seed)
        self._seed = None
        return ts.restart(_flat(observation))

    def _step(self, action: np.ndarray) -> ts.TimeStep:
        observation, reward, terminated, truncated, _ = self._env.step(action)
        # Not `ts.transition`, which stops at a NaN reward without saying where.
        return ts.TimeStep(
            step_type=ts.StepType.LAST if terminated or truncated else ts.StepType.MID,
            reward=np.asarray(reward, np.float32),
            discount=np.asarray(0.0 if terminated else 1.0, np.float32),
            observation=_flat(observation),
        )


def _flat(observation: Any) -> np.ndarray:
    return np.asarray(observation, np.float32).reshape(-1)


def _box(name: str, space: gymnasium.Space) -> gymnasium.spaces.Box:
    if not isinstance(space, gymnasium.spaces.Box):
        raise ValueError(f"{name}={space}: expected a gymnasium.spaces.Box")
    return space
