"""Writes windows to a replay server."""

import collections
from typing import Any, Callable, Deque, Optional

import numpy as np
import reverb
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.replay import errors, tables

_TIMEOUT_MS = 30_000
_ITEMS_BETWEEN_FLUSHES = 20


class WindowWriter:
    """Makes of one stream of steps its windows of T+1 consecutive ones, stride 1.

    A window may begin in the previous episode: whoever reads it restarts at a FIRST step inside. Windows
    in which the transition that is trained on is a reset are left out.

    Attributes:
        priority: Of the windows that are added from now on.
        on_timeout: Called after each wait for the server that was too long; None raises.
        longest_stream: The most steps that came without a break.
        num_left_out: Windows left out.
    """

    def __init__(
        self,
        address: str,
        data_spec: trajectory_lib.Trajectory,
        *,
        sequence_length: int,
        trained_step: Optional[int] = None,
        count_steps: bool = False,
        timeout_ms: Optional[int] = None,
        on_timeout: Optional[Callable[[], None]] = None,
    ):
        """Constructor.

        Args:
            address: The server's.
            data_spec: One step of what is stored, tensor specs without batch dimension.
            sequence_length: T.
            trained_step: Index in the window of the step whose transition is trained on; T-1, the last
                transition, where None.
            count_steps: Whether each step that is no reset also puts an item into the server's table of steps. It
                follows the step's window through the same stream, so it never comes without it.
            timeout_ms: Longest wait for the server to take data; half a minute where None.
            on_timeout: Called after each such wait, which then goes on; None raises.

        Raises:
            ValueError: If `trained_step` is not a step that the window has a transition from.
        """
        trained_step = sequence_length - 1 if trained_step is None else trained_step
        if not 0 <= trained_step < sequence_length:
            raise ValueError(f"trained_step: {trained_step}, expected 0 to {sequence_length - 1}")
        self._trained_step = trained_step
        self._length = sequence_length + 1
        self._dtypes = [spec.dtype.as_numpy_dtype for spec in tf.nest.flatten(data_spec)]
        self._client = reverb.Client(address)
        self._is_last: Deque[bool] = collections.deque([False], maxlen=self._length)  # of the steps appended
        self._count_steps = count_steps
        self._timeout_ms = _TIMEOUT_MS if timeout_ms is None else timeout_ms
        self.on_timeout = on_timeout
        self._num_items = 0
        self.priority = 1.0
        self.longest_stream = 0
        self.num_left_out = 0
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._writer = self._client.trajectory_writer(num_keep_alive_refs=self._length)
        self._num_appended = 0

    def add(self, step: trajectory_lib.Trajectory) -> None:
        """Appends one step, and the window that it completes.

        Args:
            step: Arrays as `data_spec` has them, without batch dimension. Steps follow each other as the
                environment gave them, with the reset between episodes as a step of type LAST. A FIRST
                step that follows no LAST one begins a stream of its own: no window crosses to it.

        Raises:
            errors.ReplayError: If the server does not take data.
        """
        if np.asarray(step.step_type) == ts.StepType.FIRST and not self._is_last[-1]:
            self.flush()
            self._begin_stream()
        values = tf.nest.flatten(step._replace(policy_info=()))
        self._writer.append([np.asarray(value, dtype) for value, dtype in zip(values, self._dtypes)])
        self._num_appended += 1
        self.longest_stream = max(self.longest_stream, self._num_appended)
        self._is_last.append(bool(np.asarray(step.step_type) == ts.StepType.LAST))
        if self._num_appended >= self._length:
            if self._is_last[self._trained_step]:
                self.num_left_out += 1
            else:
                window = tf.nest.map_structure(lambda column: column[-self._length :], self._writer.history)
                self._create_item(tables.SEQUENCES, self.priority, window)
        if self._count_steps and not self._is_last[-1]:
            self._create_item(tables.STEPS, 1.0, [self._writer.history[0][-1:]])

    def _create_item(self, table: str, priority: float, trajectory: Any) -> None:
        self._writer.create_item(table=table, priority=priority, trajectory=trajectory)
        self._num_items += 1
        if self._num_items % _ITEMS_BETWEEN_FLUSHES == 0:
            self.flush(_ITEMS_BETWEEN_FLUSHES)

    def flush(self, num_pending: int = 0) -> None:
        """Waits until at most `num_pending` items are on their way to the server.

        Args:
            num_pending: Windows, and counts of steps.

        Raises:
            errors.ReplayError: If the server does not take them in time.
        """
        while True:
            try:
                return self._writer.flush(block_until_num_items=num_pending, timeout_ms=self._timeout_ms)
            except reverb.DeadlineExceededError as error:
                if self.on_timeout is None:
                    raise errors.ReplayError(
                        f"replay server took no data for {self._timeout_ms / 1000:.0f} s: its process is stopped or "
                        "out of memory; the same command resumes from the last checkpoint"
                    ) from error
            self.on_timeout()
