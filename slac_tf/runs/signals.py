"""SIGINT and SIGTERM: finish the step, write a checkpoint, leave."""

import os
import signal
from typing import Optional


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """A wait was broken off because a signal asks to stop."""


class StopRequest:
    """Set by the first SIGINT or SIGTERM; a second SIGINT ends the process at once.

    Attributes:
        signal: The signal that asked, or None.
    """

    def __init__(self) -> None:
        self.signal: Optional[int] = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 + signal, as shells have it; 0 where nothing asked."""
        return 0 if self.signal is None else 128 + self.signal

    def install(self) -> None:
        """Takes over both signals, for this process."""
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, _: object) -> None:
        if self.signal is not None and number == signal.SIGINT:
            os._exit(130)
        self.signal = number
