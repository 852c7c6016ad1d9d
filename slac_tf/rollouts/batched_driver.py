"""One policy that acts in several environments: one call of it for a step of all."""

from typing import Any, Callable, Optional, Sequence

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.environments import task_environment


class BatchedDriver:
    """Steps all environments once, each observed by observers of its own.

    An episode that has ended is followed by a reset, which is observed as well, while the others go on.
    """

    def __init__(
        self,
        environments: Sequence[task_environment.TaskEnvironment],
        observers: Sequence[Sequence[Callable[[trajectory_lib.Trajectory], None]]],
    ):
        """Constructor.

        Args:
            environments: Without batch dimension, of equal specs; `[N]` of them.
            observers: Of each environment, called in their order with each of its steps, without batch dimension.
        """
        self._environments = environments
        self._observers = observers
        self._policy: Any = None
        self._policy_state: Any = ()
        self._time_steps: Optional[Sequence[ts.TimeStep]] = None

    def begin(self, policy: Any) -> None:
        """Takes another policy, which begins with an episode in each environment.

        Args:
            policy: A TF-Agents PyPolicy on time steps `[N, …]`.
        """
        self._policy, self._time_steps = policy, None

    def run(self) -> None:
        """Makes one agent step, or a reset, in each environment.

        Raises:
            faults.FaultyEnvironmentError: If an environment fails.
        """
        if self._time_steps is None:
            self._time_steps = [environment.reset() for environment in self._environments]
            self._policy_state = self._policy.get_initial_state(len(self._environments))
        batch = tf.nest.map_structure(lambda *values: np.stack(values), *self._time_steps)
        action_step = self._policy.action(batch, self._policy_state)
        actions = np.asarray(action_step.action)
        before = self._time_steps
        self._time_steps = [environment.step(action) for environment, action in zip(self._environments, actions)]
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
            for observer in observers:
                observer(step)

    def close(self) -> None:
        """Closes the environments."""
        for environment in self._environments:
            environment.close()
