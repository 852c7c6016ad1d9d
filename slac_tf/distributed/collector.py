"""A collector: steps the newest policy in environments of its own, and writes what comes of it to the server."""

import collections
import contextlib
import functools
import math
import time
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple

import numpy as np
import reverb
import tensorflow as tf
from tf_agents.policies import py_tf_eager_policy, random_py_policy
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf import types
from slac_tf.distributed import connection as connection_lib
from slac_tf.distributed import protocol
from slac_tf.environments import task_environment
from slac_tf.replay import writer as writer_lib
from slac_tf.rollouts import batched_driver, episodes
from slac_tf.runs import signals

_FLUSH_TIMEOUT_MS = 500
_LAST_FLUSH_SECONDS = 5.0
_SECONDS_BETWEEN_REPORTS = 5.0
_DONE_SECONDS = 2.0


class Subscriber:
    """What the learner publishes: where it is, and weights, pulled by the connection's thread.

    Attributes:
        progress: The newest; None before the first.
        position: Generation, step and env step of the weights that `assign` assigned last; empty before the first.
    """

    def __init__(self, connection: connection_lib.Connection, table: str, variables: Sequence[tf.Variable]):
        """Constructor.

        Args:
            connection: Started.
            table: Where the weights are: `protocol.POLICY` or `EVALUATION`.
            variables: To assign them to.
        """
        self.progress: Optional[protocol.Progress] = None
        self.position: Tuple[int, ...] = ()
        self._table = table
        self._step = f"{table}_step"  # of the progress: that of the newest weights
        self._variables = variables
        self._held: Tuple[int, ...] = ()  # generation and step of the newest weights
        self._weights: Optional[List[np.ndarray]] = None
        self._next_pull = 0.0
        self._done_since: Optional[float] = None
        connection.does(self._pull)

    def _pull(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        items = protocol.newest(client, info, protocol.PROGRESS)
        if not items and self.progress is not None:  # the server has started again, perhaps for a run that goes on
            self.progress = self.progress._replace(phase=int(protocol.Phase.HOLD))
        for item in items:
            found = protocol.Progress(*(value.item() for value in item))
            # A server that has just come up may still have that of its checkpoint.
            if self.progress is None or found[1:4] >= self.progress[1:4]:
                self.progress = found
        progress, begin = self.progress, time.monotonic()
        if progress is None or begin < self._next_pull:
            return
        if (progress.generation, getattr(progress, self._step)) <= self._held[:2]:
            return
        for position, *weights in protocol.newest(client, info, self._table):
            key = tuple(position.tolist())
            if key[:2] > self._held[:2]:  # a learner that was started again may have fewer train steps
                self._held, self._weights = key, weights
        self._next_pull = time.monotonic() + protocol.seconds_until_next(time.monotonic() - begin)

    @property
    def has_weights(self) -> bool:
        """Whether there have been any."""
        return bool(self._held)

    def assign(self) -> bool:
        """Gives the variables the newest weights; returns whether there are any that they had not."""
        weights, self._weights = self._weights, None
        if weights is None:
            return False
        for variable, value in zip(self._variables, weights):
            variable.assign(value)
        self.position = self._held
        return True

    @property
    def is_done(self) -> bool:
        """Whether the run is; not at the first word: a server that has just come up may still say so of before."""
        if self.progress is None or self.progress.phase != protocol.Phase.DONE:
            self._done_since = None
            return False
        self._done_since = self._done_since or time.monotonic()
        return time.monotonic() - self._done_since > _DONE_SECONDS


class Reporter:
    """Counts what a collector does, and tells the learner now and then and at each episode's end."""

    def __init__(self, connection: connection_lib.Connection, collector: int, subscriber: Subscriber):
        """Constructor.

        Args:
            connection: Started.
            collector: The collector's number.
            subscriber: The collector's.
        """
        self.waited = 0.0
        self._collector = collector
        self._subscriber = subscriber
        self._totals = episodes.Totals()
        self._last = time.monotonic()
        self._queue: Deque[protocol.Report] = collections.deque()
        connection.does(self._send)

    def observe(self, step: trajectory_lib.Trajectory) -> None:
        """Takes a step, as a driver gives it to its observers."""
        self._totals(step)
        if self._totals.returns or time.monotonic() - self._last > _SECONDS_BETWEEN_REPORTS:
            value = self._totals.returns.pop() if self._totals.returns else math.nan
            policy_step = float(self._subscriber.position[1]) if self._subscriber.position else math.nan
            self._queue.append(protocol.Report(self._collector, policy_step, self.waited, value))
            self._totals.lengths.clear()
            self.waited, self._last = 0.0, time.monotonic()

    def _send(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        del info
        while self._queue:
            report = self._queue[0]
            client.insert([np.float64(value) for value in report], {protocol.REPORTS: 1.0})
            if self._queue and self._queue[0] is report:  # another thread may have sent it, too, where this one hung
                self._queue.popleft()


class Collector:
    """Collects until the run is done."""

    def __init__(
        self,
        environments: Sequence[task_environment.TaskEnvironment],
        built: types.BuiltAgent,
        connection: connection_lib.Connection,
        *,
        number: int,
        seed: int,
    ):
        """Constructor.

        Args:
            environments: Of this collector alone; one policy acts in all of them.
            built: The agent.
            connection: Started.
            number: The collector's.
            seed: Of the random actions.
        """
        self._random_policy = random_py_policy.RandomPyPolicy(
            environments[0].time_step_spec(), environments[0].action_spec(), seed=seed
        )
        self._policy = py_tf_eager_policy.PyTFEagerPolicy(
            built.agent.collect_policy, use_tf_function=True, batch_time_steps=False
        )
        self._connection = connection
        self._subscriber = Subscriber(connection, protocol.POLICY, protocol.policy_variables(built))
        self._writers = []
        observers: List[List[Callable[[trajectory_lib.Trajectory], None]]] = []
        for _ in environments:
            writer = writer_lib.WindowWriter(
                connection.address,
                built.agent.collect_data_spec,
                sequence_length=built.sequence_length,
                trained_step=built.trained_step,
                count_steps=True,
                timeout_ms=_FLUSH_TIMEOUT_MS,
                on_timeout=self._behind,
            )
            reporter = Reporter(connection, number, self._subscriber)
            self._writers.append(writer)
            observers.append([functools.partial(self._write, writer, reporter), reporter.observe])
        self._driver = batched_driver.BatchedDriver(environments, observers)
        self._phase = protocol.Phase.HOLD  # of the steps made last

    def run(self, works: Callable[[], None]) -> None:
        """Collects.

        Args:
            works: Called after each agent step.

        Raises:
            signals.Stopped: If a signal asks to stop; what was collected is written by then.
            connection_lib.PeerGoneError: If the server was away for too long.
            faults.FaultyEnvironmentError: If the environment fails.
        """
        try:
            while not self._subscriber.is_done:
                self._connection.check()
                if self._begins_or_goes_on():
                    self._driver.run()
                    works()
                else:
                    self._hold()
        finally:
            self._flush_for_the_last_time()

    def _begins_or_goes_on(self) -> bool:
        """Whether there is to be an agent step, of the policy that the driver then has."""
        progress = self._subscriber.progress
        phase = protocol.Phase.HOLD if progress is None else protocol.Phase(progress.phase)
        if phase is protocol.Phase.TRAIN and self._subscriber.has_weights:
            self._subscriber.assign()
            policy = self._policy
        elif phase is protocol.Phase.RANDOM:
            policy = self._random_policy
        else:
            return False
        if self._phase is not phase:
            self._driver.begin(policy)
        self._phase = phase
        return True

    def _hold(self) -> None:
        for writer in self._writers:
            writer.flush()
        seen = self._subscriber.progress
        self._connection.wait_for(
            lambda: self._subscriber.progress is not seen or self._subscriber.is_done, "the learner"
        )

    def close(self) -> None:
        """Closes the environment."""
        self._driver.close()

    def _write(self, writer: writer_lib.WindowWriter, reporter: Reporter, step: trajectory_lib.Trajectory) -> None:
        if self._subscriber.progress is not None:
            writer.priority = self._subscriber.progress.priority
        begin = time.monotonic()
        writer.add(step)
        reporter.waited += time.monotonic() - begin

    def _behind(self) -> None:
        self._connection.behind()
        if self._subscriber.is_done:
            raise signals.Stopped

    def _flush_for_the_last_time(self) -> None:
        end = time.monotonic() + _LAST_FLUSH_SECONDS

        def give_up() -> None:
            if time.monotonic() > end:
                raise signals.Stopped

        with contextlib.suppress(signals.Stopped):
            for writer in self._writers:
                writer.on_timeout = give_up
                writer.flush()
