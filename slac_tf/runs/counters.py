"""What a run has done so far."""

import collections
import dataclasses
import math
from typing import Any, Dict, List

import numpy as np
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.rollouts import episodes

_NUM_RECENT_EPISODES = 10


@dataclasses.dataclass
class Counters:
    """Counts and results of a run; train steps are counted by the agent.

    Attributes:
        agent_step: Calls of the policy that the environment answered, the random ones among them.
        episodes: Finished training episodes.
        recent_returns: Of the last 10 training episodes, oldest first.
        random_return: Mean return of the last 10 episodes collected at random; NaN before that is known.
        updates_owed: Train steps due but not made; below 1 where an agent step comes next.
        last_eval: Mean returns of the newest evaluation, and its `agent_step`.
        ledger: Of a run whose collectors are processes of their own: see `distributed.pacing.Ledger`.
    """

    agent_step: int = 0
    episodes: int = 0
    recent_returns: List[float] = dataclasses.field(default_factory=list)
    random_return: float = math.nan
    updates_owed: float = 0.0
    last_eval: Dict[str, Any] = dataclasses.field(default_factory=dict)
    ledger: Dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        # By stream; a resumed run begins the episodes in progress anew.
        self._totals: Dict[int, episodes.Totals] = collections.defaultdict(episodes.Totals)

    @property
    def recent_return(self) -> float:
        """Mean return of the last 10 training episodes; NaN before the first is finished."""
        return float(np.mean(self.recent_returns)) if self.recent_returns else math.nan

    def observe(self, step: trajectory_lib.Trajectory, stream: int = 0) -> None:
        """Counts one step of an environment without batch dimension.

        Args:
            step: As a TF-Agents driver gives it to its observers.
            stream: Which of several environments it is of.
        """
        totals = self._totals[stream]
        totals(step)
        self.agent_step += not np.asarray(step.is_boundary())
        if totals.returns:
            self.finish_episode(totals.returns.pop())
            totals.lengths.clear()

    def finish_episode(self, episode_return: float) -> None:
        """Counts an episode.

        Args:
            episode_return: Sum of its rewards.
        """
        self.episodes += 1
        self.recent_returns = [*self.recent_returns, episode_return][-_NUM_RECENT_EPISODES:]

    @property
    def has_updates(self) -> bool:
        """Whether train steps are due."""
        return self.updates_owed >= 1

    def state(self) -> Dict[str, Any]:
        """What a checkpoint keeps.

        Returns:
            Plain numbers, lists and dicts.
        """
        return dataclasses.asdict(self)
