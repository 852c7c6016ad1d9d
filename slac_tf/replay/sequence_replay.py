"""Replay of overlapping windows of T+1 steps, on an in-process Reverb server."""

import collections
import os
import pathlib
import shutil
from typing import Any, Callable, Deque, Iterator, NamedTuple, Optional

import numpy as np
import psutil
import reverb
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.replay import listening, watchdog

_TABLE = "sequences"
_WRITE_TIMEOUT_MS = 30_000
_ITEMS_BETWEEN_FLUSHES = 20
# Reverb's delta encoding and compression left 4.6 to 8.1 of 12.3 kB a step on rendered 64x64 frames.
_COMPRESSION = 0.65


class ReplayError(RuntimeError):
    """The replay server did not take or give data in time; the message says what it holds and needs."""


class PrioritizedBatch(NamedTuple):
    """A batch sampled by priority.

    Attributes:
        experience: Tensors `[B, T+1, …]`.
        keys: Of the windows, for `update_priorities`, `[B] uint64`.
        weights: Importance weights, 1 at the most, `[B] float32`.
    """

    experience: trajectory_lib.Trajectory
    keys: tf.Tensor
    weights: tf.Tensor


class SequenceReplay:
    """Windows of T+1 consecutive steps, stride 1, first in first out, sampled uniformly or by priority.

    A window may begin in the previous episode: whoever reads it restarts at a FIRST step inside. Windows
    in which the transition that is trained on is a reset are left out. Frames stay as they are collected
    (uint8), compressed by the server; overlapping windows share their storage.
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
        priority_exponent: Optional[float] = None,
        timeout_seconds: float = 60.0,
        reachable_from_network: bool = False,
    ):
        """Starts the server.

        Args:
            data_spec: One step of what is stored, tensor specs without batch dimension.
            sequence_length: T.
            capacity: Windows to keep, which is about as many steps.
            directory: For the server's own files; emptied first.
            restore_from: A directory that `save` wrote.
            trained_step: Index in the window of the step whose transition is trained on; T-1, the last
                transition, where None.
            priority_exponent: Windows are sampled in proportion to their priority to the power of this;
                uniformly where None.
            timeout_seconds: Longest wait for a sample.
            reachable_from_network: Whether the server may listen on every interface; on loopback alone else.

        Raises:
            listening.ListeningError: If the server cannot be kept to loopback.
            ValueError: If `trained_step` is not a step that the window has a transition from, or
                `restore_from` holds a replay of another capacity or other data.
        """
        self._data_spec = data_spec
        self._length = sequence_length + 1
        trained_step = sequence_length - 1 if trained_step is None else trained_step
        if not 0 <= trained_step < sequence_length:
            raise ValueError(f"trained_step: {trained_step}, expected 0 to {sequence_length - 1}")
        self._trained_step = trained_step
        self._capacity, self._directory = capacity, directory
        self._timeout_seconds = timeout_seconds
        self._flat_specs = tf.nest.flatten(data_spec)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        signature = tf.nest.map_structure(
            lambda spec: tf.TensorSpec([self._length, *spec.shape], spec.dtype, name=None), data_spec
        )
        table = reverb.Table(
            name=_TABLE,
            sampler=(
                reverb.selectors.Uniform()
                if priority_exponent is None
                else reverb.selectors.Prioritized(priority_exponent)
            ),
            remover=reverb.selectors.Fifo(),
            max_size=capacity,
            max_times_sampled=0,
            rate_limiter=reverb.rate_limiters.MinSize(1),
            signature=tf.nest.flatten(signature),
        )
        checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(
            path=str(directory), fallback_checkpoint_path=None if restore_from is None else str(restore_from)
        )
        self._server = reverb.Server([table], port=None, checkpointer=checkpointer)
        if reachable_from_network:
            listening.warn_of_open_port(self._server.port)
        else:
            self._close_to_network()
        self._client = self._server.localhost_client()
        info = self._client.server_info()[_TABLE]
        stored_length = info.signature[0].shape[0]
        if restore_from is not None and (info.max_size, stored_length) != (capacity, self._length):
            raise ValueError(  # Reverb would go on with the stored settings without a word
                f"replay in {restore_from}: capacity {info.max_size} and windows of {stored_length} steps, expected "
                f"{capacity} and {self._length}: set them back, or start in another --root_dir"
            )
        self._is_last: Deque[bool] = collections.deque([False], maxlen=self._length)  # of the steps appended
        self._writer = self._new_writer()
        self._num_written = 0
        self._num_left_out = 0
        self._longest_stream = 0
        self._highest_priority = 1.0  # that of new windows: each is likely to be sampled once soon

    def _close_to_network(self) -> None:
        try:
            listening.listen_on_loopback_only(self._server.port)
        except listening.ListeningError:
            self._server.stop()
            raise

    def watched(self, last_checkpoint: Callable[[], Optional[pathlib.Path]]) -> watchdog.Watchdog:
        """Ends the process where the server stops to answer: the calls here would block for ever.

        Args:
            last_checkpoint: Names what is kept, None where there is nothing yet.

        Returns:
            A context manager that watches until it is left.
        """
        return watchdog.Watchdog(lambda timeout: self._client.server_info(timeout=timeout), last_checkpoint)

    def _new_writer(self) -> reverb.TrajectoryWriter:
        self._num_appended = 0
        return self._client.trajectory_writer(num_keep_alive_refs=self._length)

    @property
    def size(self) -> int:
        """Windows held; asking raises ReplayError where the server is gone."""
        try:
            return self._client.server_info()[_TABLE].current_size
        except RuntimeError as error:
            raise ReplayError(f"the replay server is gone ({error})") from error

    def add(self, step: trajectory_lib.Trajectory) -> None:
        """Appends one step, and the window that it completes.

        Args:
            step: Arrays as `data_spec` has them, without batch dimension. Steps follow each other as the
                environment gave them, with the reset between episodes as a step of type LAST. A FIRST
                step that follows no LAST one begins a stream of its own: no window crosses to it.

        Raises:
            ReplayError: If the server does not take data.
        """
        if np.asarray(step.step_type) == ts.StepType.FIRST and not self._is_last[-1]:
            self.flush()
            self._writer = self._new_writer()
        self._writer.append(
            [
                np.asarray(value, spec.dtype.as_numpy_dtype)
                for value, spec in zip(tf.nest.flatten(step._replace(policy_info=())), self._flat_specs)
            ]
        )
        self._num_appended += 1
        self._longest_stream = max(self._longest_stream, self._num_appended)
        self._is_last.append(bool(np.asarray(step.step_type) == ts.StepType.LAST))
        if self._num_appended < self._length:
            return
        if self._is_last[self._trained_step]:
            self._num_left_out += 1
        else:
            window = tf.nest.map_structure(lambda column: column[-self._length :], self._writer.history)
            self._writer.create_item(table=_TABLE, priority=self._highest_priority, trajectory=window)
            self._num_written += 1
            if self._num_written % _ITEMS_BETWEEN_FLUSHES == 0:
                self.flush(_ITEMS_BETWEEN_FLUSHES)

    def flush(self, num_pending: int = 0) -> None:
        """Waits until at most `num_pending` windows are on their way to the server.

        Args:
            num_pending: Windows.

        Raises:
            ReplayError: If the server does not take them in time.
        """
        try:
            self._writer.flush(block_until_num_items=num_pending, timeout_ms=_WRITE_TIMEOUT_MS)
        except reverb.DeadlineExceededError as error:
            raise ReplayError(
                f"replay server took no data for {_WRITE_TIMEOUT_MS / 1000:.0f} s: its process is stopped or out "
                "of memory; the same command resumes from the last checkpoint"
            ) from error

    def sample_batches(self, batch_size: int) -> Iterator[trajectory_lib.Trajectory]:
        """Batches for ever, a little ahead of their use.

        Args:
            batch_size: B.

        Yields:
            Tensors `[B, T+1, …]`.

        Raises:
            ReplayError: If no batch comes within the timeout.
        """
        for flat, _, _, _ in self._samples(batch_size):
            yield self._pack(flat)

    def sample_by_priority(self, batch_size: int, importance_exponent: float) -> Iterator[PrioritizedBatch]:
        """Batches for ever, each window as likely as its priority makes it.

        Args:
            batch_size: B.
            importance_exponent: Weights are 1 / (windows held x probability) to the power of this, divided
                by the batch's highest (Schaul et al. 2016, Section 3.4).

        Yields:
            The batches.

        Raises:
            ReplayError: If no batch comes within the timeout.
        """
        for flat, keys, probabilities, sizes in self._samples(batch_size):
            weights = (tf.cast(sizes, tf.float64) * probabilities) ** -importance_exponent
            weights = tf.cast(weights / tf.reduce_max(weights), tf.float32)
            yield PrioritizedBatch(self._pack(flat), keys, weights)

    def update_priorities(self, keys: tf.Tensor, priorities: np.ndarray) -> None:
        """Gives windows new priorities; those that were removed meanwhile are skipped.

        Args:
            keys: `[B] uint64`.
            priorities: At least 0, `[B] float`.
        """
        values = [float(priority) for priority in priorities]
        self._highest_priority = max(self._highest_priority, *values)
        self._client.mutate_priorities(_TABLE, updates=dict(zip(keys.numpy().tolist(), values)))

    def _samples(self, batch_size: int) -> Iterator[Any]:
        """Batches of flat data, keys, probabilities and table sizes, a little ahead of their use."""
        self.flush()
        dataset = reverb.TrajectoryDataset.from_table_signature(
            server_address=f"localhost:{self._server.port}",
            table=_TABLE,
            max_in_flight_samples_per_worker=batch_size,
            num_workers_per_iterator=1,
            rate_limiter_timeout_ms=int(1000 * self._timeout_seconds),
        )
        dataset = dataset.map(
            lambda sample: (sample.data, sample.info.key, sample.info.probability, sample.info.table_size)
        )
        yield from _one_ahead(dataset.batch(batch_size, drop_remainder=True))
        raise ReplayError(
            f"no sequence could be sampled within {self._timeout_seconds:.0f} s: replay holds {self.size} sequences "
            f"and needs at least 1, of {self._length} steps; the most steps that came without a break are "
            f"{self._longest_stream}, and {self._num_left_out} sequences were left out because they would train on a "
            "reset: collect more steps first (Schedule.initial_collect_agent_steps), or bind a smaller "
            "sequence_length of the agent"
        )

    def _pack(self, flat: Any) -> trajectory_lib.Trajectory:
        return tf.nest.pack_sequence_as(self._data_spec, tf.nest.flatten(flat))

    def save(self, directory: pathlib.Path) -> None:
        """Writes all windows to a directory that must not exist; takes no space while Reverb keeps its own.

        Args:
            directory: Where to.

        Raises:
            ReplayError: If the server does not write them.
        """
        self.flush()
        try:
            written = self._client.checkpoint()
        except RuntimeError as error:
            if str(self._directory) in str(error):  # a file of the server's: the disk, not the server, is at fault
                raise
            raise ReplayError(f"replay server wrote no checkpoint ({error}); the one before it is kept") from error
        # Reverb deletes its older checkpoints: a hard link keeps this one.
        shutil.copytree(written, directory, copy_function=os.link)


def _one_ahead(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares an element ahead of its use, on the first GPU where there is one."""
    devices = tf.config.list_logical_devices("GPU")
    if devices:
        return dataset.apply(tf.data.experimental.prefetch_to_device(devices[0].name, buffer_size=1))
    return dataset.prefetch(1)


