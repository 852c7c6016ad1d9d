"""The point task with frames that say where they come from: the environment's seed, its episode and the step in it."""

import time

import gin
import numpy as np
import point_task

from slac_tf.environments import task_environment


class NumberedPoint(point_task.PointEnvironment):
    """Its frames are drawn in the first row: three numbers of eight bytes."""

    def __init__(self, seed, sleep_seconds):
        super().__init__(seed)
        self._sleep_seconds = sleep_seconds
        self._seed = seed
        self._episode = -1

    def _step(self, action):
        time.sleep(self._sleep_seconds)
        return super()._step(action)

    def _reset(self):
        self._episode += 1
        return super()._reset()

    def render(self, mode="rgb_array"):
        frame = np.zeros((64, 64, 3), np.uint8)
        numbers = np.array([self._seed, self._episode, self._num_steps], np.int64)
        frame.reshape(-1)[:24] = np.frombuffer(numbers.tobytes(), np.uint8)
        return frame


def numbers(pixels):
    """The three numbers of frames, `[…, 64, 64, 3] uint8` to `[…, 3] int64`."""
    flat = np.ascontiguousarray(np.asarray(pixels).reshape(*pixels.shape[:-3], -1)[..., :24])
    return flat.view(np.int64)


@gin.configurable
def load_numbered_point(observations=("pixels",), seed=None, sleep_seconds=0.0):
    """The task as the training loop wants it; each step takes that long at least."""
    environment = NumberedPoint(seed, sleep_seconds)
    return task_environment.TaskEnvironment(
        environment, environment.render, task_name="numbered_point", control_time_step=0.1, observations=observations
    )
