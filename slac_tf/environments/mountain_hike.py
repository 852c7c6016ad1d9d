"""Mountain Hike, the task of Igl et al. (2018), Section 4.1: a walk along a ridge, seen through noise."""

import functools
import math
from typing import Optional

import gin
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import task_environment
from slac_tf.utils import checks

EPISODE_STEPS = 75
_SCALE = 10.0  # of observations to positions
_START = np.array([-0.85, -0.85])
_START_STD = 0.1
_STEP_STD = 0.025
_MAX_STEP = 0.05
_ACTION_COST = 0.1
_HEIGHT = 4.0
_OUTSIDE = -1.5 * _HEIGHT
# Of each ridge: factor, mean, standard deviations.
_RIDGES = ((1.0, (0.5, 0.5), (0.75, 0.1)), (0.8, (0.0, 0.2), (0.1, 0.75)), (0.55, (-0.375, -0.5), (0.75, 0.1)))


def height(positions: np.ndarray) -> np.ndarray:
    """The reward of a place before the cost of the action.

    Args:
        positions: `[…, 2]`.

    Returns:
        `[…]`, at most -0.5 + (x + y) / 4; -6 outside of [-1, 1]².
    """
    ridges = []
    for factor, mean, stds in _RIDGES:
        deviations = (positions - np.array(mean)) / np.array(stds)
        density = np.exp(-0.5 * np.sum(deviations**2, axis=-1)) / (2.0 * math.pi * stds[0] * stds[1])
        ridges.append(factor * density / len(_RIDGES))
    ridge = _HEIGHT * (1.0 - (1.0 - np.maximum.reduce(ridges)) ** 4) - (0.5 + _HEIGHT)
    inside = np.all(np.abs(positions) <= 1.0, axis=-1)
    return np.where(inside, ridge + np.sum(positions, axis=-1) / 4.0, _OUTSIDE)


class MountainHike(py_environment.PyEnvironment):
    """A point that is moved by the action, at most 0.05 a step, and drifts; its position is seen through noise.

    A longer action costs more and leads no further. The published environment's action space ends at 0.05, but its
    agents' Gaussian actions are not cut to it; these bounds leave most of them as they are.

    State: ten times the noisy position, `[2] float32`. Episodes last 75 steps, a time limit.
    """

    def __init__(self, observation_std: float, *, seed: Optional[int] = None):
        """Constructor.

        Args:
            observation_std: Standard deviation of the observation's noise, on the scale of observations, where the
                mountain is 20 wide: 0 or 3 in the paper.
            seed: Of all that is random. None draws one.
        """
        super().__init__(handle_auto_reset=True)
        self._observation_std = observation_std
        self._random = np.random.RandomState(seed)
        self._position = np.zeros(2)  # in [-1, 1]² while it is on the mountain
        self._num_steps = 0

    def observation_spec(self) -> array_spec.ArraySpec:
        """Returns the spec of the noisy position, `[2] float32`."""
        return array_spec.ArraySpec((2,), np.float32, name="state")

    def action_spec(self) -> array_spec.BoundedArraySpec:
        """Returns the spec of the action, `[2] float32`: the step, unless it is longer than 0.05."""
        return array_spec.BoundedArraySpec((2,), np.float32, -1.0, 1.0, name="action")

    def render(self, mode: str = "rgb_array") -> np.ndarray:
        """Draws the mountain from above, its ridges bright, and the point in red where it really is.

        Args:
            mode: Ignored, always 'rgb_array'.

        Returns:
            `[64, 64, 3] uint8`.
        """
        frame = _mountain().copy()
        column, row = np.clip(np.round(31.5 * (self._position + 1.0)), 1, 62).astype(int)
        frame[::-1][row - 1 : row + 2, column - 1 : column + 2] = (255, 0, 0)
        return frame

    def _reset(self) -> ts.TimeStep:
        self._num_steps = 0
        self._position = self._random.normal(_START, _START_STD)
        return ts.restart(self._observation())

    def _step(self, action: np.ndarray) -> ts.TimeStep:
        self._num_steps += 1
        length = float(np.linalg.norm(action))
        step = action * (_MAX_STEP / length) if length > _MAX_STEP else action
        self._position = self._random.normal(self._position + step, _STEP_STD)
        reward = height(self._position) - _ACTION_COST * length
        if self._num_steps == EPISODE_STEPS:
            return ts.truncation(self._observation(), reward=reward)
        return ts.transition(self._observation(), reward=reward)

    def _observation(self) -> np.ndarray:
        return self._random.normal(_SCALE * self._position, self._observation_std).astype(np.float32)


@functools.cache
def _mountain() -> np.ndarray:
    """`[64, 64, 3] uint8`, the first row at y = 1."""
    places = np.linspace(-1.0, 1.0, 64)
    heights = height(np.stack(np.meshgrid(places, places[::-1]), axis=-1))  # [64, 64]
    grey = 200.0 * (heights - heights.min()) / (heights.max() - heights.min())
    return np.repeat(grey[..., np.newaxis], 3, axis=-1).astype(np.uint8)


@gin.configurable
@checks.checked
def load_mountain_hike(
    *, observation_std: checks.NotNegative = 0.0, seed: Optional[int] = None
) -> task_environment.TaskEnvironment:
    """Loads Mountain Hike. The agent sees the noisy position alone; a picture would show the true one.

    Args:
        observation_std: Of the observation's noise, on the scale of observations: 0 or 3 in the paper.
        seed: Of all that is random. None draws one.

    Returns:
        The environment.

    Raises:
        ValueError: If the standard deviation is no number of at least 0.
    """
    environment = MountainHike(observation_std, seed=seed)
    return task_environment.TaskEnvironment(
        environment,
        environment.render,
        task_name="mountain_hike",
        control_time_step=0.1,  # the task has no unit of time: films show ten steps a second
        episode_control_steps=EPISODE_STEPS,
        observations=("state",),
    )
