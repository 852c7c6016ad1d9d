"""What can go wrong with a disk, as one line."""

import contextlib
import errno
import os
import pathlib
from typing import Iterator

import tensorflow as tf

from slac_tf.replay import errors

# What an operating system says of a disk; TensorFlow, Reverb and FFmpeg pass its words on in errors of their own.
_REASONS = tuple(
    os.strerror(number)
    for number in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EMFILE,
    )
)


class StorageError(RuntimeError):
    """Something could not be written; the message says what and why."""


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Names the file whose writing fails: no space, no permission, a directory that is gone.

    Only writing belongs inside. An error of another kind passes through as it is.

    Args:
        path: What is written inside.

    Yields:
        Nothing.

    Raises:
        StorageError: For an `OSError`, and for an error of a library that gives the system's reason.
    """
    try:
        yield
    except (StorageError, errors.ReplayError):  # have their own line
        raise
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}") from error
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:  # Reverb's status codes in Python
        reason = next((reason for reason in _REASONS if reason in str(error)), None)
        if reason is None:
            raise
        raise StorageError(f"{path} could not be written: {reason}") from error
