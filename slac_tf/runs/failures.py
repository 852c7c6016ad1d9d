"""How a run ends that cannot go on: one line, and in its directory all that is needed to see why."""

import collections.abc
import io
import os
import pathlib
import time
import traceback
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np
from absl import logging

from slac_tf.runs import run_dir

_ON_THE_LINE = ("reward", "observation")  # of a batch's entries; the others only where they are not finite


class RunFailedError(RuntimeError):
    """A run cannot go on; the message says why, what is kept, and what helps."""


class EnvironmentFailedError(RunFailedError):
    """The environment failed; the message says how."""


class Record:
    """Writes down what failed: `failure.txt`, to which each failure adds, and `failed_batch.npz`, the newest batch."""

    def __init__(self, directory: run_dir.RunDir):
        """Constructor.

        Args:
            directory: The run's.
        """
        self._directory = directory

    def batch(self, what: str, batch: Any, details: str) -> str:
        """Writes a batch and its statistics down.

        Args:
            what: Happened.
            batch: A nest of tensors.
            details: More for the file.

        Returns:
            For the line: the batch's most telling statistics, and where everything is.
        """
        entries = [(name, np.asarray(value)) for name, value in named_entries(batch)]
        telling = [
            f"{name} {statistics(value)}"
            for name, value in entries
            if not np.all(np.isfinite(value)) or any(part in _ON_THE_LINE for part in name.split("/"))
        ]
        table = "".join(f"  {name} {value.dtype}{list(value.shape)}: {statistics(value)}\n" for name, value in entries)
        where = self._append(what, f"the batch:\n{table}{details}")
        try:
            write_npz(self._directory.failed_batch, dict(entries))
            place = f"the batch is in {self._directory.failed_batch}"
        except OSError as error:
            place = f"the batch could not be written ({error})"
        return f"{', '.join(telling)}; {place}, statistics {where}"

    def error(self, what: str, error: BaseException) -> str:
        """Writes an error's traceback down.

        Args:
            what: Happened.
            error: The error.

        Returns:
            For the line: where that is.
        """
        return self._append(what, "".join(traceback.format_exception(type(error), error, error.__traceback__)))

    def _append(self, what: str, details: str) -> str:
        """Appends to the file; says where that is, or why it could not."""
        path = self._directory.failure
        try:
            with path.open("a") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {what}\n{details}\n")
        except OSError as error:
            logging.error("%s could not be written (%s): %s", path, error, details)
            return "above"
        return f"in {path}"


def named_entries(nest: Any, prefix: str = "") -> List[Tuple[str, Any]]:
    """The tensors of a nest with their names.

    Args:
        nest: Named tuples and dicts of tensors; what is None is left out.
        prefix: Of the names.

    Returns:
        Pairs such as ('observation/pixels', tensor).
    """
    if nest is None:
        return []
    fields: Optional[Mapping[str, Any]] = None
    if isinstance(nest, tuple):
        fields = nest._asdict() if hasattr(nest, "_asdict") else {str(i): value for i, value in enumerate(nest)}
    elif isinstance(nest, collections.abc.Mapping):
        fields = nest
    if fields is None:
        return [(prefix, nest)]
    return [
        pair
        for name, value in fields.items()
        for pair in named_entries(value, f"{prefix}/{name}" if prefix else str(name))
    ]


def statistics(value: np.ndarray) -> str:
    """Range and mean of an array's finite numbers, and how many others there are.

    Args:
        value: The array.

    Returns:
        A few words.
    """
    finite = value[np.isfinite(value)].astype(np.float64)
    words = "has no finite number"
    if finite.size:
        words = f"{finite.min():.4g} to {finite.max():.4g}, mean {finite.mean():.4g}"
    others = value.size - finite.size
    return f"{words}, {others} of {value.size} not finite" if others else words


def write_npz(path: pathlib.Path, arrays: Dict[str, np.ndarray]) -> None:
    """Writes arrays to a file that is there whole or, as before, not at all.

    Args:
        path: The file.
        arrays: By name.

    Raises:
        OSError: If that fails.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def closed(close: Callable[[], None]) -> None:
    """Closes an environment at the end of a run, which must not be taken for a failure if that goes wrong.

    Args:
        close: Closes it.
    """
    try:
        close()
    except Exception as error:
        logging.warning("closing an environment raised %s: %s", type(error).__name__, error)
