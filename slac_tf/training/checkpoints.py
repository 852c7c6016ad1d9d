"""Checkpoints of everything, as one unit: a directory that is there whole or not at all."""

import json
import os
import pathlib
import shutil
from typing import Any, Dict, NamedTuple, Optional

import tensorflow as tf

from slac_tf import types
from slac_tf.replay import sequence_replay

_PREFIX = "checkpoint-"
_STATE = "state.json"


class Found(NamedTuple):
    """A checkpoint on disk.

    Attributes:
        directory: Where it is.
        state: Counters and file sizes, plain numbers.
    """

    directory: pathlib.Path
    state: Dict[str, Any]

    @property
    def replay(self) -> pathlib.Path:
        """The replay's part."""
        return self.directory / "replay"


class Checkpoints:
    """Writes and finds checkpoints of one run.

    One holds the agent's variables with its optimizers' (`agent.*`), the replay's windows (`replay/`) and
    plain numbers (`state.json`). It is written beside its place and then renamed, so one that was
    interrupted is not there.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        agent: tf.Module,
        representation: Optional[types.Representation] = None,
        keep: int = 2,
    ):
        """Constructor.

        Args:
            directory: Of the run's checkpoints.
            agent: Whose variables are saved.
            representation: The part of it that another run can start from.
            keep: How many of the newest to keep.
        """
        self._directory = directory
        parts = {} if representation is None else {"representation": representation.module}
        self._checkpoint = tf.train.Checkpoint(agent=agent, **parts)
        self._keep = keep

    def save(self, agent_step: int, state: Dict[str, Any], replay: sequence_replay.SequenceReplay) -> pathlib.Path:
        """Writes a checkpoint.

        Args:
            agent_step: Names it.
            state: Plain numbers.
            replay: The replay.

        Returns:
            Its directory.
        """
        place = self._directory / f"{_PREFIX}{agent_step:09d}-{state['pretrain_step']:09d}"
        temporary = place.with_name("incomplete-" + place.name)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self._checkpoint.write(str(temporary / "agent"))
        replay.save(temporary / "replay")
        (temporary / _STATE).write_text(json.dumps(state, indent=1) + "\n")
        for path in (temporary, *temporary.rglob("*")):
            _sync(path)
        if place.exists():  # the same step once more, for example after a signal
            _retire(place)
        os.rename(temporary, place)
        _sync(self._directory)
        for old in sorted(self._directory.glob(_PREFIX + "*"))[: -self._keep]:
            _retire(old)
        for leftover in self._directory.glob("incomplete-*"):
            shutil.rmtree(leftover)
        return place

    def newest(self) -> Optional[Found]:
        """The newest checkpoint, or None."""
        return newest(self._directory)

    def restore(self, found: Found) -> None:
        """Restores the agent's variables; the replay restores itself from `found.replay`.

        Args:
            found: Which.

        Raises:
            AssertionError: If it holds other variables than the agent has.
        """
        self._checkpoint.read(str(found.directory / "agent")).assert_consumed()


def newest(directory: pathlib.Path) -> Optional[Found]:
    """The newest checkpoint in a run's directory of checkpoints, or None.

    Args:
        directory: The directory.

    Returns:
        The checkpoint.
    """
    for place in sorted(directory.glob(_PREFIX + "*"), reverse=True):
        if (place / _STATE).exists():
            return Found(place, json.loads((place / _STATE).read_text()))
    return None


def _retire(place: pathlib.Path) -> None:
    """Takes a checkpoint's name from it before it is deleted: one that is half deleted must not be found."""
    grave = place.with_name("incomplete-old-" + place.name)
    shutil.rmtree(grave, ignore_errors=True)
    os.rename(place, grave)


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
