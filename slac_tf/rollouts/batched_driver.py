"""One policy that acts in several environments: one call of it for a step of all."""

import collections
import concurrent.futures
import functools
from typing import Any, Callable, Deque, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.environments import task_environment

_Observer = Callable[[trajectory_lib.Trajectory], None]


class BatchedDriver:
    """Steps all environments at once, each in a thread, and shows their steps one by one to its own observers.

    So whoever calls `run` goes through agent steps as with one environment; all of a batch have the same policy. An
    episode that has ended is followed by a reset, which is observed as well, while the others go on.

    Attributes:
        is_batched: Whether policies are to take time steps with a batch dimension.
    """

    is_batched = True

    def __init__(
        self,
        environments: Sequence[task_environment.TaskEnvironment],
        observers: Sequence[Sequence[_Observer]],
    ):
        """Constructor.

        Args:
            environments: Without batch dimension, of equal specs; `[N]` of them.
            observers: Of each environment, called in their order with each of its steps, without batch dimension.
        """
        self._environments = environments
        # One thread each, for an environment's GL context stays in the thread that made it current.
        self._threads = [concurrent.futures.ThreadPoolExecutor(1, "environment") for _ in environments]
        self._observers = observers
        self._policy: Any = None
        self._policy_state: Any = ()
        self._time_steps: Optional[Sequence[ts.TimeStep]] = None
        self._made: Deque[Tuple[trajectory_lib.Trajectory, Sequence[_Observer]]] = collections.deque()

    def begin(self, policy: Any) -> None:
        """Takes another policy, which begins with an episode in each environment.

        Args:
            policy: A TF-Agents PyPolicy on time steps `[N, …]`.
        """
        self._policy, self._time_steps = policy, None
        self._made.clear()

    def run(self) -> None:
        """Shows the next agent step to its observers, and the resets before it; makes a step of all where none is left.

        Raises:
            faults.FaultyEnvironmentError: If an environment fails.
        """
        is_reset = True
        while is_reset:
            if not self._made:
                self._step_all()
            step, observers = self._made.popleft()
            for observer in observers:
                observer(step)
            is_reset = bool(np.asarray(step.is_boundary()))

    def start(self) -> None:
        """Nothing is done ahead."""

    def wait(self) -> None:
        """Nothing is done ahead."""

    def _step_all(self) -> None:
        if self._time_steps is None:
            self._time_steps = self._all([environment.reset for environment in self._environments])
            self._policy_state = self._policy.get_initial_state(len(self._environments))
        batch = tf.nest.map_structure(lambda *values: np.stack(values), *self._time_steps)
        action_step = self._policy.action(batch, self._policy_state)
        actions = np.asarray(action_step.action)
        before = self._time_steps
        self._time_steps = self._all(
            [functools.partial(environment.step, action) for environment, action in zip(self._environments, actions)]
        )
        self._policy_state = action_step.state
        for time_step, action, after, observers in zip(before, actions, self._time_steps, self._observers):
            step = trajectory_lib.Trajectory(
                step_type=time_step.step_type,
                observation=time_step.observation,
                action=action,
                policy_info=(),
                next_step_type=after.step_type,
                reward=after.reward,
                discount=after.discount,
            )
            self._made.append((step, observers))

    def _all(self, calls: Sequence[Callable[[], Any]]) -> List[Any]:
        """Makes a call in each environment's thread, and waits for all."""
        made = [thread.submit(call) for thread, call in zip(self._threads, calls)]
        concurrent.futures.wait(made)
        return [call.result() for call in made]

    def close(self) -> None:
        """Closes the environments."""
        try:
            self._all([environment.close for environment in self._environments])
        finally:
            for thread in self._threads:
                thread.shutdown()
