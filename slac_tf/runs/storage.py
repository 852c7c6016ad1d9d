"""What can go wrong with a disk, as one line."""

import contextlib
import pathlib
from typing import Iterator

import tensorflow as tf

from slac_tf.replay import errors


class StorageError(RuntimeError):
    """Something could not be written; the message says what and why."""


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Names the file whose writing fails: no space, no permission, a directory that is gone.

    Args:
        path: What is written inside.

    Yields:
        Nothing.

    Raises:
        StorageError: For any error of Python, TensorFlow or Reverb.
    """
    try:
        yield
    except (StorageError, errors.ReplayError):  # have their own line
        raise
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}") from error
    except (
        tf.errors.OpError,
        RuntimeError,
        ValueError,
        IndexError,
    ) as error:  # Reverb's status codes as Python has them
        text = str(error)
        reason = "No space left on device" if "No space left on device" in text else " ".join(text.split())
        raise StorageError(f"{path} could not be written: {reason}") from error