def memory_estimate(data_spec: trajectory_lib.Trajectory, capacity: int) -> int:
    """Bytes of memory that a full replay takes.

    Args:
        data_spec: One step of what is stored.
        capacity: Windows, about as many steps.

    Returns:
        Bytes.
    """
    step_bytes = sum(
        int(np.prod(spec.shape.as_list(), dtype=np.int64)) * spec.dtype.size for spec in tf.nest.flatten(data_spec)
    )
    return int(capacity * step_bytes * _COMPRESSION)


def check_memory(data_spec: trajectory_lib.Trajectory, capacity: int, available: Optional[int] = None) -> int:
    """Refuses a replay that cannot fit.

    Args:
        data_spec: One step of what is stored.
        capacity: Windows.
        available: Bytes; what the machine has free where None.

    Returns:
        The estimate, bytes.

    Raises:
        ValueError: If the estimate exceeds what is available.
    """
    available = psutil.virtual_memory().available if available is None else available
    estimate = memory_estimate(data_spec, capacity)
    if estimate > available:
        raise ValueError(
            f"ReplaySettings.capacity: {capacity} sequences take about {estimate / 2**30:.1f} GiB, but "
            f"{available / 2**30:.1f} GiB are free: set it to at most {int(capacity * available / estimate)}"
        )
    return estimate
