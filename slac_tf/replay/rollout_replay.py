"""The newest steps of one policy, for an agent that trains on each once."""

import contextlib
import pathlib
from typing import Any, Callable, ContextManager, Iterator, List, Mapping, Optional

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from slac_tf.replay import errors, reader


class RolloutReplay:
    """One window of T+1 consecutive steps, which is given away when it is full; in the place of a `SequenceReplay`.

    Steps without the policy's info, those of random actions, are not its own and are left out. A window may hold
    several episodes. A checkpoint keeps nothing of it: a resumed run begins an episode anew, and a window.
    """

    def __init__(self, data_spec: trajectory_lib.Trajectory, *, sequence_length: int):
        """Constructor.

        Args:
            data_spec: One step, tensor specs without batch dimension.
            sequence_length: T.
        """
        self._spec = data_spec
        self._length = sequence_length + 1
        self._steps: List[trajectory_lib.Trajectory] = []

    @property
    def is_full(self) -> bool:
        """Whether there is a window to train on."""
        return len(self._steps) == self._length

    @property
    def size(self) -> int:
        """Windows held."""
        return int(self.is_full)

    def add(self, step: trajectory_lib.Trajectory, stream: int = 0) -> None:
        """Appends one step.

        Args:
            step: Arrays as `data_spec` has them, without batch dimension.
            stream: Must be 0: there is one environment.
        """
        del stream
        # The first step after a reset that filled the window comes before training: it is not of the weights to come.
        if step.policy_info == () or self.is_full:
            return
        if step.step_type == ts.StepType.FIRST and self._steps and self._steps[-1].step_type != ts.StepType.LAST:
            self._steps.clear()  # an episode was broken off
        self._steps.append(step)

    def sample(self, batch_size: int) -> Iterator[reader.Batch]:
        """The window, each time that it is full.

        Args:
            batch_size: Must be 1.

        Yields:
            A batch, `[1, T+1, …]`.

        Raises:
            errors.EmptyReplayError: If the window is not full.
        """
        del batch_size
        while True:
            if not self.is_full:
                raise errors.EmptyReplayError(f"{len(self._steps)} steps, expected a window of {self._length}")
            columns = zip(*(tf.nest.flatten(step) for step in self._steps))
            flat = [
                tf.constant(np.stack(column)[np.newaxis], spec.dtype)
                for column, spec in zip(columns, tf.nest.flatten(self._spec))
            ]
            self._steps.clear()
            yield reader.Batch(tf.nest.pack_sequence_as(self._spec, flat), None, tf.zeros([1], tf.uint64))

    def update(self, batch: reader.Batch, extra: Mapping[str, Any]) -> None:
        """Does nothing: there are no priorities."""

    def save(self, directory: pathlib.Path) -> None:
        """Makes an empty directory.

        Args:
            directory: Must not exist.
        """
        directory.mkdir()

    def watched(self, last_checkpoint: Callable[[], Optional[pathlib.Path]]) -> ContextManager[Any]:
        """There is no server to watch."""
        del last_checkpoint
        return contextlib.nullcontext()
