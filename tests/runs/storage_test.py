"""Only what a disk does is called a storage error."""

import errno
import os
import pathlib

import pytest
import tensorflow as tf

from slac_tf.replay import errors
from slac_tf.runs import storage

PLACE = pathlib.Path("run/videos")


def raise_inside(error):
    with storage.writing(PLACE):
        raise error


@pytest.mark.parametrize(
    "error, reason",
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x"), "No such file or directory"),
        (OSError("the encoder ended early"), "the encoder ended early"),
        (
            tf.errors.ResourceExhaustedError(None, None, "agent.data; No space left on device"),
            "No space left on device",
        ),
        (tf.errors.NotFoundError(None, None, "a/b; No such file or directory"), "No such file or directory"),
        # Reverb's status codes, as Python has them.
        (RuntimeError("PERMISSION_DENIED: chunks.tfrecord; Permission denied"), "Permission denied"),
        (ValueError("INVALID_ARGUMENT: x; Not a directory"), "Not a directory"),
    ],
)
def test_what_a_disk_does_is_named(error, reason):
    with pytest.raises(storage.StorageError) as caught:
        raise_inside(error)
    assert str(caught.value) == f"run/videos could not be written: {reason}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shapes (3, 4) and (5,) do not match"),  # of a user's latent model
        RuntimeError("the simulator is gone"),
        IndexError("list index out of range"),
        tf.errors.InvalidArgumentError(None, None, "Matrix size-incompatible"),
        TypeError("unsupported operand"),
        KeyError("pixels"),
        errors.ReplayError("replay server wrote no checkpoint (No such file or directory)"),  # has its own line
        storage.StorageError("a could not be written: full"),
    ],
)
def test_anything_else_stays_what_it_is(error):
    with pytest.raises(type(error)) as caught:
        raise_inside(error)
    assert caught.value is error
