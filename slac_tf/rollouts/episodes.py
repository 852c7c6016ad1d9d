"""Whole episodes of a policy: their returns, lengths and frames."""

from typing import Any, Callable, List, NamedTuple

import numpy as np
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.environments import faults, task_environment
from slac_tf.rollouts import rollout_driver

# 27 times the length of an episode in either suite, and that of the longest common ones, half an hour of Atari.
MAX_AGENT_STEPS = 27_000


class Episodes(NamedTuple):
    """What a policy achieved.

    Attributes:
        returns: Sum of rewards of each episode, `[N] float64`.
        lengths: Agent steps of each episode, `[N] int64`.
        frames: Of the first episode, those that the policy acted on, `[T, H, W, 3] uint8`; empty where none were
            asked for.
    """

    returns: np.ndarray
    lengths: np.ndarray
    frames: np.ndarray


class Totals:
    """An observer that adds up rewards and agent steps of episodes.

    Attributes:
        returns: Of the finished episodes.
        lengths: Agent steps of the finished episodes.
        length: Agent steps of the episode in progress, 0 between two.
    """

    def __init__(self) -> None:
        self.returns: List[float] = []
        self.lengths: List[int] = []
        self.length = 0
        self._return = 0.0

    def __call__(self, step: trajectory_lib.Trajectory) -> None:
        """Takes a step of an environment without batch dimension; a reset counts nothing.

        Args:
            step: As a driver gives it to its observers.
        """
        if np.asarray(step.is_boundary()):
            return
        if np.asarray(step.is_first()):  # also where the episode before was broken off
            self.length, self._return = 0, 0.0
        self.length += 1
        self._return += float(step.reward)
        if np.asarray(step.is_last()):
            self.returns.append(self._return)
            self.lengths.append(self.length)
            self.length = 0


class _Filmed:
    """A policy that keeps a picture of what it acts on, also where it sees no pixels."""

    def __init__(self, policy: Any, environment: task_environment.TaskEnvironment):
        self._policy, self._environment = policy, environment
        self.frames: List[np.ndarray] = []

    def get_initial_state(self, batch_size: int) -> Any:
        return self._policy.get_initial_state(batch_size)

    def action(self, time_step: ts.TimeStep, state: Any) -> Any:
        frame = time_step.observation.get("pixels")
        self.frames.append(self._environment.render() if frame is None else np.asarray(frame))
        return self._policy.action(time_step, state)


def run_episodes(
    environment: task_environment.TaskEnvironment,
    policy: Any,
    num_episodes: int,
    *,
    record: bool,
    should_stop: Callable[[], bool] = lambda: False,
    max_agent_steps: int = MAX_AGENT_STEPS,
) -> Episodes:
    """Runs whole episodes.

    Args:
        environment: Without batch dimension.
        policy: A TF-Agents PyPolicy, or what has its `get_initial_state` and `action`.
        num_episodes: How many.
        record: Whether to keep the frames of the first one.
        should_stop: Asked at every step; where true, what is finished is returned.
        max_agent_steps: The longest that an episode may be.

    Returns:
        The episodes.

    Raises:
        ValueError: If `num_episodes` is not positive.
        faults.FaultyEnvironmentError: If an episode does not end, or the environment fails.
    """
    if num_episodes < 1:
        raise ValueError(f"num_episodes: {num_episodes}, expected at least 1")
    totals, filmed = Totals(), _Filmed(policy, environment)
    driver = rollout_driver.RolloutDriver(environment, observers=[totals], overlap=False)
    for episode in range(num_episodes):
        driver.begin(filmed if record and episode == 0 else policy)
        while len(totals.returns) == episode:
            if should_stop():
                return Episodes(np.array(totals.returns), np.array(totals.lengths), np.array(filmed.frames, np.uint8))
            if totals.length == max_agent_steps:
                raise faults.FaultyEnvironmentError(
                    f"{environment.task_name}: episode {episode + 1} has not ended after {totals.length} agent steps: "
                    "give the environment a time limit, or bind EvaluationSettings.max_episode_agent_steps to more"
                )
            driver.run()
    return Episodes(np.array(totals.returns), np.array(totals.lengths), np.array(filmed.frames, np.uint8))
