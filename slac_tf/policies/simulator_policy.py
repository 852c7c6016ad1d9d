"""Model predictive control with the true simulator: each action is the first of a plan that was tried out in it."""

from typing import Callable

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

from slac_tf.environments import simulator as simulator_lib
from slac_tf.planning import cem


class SimulatorPolicy:
    """Plans with the cross-entropy method at every agent step, from the state that the environment is in.

    It has what `episodes.run_episodes` asks of a policy. It learns nothing, does not look at observations, and knows
    no value of what comes after its horizon. Its state is the mean that the next plan begins with, `[1, H, A] float32`.
    """

    def __init__(
        self,
        simulator: simulator_lib.Simulator,
        action_size: int,
        settings: cem.CemSettings,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Constructor.

        Args:
            simulator: Of the environment that the policy acts in.
            action_size: A.
            settings: Of the plans.
            should_stop: Asked in every iteration of a plan. Where true, the rest of the plan is worth nothing and comes
                at once: the caller takes no more steps.
        """
        self._simulator = simulator
        self._action_size = action_size
        self._settings = settings
        self._should_stop = should_stop

    def get_initial_state(self, batch_size: int) -> tf.Tensor:
        """Returns zeros, `[B, H, A] float32`."""
        return tf.zeros([batch_size, self._settings.horizon, self._action_size])

    def action(self, time_step: ts.TimeStep, policy_state: tf.Tensor) -> policy_step.PolicyStep:
        """Plans.

        Args:
            time_step: Of the environment, without batch dimension.
            policy_state: The mean to begin with, `[1, H, A] float32`; not looked at where an episode begins.

        Returns:
            The action, `[A] float32` in [-1, 1], and the state.
        """
        start = self._simulator.snapshot()

        def evaluate(candidates: tf.Tensor) -> np.ndarray:
            if self._should_stop():
                return np.zeros(candidates.shape[:2])
            rewards = self._simulator.roll_out(start, candidates[0].numpy()).rewards  # [J, H]
            return rewards.sum(axis=1, dtype=np.float64)[np.newaxis]  # [1, J]

        nothing = self.get_initial_state(1)
        plan = cem.optimize(
            evaluate,
            self._settings,
            batch_size=1,
            action_size=self._action_size,
            first_mean=nothing if time_step.is_first() else policy_state,
        )
        state = cem.shifted(plan.mean) if self._settings.warm_start else nothing
        return policy_step.PolicyStep(plan.mean[0, 0].numpy(), state)
