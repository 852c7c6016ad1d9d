"""What a process owes to its supervisor: it stops when asked to, says that it lives, and ends with its parent."""

import ctypes
import os
import pathlib
import signal
import time
from typing import Optional

from slac_tf.runs import signals

PARENT = "SLAC_TF_PARENT"  # the environment variable in which a launcher or a sweep leaves its process id
_SECONDS_BETWEEN_TOUCHES = 10.0
_PR_SET_PDEATHSIG = 1


class StopRequest(signals.StopRequest):
    """Also touches a file while the process works: its main thread asks at every step whether to stop."""

    def __init__(self, ready_file: Optional[pathlib.Path] = None):
        """Constructor.

        Args:
            ready_file: Comes into being once the process works, and is touched every ten seconds from then on.
        """
        super().__init__()
        self._path = ready_file
        self._works = False
        self._touched = -_SECONDS_BETWEEN_TOUCHES
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)

    def works(self) -> None:
        """Says that the process has done its first piece of work."""
        self._works = True

    def __bool__(self) -> bool:
        now = time.monotonic()
        if self._works and self._path is not None and now - self._touched > _SECONDS_BETWEEN_TOUCHES:
            self._path.touch()
            self._touched = now
        return super().__bool__()


def end_with_parent() -> None:
    """Has the system end this process by SIGTERM once the launcher or sweep that started it is gone."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before
        os.kill(os.getpid(), signal.SIGTERM)
