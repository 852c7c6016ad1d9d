"""What stands in for the driver where collectors are other processes."""

import collections
import math
import time
from typing import Any, Callable, Deque, Dict, List, Optional

import numpy as np
import reverb
from absl import logging
from tf_agents.policies import random_py_policy

from slac_tf import types
from slac_tf.distributed import connection as connection_lib
from slac_tf.distributed import pacing, protocol, remote_replay
from slac_tf.replay import tables
from slac_tf.runs import keeper as keeper_lib
from slac_tf.training import settings as settings_lib

_SECONDS_BETWEEN_REPORTS = 5.0


class RemoteDriver:
    """Stands in for the driver: collectors elsewhere make the agent steps, and `run` goes through one of them.

    It also is what collectors hear of: the phase, and the policy, copied between two train steps.

    Attributes:
        is_batched: See `RolloutDriver`.
        generation: Of this learner; that of each start is higher.
        total_agent_steps: Of the whole run.
        chores: What else the main thread does between two steps.
        evaluation_step: Agent step of what is to be evaluated; -1 where nothing is.
    """

    is_batched = False

    def __init__(
        self,
        keeper: keeper_lib.Keeper,
        built: types.BuiltAgent,
        replay: remote_replay.RemoteReplay,
        connection: connection_lib.Connection,
        settings: settings_lib.Settings,
    ):
        """Constructor.

        Args:
            keeper: The run's.
            built: The agent.
            replay: The run's.
            connection: Started.
            settings: The run's.
        """
        self.generation = time.time_ns()
        self.total_agent_steps = -(-settings.schedule.num_env_steps // keeper.action_repeat)
        self.chores: List[Callable[[], None]] = []
        self.evaluation_step = -1
        self._keeper = keeper
        self._variables = protocol.policy_variables(built)
        self._replay = replay
        self._connection = connection
        self._schedule = settings.schedule
        self._random_steps = min(settings.schedule.initial_collect_agent_steps, settings.replay.capacity)
        self._phase = protocol.Phase.HOLD
        self._ledger: Optional[pacing.Ledger] = None
        self._may_lack_windows = False
        self._copy: Optional[List[np.ndarray]] = None
        self._train_step = self._agent_step = self._copied_step = 0
        self._completed = 0  # agent steps whose train steps are made
        self._sent_step = -1
        self._next_copy = 0.0
        self._sent: Optional[protocol.Progress] = None
        self._finished: Deque[float] = collections.deque()
        self._reports: Deque[protocol.Report] = collections.deque()
        self._staleness: Deque[float] = collections.deque()
        self._reported = time.monotonic()
        replay.before_batch = self._before_batch
        connection.does(self._take_steps)
        connection.does(self._take_reports)
        connection.does(self._publish)

    # What the loop asks of a driver; all in the main thread.

    def begin(self, policy: Any) -> None:
        """Has collectors act at random, or with the agent's collect policy.

        Args:
            policy: A `RandomPyPolicy`, or another.
        """
        at_random = isinstance(policy, random_py_policy.RandomPyPolicy)
        self._phase = protocol.Phase.RANDOM if at_random else protocol.Phase.TRAIN
        self._between_steps()

    def run(self) -> None:
        """Goes through the next agent step; waits for it where collectors have not made it."""
        self._next_step()
        counters = self._keeper.counters
        if self._phase is protocol.Phase.RANDOM and self._schedule.random_data_is_complete(
            counters.agent_step, counters.episodes
        ):
            self._phase = protocol.Phase.HOLD

    def start(self) -> None:
        """Collectors go on by themselves."""

    def wait(self) -> None:
        """Collectors go on by themselves."""

    def close(self) -> None:
        """Collectors close their environments themselves."""

    def _next_step(self) -> None:
        counters = self._keeper.counters
        self._completed = counters.agent_step
        self._connection.wait_for(self._is_there, "an agent step of the collectors")
        counters.agent_step += 1
        if self._finished:
            counters.finish_episode(self._finished.popleft())
        self._note()  # which takes no signal: the train steps of this step are not owed yet

    def _is_there(self) -> bool:
        assert self._ledger is not None  # since the first `_note`
        return self._ledger.made > self._keeper.counters.agent_step

    def _before_batch(self) -> None:
        self._between_steps()
        if self._may_lack_windows and self._phase is not protocol.Phase.RANDOM:
            self._may_lack_windows = False
            self._refill()

    def _refill(self) -> None:
        """Goes through agent steps that owe no train step, where replay has lost most of its windows."""
        first = self._keeper.counters.agent_step
        least, phase = min(self._random_steps, first) // 2, self._phase
        while self._replay.size < least and self._keeper.counters.agent_step < self.total_agent_steps - 1:
            if self._keeper.counters.agent_step == first:
                logging.warning(
                    "replay holds %d sequences: collecting until it has %d, without training", self._replay.size, least
                )
            self._phase = protocol.Phase.TRAIN if self._keeper.train_step else protocol.Phase.RANDOM
            self._next_step()
        self._phase = phase

    def _between_steps(self) -> None:
        self._connection.check()
        self._note()

    def _note(self) -> None:
        """Notes where the run is, and copies the policy where it is time to: no train step changes it now."""
        counters = self._keeper.counters
        if self._ledger is None:
            inserted = self._connection.table(tables.STEPS).rate_limiter_info.insert_stats.completed
            self._may_lack_windows = counters.agent_step > 0
            self._completed = counters.agent_step - counters.has_updates
            self._ledger = (
                pacing.Ledger(**counters.ledger)
                if counters.ledger or not counters.agent_step
                else pacing.Ledger(inserted, counters.agent_step - inserted)  # of bin/train_eval's checkpoint
            )
        counters.ledger = self._ledger._asdict()
        self._train_step, self._agent_step = self._keeper.train_step, counters.agent_step
        now = time.monotonic()
        changed = self._copy is None or self._copied_step != self._train_step
        if self._phase is protocol.Phase.TRAIN and changed and now >= self._next_copy:
            position = np.array([self.generation, self._train_step, self._keeper.env_step])
            self._copy, self._copied_step = [position, *(v.numpy() for v in self._variables)], self._train_step
        for chore in self.chores:
            chore()
        if now - self._reported > _SECONDS_BETWEEN_REPORTS and self._reports:
            self._write_reports(now - self._reported)
            self._reported = now

    def _write_reports(self, seconds: float) -> None:
        reports = [self._reports.popleft() for _ in range(len(self._reports))]
        staleness = [self._staleness.popleft() for _ in range(len(self._staleness))]
        num_collectors = len({report.collector for report in reports})
        values = {
            "collectors": num_collectors,
            "waiting": min(1.0, sum(report.waited for report in reports) / seconds / num_collectors),
        }
        if staleness:
            values.update(staleness_mean=float(np.mean(staleness)), staleness_max=max(staleness))
        tagged = {f"Distributed/{name}": value for name, value in values.items()}
        self._keeper.metrics.scalars("train", tagged, self._keeper.env_step)
        self._keeper.metrics.line("collectors", {**self._keeper.position(), **values})

    def finish(self) -> None:
        """Tells the others that the run is done."""
        self._phase = protocol.Phase.DONE
        self._connection.wait_for(lambda: self._sent and self._sent.phase == self._phase, "the replay server")

    # What the connection's thread does.

    def _take_steps(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        if self._ledger is None:
            return
        limiter = info[tables.STEPS].rate_limiter_info
        inserted = limiter.insert_stats.completed
        lost = self._ledger.inserted - inserted
        self._ledger = self._ledger.seen(inserted)
        if lost > 0:
            self._may_lack_windows = True
            logging.warning(
                "the replay server came back from its checkpoint, without the windows of %d agent steps; they stay "
                "counted",
                lost,
            )
        count = self._ledger.to_take(self._completed, inserted, limiter.sample_stats.completed)
        if count:
            list(client.sample(tables.STEPS, count, emit_timesteps=False))

    def _take_reports(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        for item in protocol.newest(client, info, protocol.REPORTS, info[protocol.REPORTS].current_size):
            report = protocol.Report(*map(float, item))
            self._reports.append(report)
            if not math.isnan(report.policy_step):
                self._staleness.append(max(0.0, self._train_step - report.policy_step))
            if not math.isnan(report.episode_return):
                self._finished.append(report.episode_return)

    def _publish(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        copy, begin = self._copy, time.monotonic()
        if copy is not None and (copy[0][1] != self._sent_step or not info[protocol.POLICY].current_size):
            client.insert(copy, {protocol.POLICY: 1.0})
            self._sent_step = int(copy[0][1])
            self._next_copy = time.monotonic() + protocol.seconds_until_next(time.monotonic() - begin)
        position = (self.generation, self._train_step, self._agent_step, self._sent_step, self.evaluation_step)
        progress = protocol.Progress(int(self._phase), *position, self._replay.priority)
        if progress != self._sent or not info[protocol.PROGRESS].current_size:
            client.insert(protocol.arrays(progress), {protocol.PROGRESS: 1.0})
            self._sent = progress
