"""Agent steps: a policy's action and the environment's answer, which may come while the agent trains."""

import concurrent.futures
import contextlib
from typing import Any, Callable, NamedTuple, Optional, Sequence

import gin
from tf_agents.drivers import driver
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.environments import faults, task_environment


class _Pending(NamedTuple):
    """A step that the environment was given."""

    time_step: ts.TimeStep
    action_step: policy_step.PolicyStep
    answer: Callable[[], ts.TimeStep]


@gin.configurable
class RolloutDriver(driver.Driver):
    """A TF-Agents driver that makes one agent step after the other, each observed only when it is finished.

    With overlap, the environment lives in a thread of its own (a GL context belongs to one thread), and
    what `start` gives it is simulated and rendered while the caller does something else. The action is
    chosen before, in the caller's thread, so that no policy reads weights that are being changed.

    Attributes:
        is_batched: Whether policies are to take time steps with a batch dimension.
    """

    is_batched = False

    def __init__(
        self,
        env: task_environment.TaskEnvironment,
        policy: Any = None,
        observers: Sequence[Callable[[trajectory_lib.Trajectory], None]] = (),
        *,
        overlap: bool = True,
    ):
        """Constructor.

        Args:
            env: Without batch dimension; not used elsewhere from now on.
            policy: A TF-Agents PyPolicy, or what has its `get_initial_state` and `action`; None until `begin`.
            observers: Called with each step, resets between episodes among them, in this order.
            overlap: Whether the next agent step is simulated and rendered while the agent trains. Its action is
                then chosen before those train steps, not after them; order and numbers stay the same.

        Raises:
            ValueError: If `overlap` is neither True nor False.
        """
        if not isinstance(overlap, bool):
            raise ValueError(f"RolloutDriver.overlap: {overlap!r}, expected True or False")
        super().__init__(env, policy, list(observers))
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "environment") if overlap else None
        self._policy_state: Any = ()
        self._time_step: Optional[ts.TimeStep] = None
        self._pending: Optional[_Pending] = None

    def begin(self, policy: Any) -> None:
        """Takes another policy, which begins with an episode.

        Args:
            policy: As the constructor takes it.
        """
        self.wait()
        self._policy, self._time_step, self._pending = policy, None, None

    def run(self) -> None:
        """Makes one agent step, or ends the one that was started, and shows it to the observers.

        Between two episodes the reset comes first, which is no agent step but is observed.

        Raises:
            faults.FaultyEnvironmentError: If the environment fails.
        """
        pending, self._pending = self._pending, None
        self._observe(self._give_action() if pending is None else pending)

    def start(self) -> None:
        """With overlap, begins the next agent step, which `run` then ends."""
        if self._thread is not None and self._pending is None:
            self._pending = self._give_action()

    def wait(self) -> None:
        """Waits until the environment does nothing."""
        if self._pending is not None:
            self._pending.answer()

    def close(self) -> None:
        """Closes the environment; what a step that is under way ends with is of no interest any more."""
        with contextlib.suppress(faults.FaultyEnvironmentError):
            self.wait()
        try:
            self._call(self._env.close)()
        finally:
            if self._thread is not None:
                self._thread.shutdown()

    def _give_action(self) -> _Pending:
        if self._time_step is None:
            self._time_step = self._call(self._env.reset)()
            self._policy_state = self._policy.get_initial_state(1)
        if self._time_step.is_last():  # the reset is a step of the stream, too, with an action that has no effect
            self._observe(self._act(self._time_step))
        return self._act(self._time_step)

    def _act(self, time_step: ts.TimeStep) -> _Pending:
        action_step = self._policy.action(time_step, self._policy_state)
        return _Pending(time_step, action_step, self._call(self._env.step, action_step.action))

    def _observe(self, pending: _Pending) -> None:
        next_time_step = pending.answer()
        step = trajectory_lib.Trajectory(
            step_type=pending.time_step.step_type,
            observation=pending.time_step.observation,
            action=pending.action_step.action,
            policy_info=pending.action_step.info,
            next_step_type=next_time_step.step_type,
            reward=next_time_step.reward,
            discount=next_time_step.discount,
        )
        self._time_step, self._policy_state = next_time_step, pending.action_step.state
        for observer in self._observers:
            observer(step)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Begins a call in the environment's thread, or makes it at once; gives what returns its result."""
        if self._thread is not None:
            return self._thread.submit(function, *arguments).result
        result = function(*arguments)
        return lambda: result
