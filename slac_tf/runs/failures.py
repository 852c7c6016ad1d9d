"""How a run ends that cannot go on: one line, and in its directory all that is needed to see why."""

import io
import time
import traceback
from typing import Any, Callable

import numpy as np
from absl import logging
from tf_agents.utils import nest_utils

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
        entries = [
            (name, np.asarray(value))
            for name, value in nest_utils.flatten_with_joined_paths(batch)
            if value is not None
        ]
        telling = [
            f"{name} {statistics(value)}"
            for name, value in entries
            if not np.all(np.isfinite(value)) or any(part in _ON_THE_LINE for part in name.split("/"))
        ]
        table = "".join(f"  {name} {value.dtype}{list(value.shape)}: {statistics(value)}\n" for name, value in entries)
        where = self._append(what, f"the batch:\n{table}{details}")
        try:
            content = io.BytesIO()
            np.savez_compressed(content, **dict(entries))
            run_dir.write_atomically(self._directory.failed_batch, content.getvalue())
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


def closed(close: Callable[[], None]) -> None:
    """Closes an environment at the end of a run, which must not be taken for a failure if that goes wrong.

    Args:
        close: Closes it.
    """
    try:
        close()
    except Exception as error:
        logging.warning("closing an environment raised %s: %s", type(error).__name__, error)
