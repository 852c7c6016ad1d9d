"""Evaluation as a process of its own: episodes, films and exports there, the numbers back to the learner.

All numbers of a run are written by its learner, so they agree with its checkpoints.
"""

import collections
import json
import math
import pathlib
import time
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple

import numpy as np
import reverb
import tensorflow as tf

from slac_tf import types
from slac_tf.distributed import collector, liveness, protocol, remote_driver, remote_replay
from slac_tf.distributed import connection as connection_lib
from slac_tf.environments import task_environment
from slac_tf.rollouts import episodes
from slac_tf.runs import keeper as keeper_lib
from slac_tf.runs import run_dir
from slac_tf.training import evaluation
from slac_tf.training import settings as settings_lib

_SECONDS_BETWEEN_SENDS = 5.0
_NO_FRAMES = np.zeros([0], np.uint8)


class RemoteEvaluator:
    """Stands in for the learner's evaluator: it has another process evaluate, one evaluation after the other.

    While one is made another one waits; the learner waits where a third is due, and at the run's end. Its checkpoints
    hold both, with the weights to evaluate: so no checkpoint is without an evaluation that was due before it.
    """

    def __init__(
        self,
        built: types.BuiltAgent,
        connection: connection_lib.Connection,
        keeper: keeper_lib.Keeper,
        here: evaluation.Evaluator,
        driver: remote_driver.RemoteDriver,
        replay: remote_replay.RemoteReplay,
        restore_from: Optional[pathlib.Path],
    ):
        """Constructor.

        Args:
            built: The agent.
            connection: Started.
            keeper: The run's.
            here: The run's evaluator, which writes the numbers.
            driver: The run's.
            replay: The run's, in whose part of a checkpoint the evaluations are.
            restore_from: That part of the checkpoint where the run goes on.
        """
        self._keeper = keeper
        self._here = here
        self._names = list(built.policies)
        self._variables = protocol.agent_variables(built)
        self._driver = driver
        self._connection = connection
        # Positions, with weights; the first of them is under way.
        self._pending: Deque[Tuple[Dict[str, Any], List[np.ndarray]]] = collections.deque()
        for file in [] if restore_from is None else sorted(restore_from.glob("evaluation*.npz")):
            with np.load(file) as arrays:
                position, *weights = arrays.values()
            self._add(json.loads(str(position)), weights)
        self._returns: Deque[List[np.ndarray]] = collections.deque()
        replay.save_more = self._save
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
            self._connection.wait_for(lambda: self._unwritten() < 2, "the evaluator, which has two to make")
            self._add(dict(position), [variable.numpy() for variable in self._variables])
        if position["agent_step"] >= self._driver.total_agent_steps:
            self._connection.wait_for(lambda: self._unwritten() == 0, "the evaluator")

    def _add(self, position: Dict[str, Any], weights: List[np.ndarray]) -> None:
        key = np.array([self._driver.generation, position["agent_step"], position["env_step"]])
        self._pending.append((position, [key, *weights]))

    def _save(self, directory: pathlib.Path) -> None:
        for number, (position, item) in enumerate(self._pending):
            np.savez(directory / f"evaluation{number}.npz", json.dumps(position), *item[1:])

    def _unwritten(self) -> int:
        self._write()
        return len(self._pending)

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
        try:
            item = self._pending[0][1]
        except IndexError:  # there is none, or the main thread has just written the last one
            self._driver.evaluation_step = -1
            return
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


class _Outbox:
    """Returns for the learner, sent again as long as it asks for them: a server that starts again has lost them."""

    def __init__(self, subscriber: collector.Subscriber):
        self._subscriber = subscriber
        self._item: Optional[List[np.ndarray]] = None
        self._sent = -math.inf

    def put(self, item: List[np.ndarray]) -> None:
        """Takes what `protocol.RETURNS` holds; the learner asks for no other before it has this."""
        self._item, self._sent = item, -math.inf

    def send(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        """To be done with each answer of the server."""
        item, progress = self._item, self._subscriber.progress
        if item is None or progress is None or info[protocol.RETURNS].current_size:
            return
        is_asked_for = item[0][:2].tolist() == [progress.generation, progress.evaluation_step]
        if is_asked_for and time.monotonic() - self._sent > _SECONDS_BETWEEN_SENDS:
            client.insert(item, {protocol.RETURNS: 1.0})
            self._sent = time.monotonic()


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
    outbox = _Outbox(subscriber)
    connection.does(outbox.send)
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
            outbox.put([np.array(subscriber.position), np.array(values, np.float64)])
