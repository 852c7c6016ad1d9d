"""What would become of plans: rolled out in MuJoCo, in threads, from the state that an environment is in."""

import concurrent.futures
import os
from typing import Any, NamedTuple, Optional

import numpy as np

from slac_tf.environments import simulated_tasks, task_environment


class Snapshot(NamedTuple):
    """All that the physics goes on from.

    Attributes:
        state: MuJoCo's `mjSTATE_FULLPHYSICS`, `[S] float64`: time, positions, velocities, activations.
        warm_start: Accelerations that the solver of contacts begins with, `[nv] float64`. Its answer depends on
            them in the last digits, and contacts make much of these.
        xpos: Where the bodies are, as the last step has left them, `[bodies, 3] float64`.
    """

    state: np.ndarray
    warm_start: np.ndarray
    xpos: np.ndarray


class Outcome(NamedTuple):
    """What became of plans.

    Attributes:
        rewards: Of each agent step, `[J, H] float32`; 0 after the step that ends the episode.
        qpos: Positions after the last agent step, `[J, nq] float64`; beyond a termination the physics goes on.
        qvel: Velocities after it, `[J, nv] float64`.
    """

    rewards: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray


class Simulator:
    """Rolls out plans from an environment's state, without touching the environment.

    Rewards, terminations and roundings are the environment's own. The time limit of an episode is not known here: plans
    go beyond it.

    Attributes:
        control_steps: Control steps simulated so far, of all plans.
    """

    def __init__(self, environment: task_environment.TaskEnvironment) -> None:
        """Constructor.

        Args:
            environment: A task of `simulated_tasks.TASKS` from either suite. It is not closed with this.

        Raises:
            ValueError: If it is another task.
        """
        wrapped: Any = environment.wrapped_env()
        if environment.task_name not in simulated_tasks.TASKS or not hasattr(wrapped, "mujoco_model"):
            known = ", ".join(simulated_tasks.TASKS)
            raise ValueError(
                f"{environment.task_name}: no task that plans can be simulated in, expected one of {known}"
            )
        # MuJoCo chooses its GL backend when it is imported, which the environment's loader has prepared.
        import mujoco
        import mujoco.rollout

        self._mujoco: Any = mujoco
        self._environment = environment
        self._wrapped = wrapped
        self._task = simulated_tasks.TASKS[environment.task_name]
        self._model = wrapped.mujoco_model
        self._kind = mujoco.mjtState.mjSTATE_FULLPHYSICS
        self._control_time_step = environment.agent_time_step / environment.action_repeat
        self._substeps = round(self._control_time_step / self._model.opt.timestep)
        threads = len(os.sched_getaffinity(0))
        self._data = [mujoco.MjData(self._model) for _ in range(threads)]  # a thread's own
        self._pool = mujoco.rollout.Rollout(nthread=threads)
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "simulator")
        self.control_steps = 0

    def snapshot(self) -> Snapshot:
        """Returns the state that the environment is in."""
        data = self._wrapped.mujoco_data
        state = np.empty(self._mujoco.mj_stateSize(self._model, self._kind))
        self._mujoco.mj_getState(self._model, data, state, self._kind)
        return Snapshot(state, data.qacc_warmstart.copy(), data.xpos.copy())

    def roll_out(self, start: Snapshot, plans: np.ndarray) -> Outcome:
        """Simulates plans, each from the same state.

        Args:
            start: The state.
            plans: Actions of H agent steps, `[J, H, A] float32` in [-1, 1].

        Returns:
            The outcome.
        """
        repeat, (num_plans, horizon, _) = self._environment.action_repeat, plans.shape
        actions = self._environment.to_native(plans).repeat(repeat, axis=1)  # [J, N, A], N = H * repeat
        self.control_steps += actions.shape[0] * actions.shape[1]
        course = (self._rolled_out if self._task.stepped_body is None else self._stepped)(start, actions)
        rewards, terminated = self._task.reward(course), self._task.terminated(course)
        over = np.cumsum(terminated, axis=1) - terminated > 0  # since an earlier control step, [J, N]
        # The environment's roundings: float32 a control step, added up in float64, float32 an agent step.
        rewards = np.where(over, 0.0, rewards.astype(np.float32).astype(np.float64))
        rewards = rewards.reshape(num_plans, horizon, repeat).sum(axis=2).astype(np.float32)
        return Outcome(rewards, course.qpos[:, -1], course.qvel[:, -1])

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()
        self._pool.close()

    def _rolled_out(self, start: Snapshot, actions: np.ndarray) -> simulated_tasks.Course:
        """All physics steps of all plans in one call."""
        controls = actions.repeat(self._substeps, axis=1).astype(np.float64)  # [J, N * substeps, A]
        # Sensors are read before a physics step. One more reads those of the last state, whatever its control.
        controls = np.concatenate([controls, controls[:, -1:]], axis=1)
        states, sensors = self._pool.rollout(
            self._model, self._data, start.state[np.newaxis], controls, initial_warmstart=start.warm_start[np.newaxis]
        )
        # After each control step: state k * substeps - 1, sensors k * substeps.
        states, sensors = states[:, self._substeps - 1 : -1 : self._substeps], sensors[:, :: self._substeps]
        return self._course(start, states, sensors, actions, None)

    def _stepped(self, start: Snapshot, actions: np.ndarray) -> simulated_tasks.Course:
        """One call for each control step of each plan, which costs time, and sees where MuJoCo leaves the bodies."""
        (num_plans, num_steps, _), body = actions.shape, self._model.body(self._task.stepped_body).id
        states = np.empty((num_plans, num_steps, len(start.state)))
        body_x = np.empty((num_plans, num_steps + 1))
        body_x[:, 0] = start.xpos[body, 0]

        def step(thread: int) -> None:
            data = self._data[thread]
            for plan in range(thread, num_plans, len(self._data)):
                self._mujoco.mj_setState(self._model, data, start.state, self._kind)
                data.qacc_warmstart[:] = start.warm_start
                for k in range(num_steps):
                    data.ctrl[:] = actions[plan, k]
                    self._mujoco.mj_step(self._model, data, self._substeps)
                    self._mujoco.mj_getState(self._model, data, states[plan, k], self._kind)
                    body_x[plan, k + 1] = data.xpos[body, 0]

        list(self._threads.map(step, range(len(self._data))))  # raises what a thread has raised
        sensors = np.empty((num_plans, num_steps + 1, 0))
        return self._course(start, states, sensors, actions, body_x)

    def _course(
        self,
        start: Snapshot,
        states: np.ndarray,
        sensors: np.ndarray,
        actions: np.ndarray,
        body_x: Optional[np.ndarray],
    ) -> simulated_tasks.Course:
        first = np.broadcast_to(start.state, (len(states), 1, len(start.state)))
        states = np.concatenate([first, states], axis=1)  # [J, N+1, S]: time, positions, velocities, activations
        nq, nv = self._model.nq, self._model.nv
        return simulated_tasks.Course(
            model=self._model,
            time_step=self._control_time_step,
            qpos=states[:, :, 1 : 1 + nq],
            qvel=states[:, :, 1 + nq : 1 + nq + nv],
            sensors=sensors,
            actions=actions,
            body_x=body_x,
        )
