"""What stands in for `SequenceReplay` where the replay server is another process."""

import collections
import concurrent.futures
import contextlib
import pathlib
from typing import Any, Callable, ContextManager, Deque, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
import reverb

from slac_tf import types
from slac_tf.distributed import connection as connection_lib
from slac_tf.replay import errors, reader, tables

_POLL_SECONDS = 0.05
_MOST_UPDATES_AHEAD = 8
_HIGHEST_PRIORITY = "highest_priority.txt"


class RemoteReplay:
    """Stands in for `SequenceReplay`: it reads from a server elsewhere, which saves itself.

    Attributes:
        priority: Of new windows.
        before_batch: Called in the caller's thread before each batch.
        save_more: Called with a checkpoint's directory, for what else is to be in it.
    """

    def __init__(
        self,
        connection: connection_lib.Connection,
        built: types.BuiltAgent,
        restore_from: Optional[pathlib.Path] = None,
    ):
        """Constructor.

        Args:
            connection: Started.
            built: The agent.
            restore_from: A directory that `save` wrote.
        """
        prioritization = built.prioritization
        self.priority = 1.0
        self.before_batch: Callable[[], None] = lambda: None
        self.save_more: Callable[[pathlib.Path], None] = lambda directory: None
        self._connection = connection
        self._reader = reader.BatchReader(
            connection.address,
            built.agent.collect_data_spec,
            importance_exponent=None if prioritization is None else prioritization.importance_exponent,
        )
        self._prioritized = prioritization is not None
        self._updates: Deque[Tuple[reader.Batch, np.ndarray]] = collections.deque()
        if restore_from is not None and (restore_from / _HIGHEST_PRIORITY).exists():
            self.priority = float((restore_from / _HIGHEST_PRIORITY).read_text())
        connection.does(self._send_updates)

    @property
    def size(self) -> int:
        """Windows held when the server answered last."""
        return self._connection.table(tables.SEQUENCES).current_size

    def watched(self, last_checkpoint: Callable[[], Optional[pathlib.Path]]) -> ContextManager[None]:
        """The connection watches."""
        del last_checkpoint
        return contextlib.nullcontext()

    def sample(self, batch_size: int) -> Iterator[reader.Batch]:
        """Batches for ever, which a thread of their own fetches: one ahead.

        Args:
            batch_size: B.

        Yields:
            The batches.
        """
        batches = self._reader.batches(batch_size)
        worker = concurrent.futures.ThreadPoolExecutor(1, "batches")

        def fetch() -> reader.Batch:
            nonlocal batches
            while True:
                with contextlib.suppress(errors.EmptyReplayError):  # of a server that lost everything: it fills again
                    return next(batches)
                batches = self._reader.batches(batch_size)

        fetched = worker.submit(fetch)

        def take() -> Optional[reader.Batch]:
            with contextlib.suppress(concurrent.futures.TimeoutError):
                return fetched.result(_POLL_SECONDS)
            return None

        try:
            while True:
                self.before_batch()
                batch = self._connection.wait_for(take, "a batch")
                fetched = worker.submit(fetch)
                yield batch
        finally:
            worker.shutdown(wait=False)  # which may wait for a server that is away

    def update(self, batch: reader.Batch, extra: Mapping[str, Any]) -> None:
        """See `SequenceReplay.update`; the server gets them a little later."""
        if not self._prioritized:
            return
        priorities = np.asarray(extra["priorities"])
        if np.all(np.isfinite(priorities)):
            self.priority = max(self.priority, float(priorities.max()))
            self._updates.append((batch, priorities))
            self._connection.wait_for(lambda: len(self._updates) <= _MOST_UPDATES_AHEAD, "the replay server")

    def _send_updates(self, client: reverb.Client, info: Dict[str, Any]) -> None:
        del client, info
        while self._updates:
            self._reader.update_priorities(*self._updates[0])
            self._updates.popleft()

    def save(self, directory: pathlib.Path) -> None:
        """Saves the highest priority so far; windows are in the server's own checkpoints.

        Args:
            directory: Where to.
        """
        directory.mkdir()
        (directory / _HIGHEST_PRIORITY).write_text(f"{self.priority!r}\n")
        self.save_more(directory)
