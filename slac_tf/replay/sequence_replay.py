"""Replay of overlapping windows of T+1 steps, all of it in this process."""

import pathlib
from typing import Any, Callable, Iterator, Mapping, Optional

import numpy as np
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf import types
from slac_tf.replay import errors, listening, reader, server, watchdog, writer

_HIGHEST_PRIORITY = "highest_priority.txt"  # beside the saved windows; Reverb cannot be asked for it


class SequenceReplay:
    """A server with one reader, and a writer for each stream of steps.

    New windows have the highest priority so far, at least 1: each is likely to be sampled once soon.
    """

    def __init__(
        self,
        data_spec: trajectory_lib.Trajectory,
        *,
        sequence_length: int,
        capacity: int,
        directory: pathlib.Path,
        restore_from: Optional[pathlib.Path] = None,
        trained_step: Optional[int] = None,
        prioritization: Optional[types.Prioritization] = None,
        timeout_seconds: float = 60.0,
        reachable_from_network: listening.Reach = False,
        num_streams: int = 1,
    ):
        """Starts the server.

        Args:
            data_spec: One step of what is stored, tensor specs without batch dimension.
            sequence_length: T.
            capacity: Windows to keep, which is about as many steps.
            directory: For the server's own files; emptied first.
            restore_from: A directory that `save` wrote.
            trained_step: See `writer.WindowWriter`.
            prioritization: Windows are sampled uniformly where None.
            timeout_seconds: Longest wait for a sample.
            reachable_from_network: Who may reach the server besides this machine.
            num_streams: Environments whose steps come in turns: no window crosses from one to another.

        Raises:
            listening.ListeningError: If the server could be reached by others.
            ValueError: If `trained_step` or what `restore_from` holds does not fit.
        """
        self._length = sequence_length + 1
        self._prioritized = prioritization is not None
        exponent, importance_exponent = (None, None) if prioritization is None else prioritization
        self._server = server.ReplayServer(
            data_spec,
            sequence_length=sequence_length,
            capacity=capacity,
            directory=directory,
            restore_from=restore_from,
            priority_exponent=exponent,
            reachable_from_network=reachable_from_network,
        )
        self._writers = [
            writer.WindowWriter(
                self._server.address, data_spec, sequence_length=sequence_length, trained_step=trained_step
            )
            for _ in range(num_streams)
        ]
        self._priority = 1.0
        self._reader = reader.BatchReader(
            self._server.address, data_spec, importance_exponent=importance_exponent, timeout_seconds=timeout_seconds
        )
        if self._prioritized and restore_from is not None:
            self._raise_priority(float((restore_from / _HIGHEST_PRIORITY).read_text()))

    @property
    def size(self) -> int:
        """Windows held; asking raises ReplayError where the server is gone."""
        return self._server.size

    def watched(self, last_checkpoint: Callable[[], Optional[pathlib.Path]]) -> watchdog.Watchdog:
        """See `server.ReplayServer`."""
        return self._server.watched(last_checkpoint)

    def add(self, step: trajectory_lib.Trajectory, stream: int = 0) -> None:
        """See `writer.WindowWriter`.

        Args:
            step: The step.
            stream: Whose.
        """
        self._writers[stream].add(step)

    def flush(self) -> None:
        """Waits until the server has all windows; see `writer.WindowWriter`."""
        for each in self._writers:
            each.flush()

    def _raise_priority(self, priority: float) -> None:
        self._priority = max(self._priority, priority)
        for each in self._writers:
            each.priority = self._priority

    def sample(self, batch_size: int) -> Iterator[reader.Batch]:
        """See `reader.BatchReader.batches`; all that was added can be sampled."""
        self.flush()
        try:
            yield from self._reader.batches(batch_size)
        except errors.EmptyReplayError as error:
            raise errors.EmptyReplayError(
                f"{error}: replay holds {self.size} sequences and needs at least 1, of {self._length} steps; the most "
                f"steps that came without a break are {max(each.longest_stream for each in self._writers)}, and "
                f"{sum(each.num_left_out for each in self._writers)} "
                "sequences were left out because they would train on a reset: collect more steps first "
                "(Schedule.initial_collect_agent_steps or initial_collect_episodes), or bind a smaller sequence_length "
                "of the agent"
            ) from error

    def update(self, batch: reader.Batch, extra: Mapping[str, Any]) -> None:
        """Gives the windows of a batch new priorities, where they are sampled by priority.

        Args:
            batch: The batch.
            extra: Of its loss info, there with `priorities`: at least 0, `[B] float32`.
        """
        if self._prioritized:
            priorities = np.asarray(extra["priorities"])
            if not np.all(np.isfinite(priorities)):  # of a train step that was skipped
                return
            self._raise_priority(float(priorities.max()))
            self._reader.update_priorities(batch, priorities)

    def save(self, directory: pathlib.Path) -> None:
        """See `server.ReplayServer`; all that was added is saved, and the highest priority so far."""
        self.flush()
        self._server.save(directory)
        if self._prioritized:
            (directory / _HIGHEST_PRIORITY).write_text(f"{self._priority!r}\n")
