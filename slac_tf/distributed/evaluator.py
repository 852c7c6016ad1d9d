"""Evaluation as a process of its own: episodes, films and exports there, the numbers back to the learner.

All numbers of a run are written by its learner, so they agree with its checkpoints.
"""

import collections
import pathlib
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple

import numpy as np
import reverb
import tensorflow as tf
from absl import logging

from slac_tf import types
from slac_tf.distributed import collector, liveness, protocol, remote_driver, remote_replay
from slac_tf.distributed import connection as connection_lib
from slac_tf.environments import task_environment
from slac_tf.rollouts import episodes
from slac_tf.runs import keeper as keeper_lib
from slac_tf.runs import run_dir
from slac_tf.training import evaluation
from slac_tf.training import settings as settings_lib

_NO_FRAMES = np.zeros([0], np.uint8)


class RemoteEvaluator:
    """Stands in for the learner's evaluator: it has another process evaluate, one evaluation after the other.

    While one is made the newest other one waits; the learner waits for that of the run's end alone.
    """

    def __init__(
        self,
        built: types.BuiltAgent,
        connection: connection_lib.Connection,
        keeper: keeper_lib.Keeper,
        here: evaluation.Evaluator,
        driver: remote_driver.RemoteDriver,
    ):
        """Constructor.

        Args:
            built: The agent.
            connection: Started.
            keeper: The run's.
            here: The run's evaluator, which writes the numbers.
            driver: The run's.
        """
        self._keeper = keeper
        self._here = here
        self._names = list(built.policies)
        self._variables = protocol.agent_variables(built)
        self._driver = driver
        self._connection = connection
        # Positions, with weights; the first of them is under way.
        self._pending: Deque[Tuple[Dict[str, Any], List[np.ndarray]]] = collections.deque()
        self._returns: Deque[List[np.ndarray]] = collections.deque()
        driver.chores.append(self._write)
        connection.does(self._exchange)

    def is_due(self, env_step: int, action_repeat: int) -> bool:
        """See `evaluation.Evaluator`."""
        return self._here.is_due(env_step, action_repeat)

    def evaluate(self, position: Mapping[str, Any], replay: Any, should_stop: Callable[[], bool]) -> None:
        """Has the agent evaluated as it is now; what comes of it is written later.

        Args:
            position: See `evaluation.Evaluator`.
            replay: The other process has one of its own.
            should_stop: The connection asks as well.
        """
        del replay, should_stop
        if all(position["agent_step"] != other["agent_step"] for other, _ in self._pending):
            key = np.array([self._driver.generation, position["agent_step"], position["env_step"]])
            if len(self._pending) > 1:
                dropped, _ = self._pending.pop()
                logging.warning("no evaluation at env step %d: two are not finished yet", dropped["env_step"])
            self._pending.append((dict(position), [key, *(variable.numpy() for variable in self._variables)]))
        if position["agent_step"] >= self._driver.total_agent_steps:
            self._connection.wait_for(self._all_written, "the evaluator")

    def _all_written(self) -> bool:
        self._write()
        return not self._pending

    def _write(self) -> None:
        """Writes what came back; in the main thread."""
        while self._returns:
            key, values = self._returns.popleft()
            if not self._pending or key.tolist() != self._pending[0][1][0].tolist():
                continue  # of a learner before this one, or made twice
            position, _ = self._pending.popleft()
            results = {
                name: episodes.Episodes(values[0, number], values[1, number], _NO_FRAMES)
                for number, name in enumerate(self._names)
            }
            means = self._here.write(results, position)
            self._keeper.counters.last_eval = {"agent_step": position["agent_step"], **means}

    def _exchange(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        self._returns.extend(protocol.newest(client, info, protocol.RETURNS, info[protocol.RETURNS].current_size))
        if not self._pending:
            return
        item = self._pending[0][1]
        step = int(item[0][1])
        if step != self._driver.evaluation_step or not info[protocol.EVALUATION].current_size:
            client.insert(item, {protocol.EVALUATION: 1.0})
            self._driver.evaluation_step = step


class _Films:
    """Of the run's metrics, what an evaluator writes: events of its own, that no checkpoint of the learner cuts."""

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        self._writer: Optional[tf.summary.SummaryWriter] = None

    def writer(self, name: str) -> tf.summary.SummaryWriter:
        del name
        if self._writer is None:  # by now the run has taken its directory
            self._writer = tf.summary.create_file_writer(str(self._directory))
        return self._writer


def run(
    environment: task_environment.TaskEnvironment,
    built: types.BuiltAgent,
    connection: connection_lib.Connection,
    settings: settings_lib.EvaluationSettings,
    root: pathlib.Path,
    *,
    seed: int,
    config: str,
    stop: liveness.StopRequest,
) -> None:
    """Evaluates whatever the learner asks for, until the run is done.

    Args:
        environment: Of this process alone.
        built: The agent.
        connection: Started.
        settings: Of evaluations.
        root: The run's directory.
        seed: The run's, for the record.
        config: All gin bindings as text, for the exports.
        stop: The connection's.

    Raises:
        signals.Stopped: If a signal asks to stop; an evaluation under way leaves nothing.
        connection_lib.PeerGoneError: If the server was away for too long.
        faults.FaultyEnvironmentError, storage.StorageError: As `evaluation.Evaluator` does.
    """
    directory, films = run_dir.RunDir(root), _Films(root / "eval" / "films")
    evaluator = evaluation.Evaluator(environment, built, directory, films, settings, seed=seed, config=config)
    replay = remote_replay.RemoteReplay(connection, built)
    subscriber = collector.Subscriber(connection, protocol.EVALUATION, protocol.agent_variables(built))
    sent: Deque[List[np.ndarray]] = collections.deque()

    def send(client: reverb.Client, info: Dict[str, Any]) -> None:
        del info
        while sent:
            client.insert(sent[0], {protocol.RETURNS: 1.0})
            sent.popleft()

    connection.does(send)
    stop.works()
    while not subscriber.is_done:
        connection.check()
        if not subscriber.assign():
            connection.pause()
            continue
        results: Optional[Dict[str, episodes.Episodes]] = evaluator.run(
            subscriber.position[2], replay, lambda: bool(stop)
        )
        if results is not None:
            values = [
                [results[name].returns for name in built.policies],
                [results[name].lengths for name in built.policies],
            ]
            sent.append([np.array(subscriber.position), np.array(values, np.float64)])
