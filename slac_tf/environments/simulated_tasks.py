"""Rewards and terminations of tasks as functions of what MuJoCo has simulated, for many plans at a time.

Each is the suite's own formula, in the suite's order of operations, on arrays: dm_control 1.0.34 (`suite/<domain>.py`),
Gymnasium's version 4 (`envs/mujoco/<task>_v4.py`) with its default settings. N control steps have N+1 states.
"""

from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple

import numpy as np
from dm_control.utils import rewards


class Course(NamedTuple):
    """What became of plans.

    Attributes:
        model: The `mujoco.MjModel`, with what the task has changed in it for this episode.
        time_step: Simulated seconds of a control step.
        qpos: Positions at the beginning and after each control step, `[J, N+1, nq] float64`.
        qvel: Velocities, `[J, N+1, nv] float64`.
        sensors: Readings of all sensors, `[J, N+1, S] float64`.
        actions: In the task's own bounds and dtype, `[J, N, A]`.
        body_x: Where `Task.stepped_body` is, `[J, N+1] float64`; None for other tasks.
    """

    model: Any
    time_step: float
    qpos: np.ndarray
    qvel: np.ndarray
    sensors: np.ndarray
    actions: np.ndarray
    body_x: Optional[np.ndarray]

    def joint(self, name: str) -> np.ndarray:
        """Position of a hinge or slider after each control step, `[J, N] float64`."""
        return self.qpos[:, 1:, self.model.joint(name).qposadr[0]]

    def sensor(self, name: str) -> np.ndarray:
        """First number of a sensor after each control step, `[J, N] float64`."""
        return self.sensors[:, 1:, self.model.sensor(name).adr[0]]

    def forward_speed(self) -> np.ndarray:
        """Mean speed forward in each control step, `[J, N] float64`."""
        place = self.qpos[:, :, 0] if self.body_x is None else self.body_x
        return np.diff(place, axis=1) / self.time_step

    def squared_action(self) -> np.ndarray:
        """Sum of squares of each action, `[J, N] float64`, added up in the actions' own precision as Gymnasium does."""
        return np.sum(np.square(self.actions), axis=-1).astype(np.float64)


class Task(NamedTuple):
    """A task.

    Attributes:
        reward: Of each control step, `[J, N] float64`.
        terminated: Whether a control step ends the episode for good, `[J, N] bool`.
        stepped_body: A body whose place is rewarded, and which the task reads where MuJoCo's step has left it: in the
            last stage of the Runge-Kutta method, up to millimetres off the state.
    """

    reward: Callable[[Course], np.ndarray]
    terminated: Callable[[Course], np.ndarray]
    stepped_body: Optional[str] = None


def _never(course: Course) -> np.ndarray:
    return np.zeros(course.actions.shape[:2], bool)


def _cheetah_run(course: Course) -> np.ndarray:
    speed = course.sensor("torso_subtreelinvel")
    return rewards.tolerance(speed, bounds=(10, float("inf")), margin=10, value_at_margin=0, sigmoid="linear")


def _walker_walk(course: Course) -> np.ndarray:
    height = course.model.body("torso").pos[2] + course.joint("rootz")
    standing = rewards.tolerance(height, bounds=(1.2, float("inf")), margin=0.6)
    upright = (1 + np.cos(course.joint("rooty"))) / 2
    stand = (3 * standing + upright) / 4
    speed = course.sensor("torso_subtreelinvel")
    move = rewards.tolerance(speed, bounds=(1, float("inf")), margin=0.5, value_at_margin=0.5, sigmoid="linear")
    return stand * (5 * move + 1) / 6


def _finger_spin(course: Course) -> np.ndarray:
    return (course.sensor("hinge_velocity") <= -15.0).astype(np.float64)


