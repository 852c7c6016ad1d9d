"""Notices a replay server that is gone: its clients block inside Reverb for ever, with no way to interrupt them."""

import os
import pathlib
import sys
import threading
import time
from typing import Callable, Optional

from absl import logging

# At most 5 s to the next question and three of 5 s without an answer: 20 s. During the checkpoint of 40,000 sequences
# of frames (13 s, two busy cores) the longest answer took 0.3 s.
_SECONDS_BETWEEN = 5
_TIMEOUT_SECONDS = 5
_FAILURES = 3
_SLACK_SECONDS = 2


class Watchdog:
    """A thread that asks the server again and again, and ends the process with exit code 1 where it is gone.

    One question without an answer says little: a process that was suspended (SIGSTOP, a laptop's lid) finds
    its deadline over when it wakes up. Only several in a row count, and a question that took much longer than
    its timeout is not one of them: then this process itself did not run.
    """

    def __init__(self, ask: Callable[[int], object], last_checkpoint: Callable[[], Optional[pathlib.Path]]):
        """Constructor.

        Args:
            ask: Called with a timeout in seconds; raises where the server does not answer within it.
            last_checkpoint: Names what is kept, None where there is nothing yet.
        """
        self._ask = ask
        self._last_checkpoint = last_checkpoint
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="replay-watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def _watch(self) -> None:
        failures, begin = 0, time.monotonic()
        last_answer = begin
        while not self._left.wait(max(0.0, begin + _SECONDS_BETWEEN - time.monotonic())):
            begin = time.monotonic()
            try:
                self._ask(_TIMEOUT_SECONDS)
                failures, last_answer = 0, time.monotonic()
                continue
            except Exception as error:  # whatever Reverb raises is no answer
                reason = " ".join(str(error).split())
            if time.monotonic() - begin < _TIMEOUT_SECONDS + _SLACK_SECONDS:
                failures += 1
            if failures >= _FAILURES and not self._left.is_set():
                self._end(time.monotonic() - last_answer, reason)

    def _end(self, seconds: float, reason: str) -> None:
        try:
            place = self._last_checkpoint()
            kept = "there is no checkpoint yet: the same command starts anew"
            if place is not None:
                kept = f"{place} is kept: the same command resumes"
            logging.error("the replay server has not answered for %.0f s (%s); %s", seconds, reason, kept)
            logging.flush()
            sys.stdout.flush()
        finally:
            os._exit(1)  # nothing less reaches the main thread
