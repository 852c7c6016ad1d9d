"""The Reverb server that holds the windows, in this process."""

import os
import pathlib
import shutil
from typing import Callable, Optional, Sequence

import reverb
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.replay import errors, listening, tables, watchdog


class ReplayServer:
    """Windows of T+1 steps for whoever writes and reads them, here or in other processes.

    Frames stay as they are collected (uint8), compressed; overlapping windows share their storage.
    """

    def __init__(
        self,
        data_spec: trajectory_lib.Trajectory,
        *,
        sequence_length: int,
        capacity: int,
        directory: pathlib.Path,
        restore_from: Optional[pathlib.Path] = None,
        priority_exponent: Optional[float] = None,
        reachable_from_network: listening.Reach = False,
        port: Optional[int] = None,
        more_tables: Sequence[reverb.Table] = (),
    ):
        """Starts the server.

        Args:
            data_spec: One step of what is stored, tensor specs without batch dimension.
            sequence_length: T.
            capacity: Windows to keep.
            directory: For the server's own files; emptied first.
            restore_from: A directory that `save` wrote.
            priority_exponent: Windows are sampled in proportion to their priority to the power of this;
                uniformly where None.
            reachable_from_network: Who may reach the server besides this machine.
            port: To listen on; one that is free where None.
            more_tables: To hold besides the windows.

        Raises:
            listening.ListeningError: If others could reach the server.
            ValueError: If `restore_from` holds a replay of another capacity or other data.
        """
        self._directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(
            path=str(directory), fallback_checkpoint_path=None if restore_from is None else str(restore_from)
        )
        table = tables.sequences(data_spec, sequence_length, capacity, priority_exponent)
        self._server = reverb.Server([table, *more_tables], port=port, checkpointer=checkpointer)
        self._client = self._server.localhost_client()
        try:
            listening.restrict(self.port, reachable_from_network)
            if restore_from is not None:
                self._check_restored(restore_from, capacity, sequence_length + 1)
        except (listening.ListeningError, ValueError):
            self.stop()
            raise

    def _check_restored(self, source: pathlib.Path, capacity: int, length: int) -> None:
        info = self._client.server_info()[tables.SEQUENCES]
        stored_length = info.signature[0].shape[0]
        if (info.max_size, stored_length) != (capacity, length):
            raise ValueError(  # Reverb would go on with the stored settings without a word
                f"replay in {source}: capacity {info.max_size} and windows of {stored_length} steps, expected "
                f"{capacity} and {length}: set them back, or start in another --root_dir"
            )

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def address(self) -> str:
        """Where clients on this machine find it."""
        return f"localhost:{self.port}"

    @property
    def size(self) -> int:
        """Windows held; asking raises ReplayError where the server is gone."""
        try:
            return self._client.server_info()[tables.SEQUENCES].current_size
        except RuntimeError as error:
            raise errors.ReplayError(f"the replay server is gone ({error})") from error

    @property
    def client(self) -> reverb.Client:
        """A client of it, in this process."""
        return self._client

    def save(self, directory: pathlib.Path) -> None:
        """Writes all windows to a directory that must not exist; takes no space while Reverb keeps its own.

        Args:
            directory: Where to.

        Raises:
            errors.ReplayError: If the server does not write them.
        """
        try:
            written = self._client.checkpoint()
        except RuntimeError as error:
            if str(self._directory) in str(error):  # a file of the server's: the disk, not the server, is at fault
                raise
            raise errors.ReplayError(
                f"replay server wrote no checkpoint ({error}); the one before it is kept"
            ) from error
        # Reverb deletes its older checkpoints: a hard link keeps this one.
        shutil.copytree(written, directory, copy_function=os.link)

    def watched(self, last_checkpoint: Callable[[], Optional[pathlib.Path]]) -> watchdog.Watchdog:
        """Ends the process where the server stops to answer: calls to it would block for ever.

        Args:
            last_checkpoint: Names what is kept, None where there is nothing yet.

        Returns:
            A context manager that watches until it is left.
        """
        return watchdog.Watchdog(lambda timeout: self._client.server_info(timeout=timeout), last_checkpoint)

    def stop(self) -> None:
        """Closes the port; a call that waits for the server then waits for ever."""
        self._server.stop()