def _ball_in_cup_catch(course: Course) -> np.ndarray:
    model, inside = course.model, np.ones(course.actions.shape[:2], bool)
    for axis, letter in ((0, "x"), (2, "z")):
        target = model.body("cup").pos[axis] + course.joint(f"cup_{letter}") + model.site("target").pos[axis]
        ball = model.body("ball").pos[axis] + course.joint(f"ball_{letter}")
        inside &= np.abs(target - ball) < model.site("target").size[axis] - model.geom("ball").size[0]
    return inside.astype(np.float64)


def _cartpole_swingup(course: Course) -> np.ndarray:
    upright = (np.cos(course.joint("hinge_1")) + 1) / 2
    centered = (1 + rewards.tolerance(course.joint("slider"), margin=2)) / 2
    control = course.actions[:, :, 0]
    small_control = (4 + rewards.tolerance(control, margin=1, value_at_margin=0, sigmoid="quadratic")) / 5
    small_velocity = (1 + rewards.tolerance(course.qvel[:, 1:, 1], margin=5)) / 2
    return upright * small_control * small_velocity * centered


def _reacher_easy(course: Course) -> np.ndarray:
    model = course.model
    upper, lower = model.body("hand").pos[0], model.body("finger").pos[0]  # lengths of the arm's two links
    shoulder = course.joint("shoulder")
    both = shoulder + course.joint("wrist")
    x = model.geom("target").pos[0] - (upper * np.cos(shoulder) + lower * np.cos(both))
    y = model.geom("target").pos[1] - (upper * np.sin(shoulder) + lower * np.sin(both))
    radii = model.geom("target").size[0] + model.geom("finger").size[0]
    return rewards.tolerance(np.sqrt(x**2 + y**2), (0, radii))


def _gymnasium(healthy_reward: float, control_cost: float) -> Callable[[Course], np.ndarray]:
    """Speed forward, a reward for being alive (also in the step that ends it), less the cost of the action."""

    def reward(course: Course) -> np.ndarray:
        return course.forward_speed() + healthy_reward - control_cost * course.squared_action()

    return reward


def _outside(values: np.ndarray, bounds: Tuple[float, float]) -> np.ndarray:
    return ~((bounds[0] < values) & (values < bounds[1]))  # also where it is no number


def _hopper_fell(course: Course) -> np.ndarray:
    state = np.concatenate([course.qpos, course.qvel], axis=2)[:, 1:]  # [J, N, nq + nv]
    fell = _outside(state[:, :, 1], (0.7, float("inf"))) | _outside(state[:, :, 2], (-0.2, 0.2))
    return fell | np.any(_outside(state[:, :, 2:], (-100.0, 100.0)), axis=2)


def _walker2d_fell(course: Course) -> np.ndarray:
    return _outside(course.qpos[:, 1:, 1], (0.8, 2.0)) | _outside(course.qpos[:, 1:, 2], (-1.0, 1.0))


def _ant_fell(course: Course) -> np.ndarray:
    state = np.concatenate([course.qpos, course.qvel], axis=2)[:, 1:]  # [J, N, nq + nv]
    return ~(np.all(np.isfinite(state), axis=2) & (0.2 <= state[:, :, 2]) & (state[:, :, 2] <= 1.0))


TASKS: Mapping[str, Task] = {
    "cheetah_run": Task(_cheetah_run, _never),
    "walker_walk": Task(_walker_walk, _never),
    "ball_in_cup_catch": Task(_ball_in_cup_catch, _never),
    "finger_spin": Task(_finger_spin, _never),
    "cartpole_swingup": Task(_cartpole_swingup, _never),
    "reacher_easy": Task(_reacher_easy, _never),
    "HalfCheetah-v4": Task(_gymnasium(0.0, 0.1), _never),
    "Hopper-v4": Task(_gymnasium(1.0, 1e-3), _hopper_fell),
    "Walker2d-v4": Task(_gymnasium(1.0, 1e-3), _walker2d_fell),
    "Ant-v4": Task(_gymnasium(1.0, 0.5), _ant_fell, stepped_body="torso"),
}
