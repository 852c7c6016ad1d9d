"""The point task with troubles, each of which begins at a chosen step."""

import gin
import numpy as np
import point_task
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import task_environment

_FIRST_EVAL_SEED = 1_000_000  # train_eval loads the environment of evaluations with a seed above it


class FaultyPoint(point_task.PointEnvironment):
    """A `PointEnvironment` that has a trouble from its control step `at` on, counted over all episodes."""

    def __init__(self, seed, trouble, at):
        super().__init__(seed)
        self._trouble, self._at = trouble, at
        self._total = 0

    @property
    def _now(self):
        return self._total >= self._at

    def render(self, mode="rgb_array"):
        frame = super().render(mode)
        if self._now and self._trouble == "frame_shape":
            return frame[:32]
        return frame / 255.0 if self._now and self._trouble == "frame_dtype" else frame

    def close(self):
        if self._trouble == "close":
            raise OSError("the simulator is gone")

    def _reset(self):
        if self._now and self._trouble == "reset":
            raise RuntimeError("no simulator answers\n  on port 5555")
        return super()._reset()

    def _step(self, action):
        self._total += 1
        step = super()._step(action)
        if self._trouble == "one_step":
            return ts.truncation(step.observation, reward=step.reward)
        if self._trouble == "endless":
            return ts.transition(step.observation, reward=step.reward)
        if not self._now:
            return step
        if self._trouble == "step":
            raise ZeroDivisionError("division by zero")
        changes = {
            "nan_reward": {"reward": np.float32(np.nan)},
            "huge_reward": {"reward": np.float32(1e38)},
            "vector_reward": {"reward": np.ones(2, np.float32)},
            "infinite_state": {"observation": np.float32([0, np.inf])},
            "state_shape": {"observation": np.zeros(3, np.float32)},
            "state_dtype": {"observation": np.array(["left", "right"])},
        }
        return step._replace(**changes.get(self._trouble, {}))


@gin.configurable
def load_faulty_point(seed, trouble="", at=1, in_training=True, in_evaluation=False, observations=("state",)):
    """The task, in trouble where it is asked for."""
    chosen = in_evaluation if seed >= _FIRST_EVAL_SEED else in_training
    environment = FaultyPoint(seed, trouble if chosen else "", at)
    return task_environment.TaskEnvironment(
        environment, environment.render, task_name="point", control_time_step=0.1, observations=observations
    )
