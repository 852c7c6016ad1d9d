"""Checkpoints of everything, as one unit: a directory that is there whole or not at all."""

import hashlib
import json
import os
import pathlib
import shutil
from typing import Any, Dict, List, NamedTuple, Optional, Protocol

import tensorflow as tf
from absl import logging

from slac_tf import types
from slac_tf.runs import run_dir, storage

_PREFIX = "checkpoint-"
_STATE = "state.json"
_DIGESTS = "digests.json"


class Saved(Protocol):
    """What saves itself into a directory of a checkpoint."""

    def save(self, directory: pathlib.Path) -> None:
        """Writes itself to a directory that must not exist."""


class DamagedError(ValueError):
    """There are checkpoints, but none is whole; the message says what is wrong with each."""


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

    One holds the agent's variables with its optimizers' (`agent.*`), the replay's windows (`replay/`),
    plain numbers (`state.json`) and the digests of all these files (`digests.json`). It is written beside
    its place and then renamed, so one that was interrupted is not there; one that was damaged later is
    known by its digests, and the one before it is used.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        agent: tf.Module,
        reusable: Optional[types.ReusableModel] = None,
        keep: int = 2,
    ):
        """Constructor.

        Args:
            directory: Of the run's checkpoints.
            agent: Whose variables are saved.
            reusable: The part of it that another run can start from.
            keep: How many of the newest to keep.
        """
        self._directory = directory
        parts = {} if reusable is None else {"representation": reusable.module}
        self._checkpoint = tf.train.Checkpoint(agent=agent, **parts)
        self._keep = keep

    def save(self, agent_step: int, state: Dict[str, Any], replay: Saved) -> pathlib.Path:
        """Writes a checkpoint.

        Args:
            agent_step: Names it.
            state: Plain numbers.
            replay: The replay.

        Returns:
            Its directory.

        Raises:
            storage.StorageError: If it cannot be written; then the ones before are as they were.
        """
        name = f"{_PREFIX}{agent_step:09d}-{state['pretrain_step']:09d}"
        same_step = sorted(self._directory.glob(name + "*"))  # for example after a signal
        number = int(same_step[-1].name[len(name) + 1 :] or 0) + 1 if same_step else 0
        place = self._directory / (f"{name}-{number:03d}" if number else name)
        temporary = place.with_name("incomplete-" + place.name)
        with storage.writing(place):
            try:
                self._write(temporary, state, replay)
                os.rename(temporary, place)
            except Exception:
                shutil.rmtree(temporary, ignore_errors=True)  # the disk may be full
                raise
            _sync(self._directory)
            others = [path for path in sorted(self._directory.glob(_PREFIX + "*")) if path not in same_step]
            for old in [*same_step, *others[: -self._keep]]:
                _retire(old)
            for leftover in self._directory.glob("incomplete-*"):
                shutil.rmtree(leftover)
        return place

    def _write(self, directory: pathlib.Path, state: Dict[str, Any], replay: Saved) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self._checkpoint.write(str(directory / "agent"))
        replay.save(directory / "replay")
        (directory / _STATE).write_text(json.dumps(state, indent=1) + "\n")
        (directory / _DIGESTS).write_text(json.dumps(_digests(directory), indent=1) + "\n")
        for path in (directory, *directory.rglob("*")):
            _sync(path)

    def newest(self) -> Optional[Found]:
        """The newest checkpoint that is whole, or None."""
        return newest(self._directory)

    def last(self) -> Optional[pathlib.Path]:
        """The directory of the newest checkpoint, without reading it; None where there is none."""
        return max(self._directory.glob(_PREFIX + "*"), default=None)

    def kept(self) -> str:
        """What a message says of the checkpoints."""
        last = self.last()
        return "there is no checkpoint yet" if last is None else f"{last} is kept"

    def restore(self, found: Found) -> None:
        """Restores the agent's variables; the replay restores itself from `found.replay`.

        Args:
            found: Which.

        Raises:
            AssertionError: If it holds other variables than the agent has.
        """
        self._checkpoint.read(str(found.directory / "agent")).assert_consumed()


def newest(directory: pathlib.Path) -> Optional[Found]:
    """The newest whole checkpoint in a run's directory of checkpoints, or None where there is none at all.

    Says which newer ones are damaged.

    Args:
        directory: The directory.

    Returns:
        The checkpoint.

    Raises:
        DamagedError: If there are checkpoints, but none is whole.
    """
    damaged: List[str] = []
    for place in sorted(directory.glob(_PREFIX + "*"), reverse=True):
        damage = _damage(place)
        if damage is None:
            for text in damaged:
                logging.warning("damaged: %s: using %s, the one before", text, place)
            return Found(place, json.loads((place / _STATE).read_text()))
        if place.exists():  # else the run that it belongs to has just deleted it
            damaged.append(f"{place}: {damage}")
    if damaged:
        raise DamagedError(
            f"no whole checkpoint: {'; '.join(damaged)}: put back a copy of one, or choose another --root_dir"
        )
    return None


def take_up(directory: pathlib.Path, found: Optional[Found]) -> None:
    """Holds that a checkpoint still is the newest whole one, and puts newer ones, which are damaged, aside.

    To be called once no other process writes there, before the run goes on: else a damaged one would count as one of
    those that are kept, in the place of a whole one.

    Args:
        directory: Of the run's checkpoints.
        found: What `newest` gave before.

    Raises:
        run_dir.RunDirectoryError: If there is a newer one by now.
    """
    newer = [path for path in directory.glob(_PREFIX + "*") if found is None or path.name > found.directory.name]
    if newer and newest(directory) != found:
        raise run_dir.RunDirectoryError(
            f"{max(newer)} was written meanwhile, by a process that has ended: run the same command again"
        )
    for path in newer:
        os.rename(path, path.with_name("damaged-" + path.name))


def _digests(directory: pathlib.Path) -> Dict[str, str]:
    """Size and hash of each file, by its path."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path != directory / _DIGESTS:
            digest = hashlib.blake2b(digest_size=16)
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            found[str(path.relative_to(directory))] = f"{path.stat().st_size} bytes, blake2b {digest.hexdigest()}"
    return found


def _damage(place: pathlib.Path) -> Optional[str]:
    """What is wrong with a checkpoint, or None."""
    try:
        expected = json.loads((place / _DIGESTS).read_text())
        found = _digests(place)
    except (OSError, ValueError) as error:
        return f"{_DIGESTS} cannot be read ({' '.join(str(error).split())})"
    for name in sorted({*expected, *found}):
        if found.get(name) != expected.get(name):
            return f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'no such file')}"
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
