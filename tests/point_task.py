"""A task that any agent can learn in a minute: drive a point to the middle of a picture that is drawn without GL."""

import gin
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import task_environment

EPISODE_STEPS = 20
_STEP_SIZE = 0.2
_IMAGE_SIZE = 64


class PointEnvironment(py_environment.PyEnvironment):
    """A point in [-1, 1]², moved by the action; the reward is 1 minus its distance to (0, 0).

    Episodes begin anywhere and end by a time limit. Random actions get about 4 of 20, the way straight to
    the middle about 17.
    """

    def __init__(self, seed=None):
        super().__init__(handle_auto_reset=True)
        self._random = np.random.RandomState(seed)
        self._point = np.zeros(2)
        self._num_steps = 0

    def observation_spec(self):
        return array_spec.ArraySpec((2,), np.float32, "state")

    def action_spec(self):
        return array_spec.BoundedArraySpec((2,), np.float32, -1.0, 1.0, "action")

    def render(self, mode="rgb_array"):
        frame = np.zeros((_IMAGE_SIZE, _IMAGE_SIZE, 3), np.uint8)
        frame[28:36, 28:36, 1] = 255  # the target
        row, column = np.round((self._point + 1.0) / 2.0 * (_IMAGE_SIZE - 9)).astype(int)
        frame[row : row + 9, column : column + 9, 0] = 255  # the point
        return frame

    def _reset(self):
        self._num_steps = 0
        self._point = self._random.uniform(-1.0, 1.0, 2)
        return ts.restart(self._point.astype(np.float32))

    def _step(self, action):
        self._num_steps += 1
        self._point = np.clip(self._point + _STEP_SIZE * np.asarray(action), -1.0, 1.0)
        observation, reward = self._point.astype(np.float32), 1.0 - np.linalg.norm(self._point)
        if self._num_steps == EPISODE_STEPS:
            return ts.truncation(observation, reward=reward)
        return ts.transition(observation, reward=reward)


@gin.configurable
def load_point(observations=("pixels",), seed=None):
    """The task as the training loop wants it."""
    environment = PointEnvironment(seed)
    return task_environment.TaskEnvironment(
        environment, environment.render, task_name="point", control_time_step=0.1, observations=observations
    )
