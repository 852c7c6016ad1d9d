"""Starts the processes of a run on one machine, and starts again what ends before the run is done.

Imports no TensorFlow: a process that has it loaded must not make others.
"""

import collections
import contextlib
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Callable, Deque, Optional, Sequence

from slac_tf.distributed import liveness
from slac_tf.runs import run_dir

_POLL_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0
_RESTARTS_SECONDS = 600.0  # within which the restarts of a role are counted
_END_SECONDS = 30.0
_LAST_CHECKPOINT_SECONDS = 600.0  # a replay server writes one before it ends, at about 0.3 s a thousand sequences
USER_MISTAKE = 2


def wait_until_free(locks: Sequence[pathlib.Path], say: Callable[[str], None], seconds: float = 60.0) -> None:
    """Waits for the processes of a launcher that was killed: they end by themselves, but write checkpoints first.

    Args:
        locks: Files that they hold locked; need not be there.
        say: Says a line.
        seconds: To wait at most; whoever finds the file locked then says so.
    """
    end, said = time.monotonic() + seconds, False
    for lock in locks:
        while time.monotonic() < end and _is_locked(lock):
            if not said:
                say(f"{lock.parent} is in use: waiting for the processes of before to end")
                said = True
            time.sleep(_POLL_SECONDS)


def _is_locked(file: pathlib.Path) -> bool:
    with contextlib.suppress(OSError), file.open() as opened:  # whoever takes it says what is wrong
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Child:
    """A process that is to be there.

    Attributes:
        name: Such as 'collect 2'.
        starts: How often it was started.
        exit_code: Of the last time it ended; negative for a signal; None before.
    """

    def __init__(self, name: str, command: Sequence[str], most_restarts: int):
        """Constructor.

        Args:
            name: Such as 'collect 2'.
            command: What to run.
            most_restarts: In ten minutes.
        """
        self.name = name
        self.starts = 0
        self.exit_code: Optional[int] = None
        self._command = list(command)
        self._most_restarts = most_restarts
        self._process: Optional[subprocess.Popen] = None
        self._recent: Deque[float] = collections.deque()
        self._next_start = 0.0

    @property
    def pid(self) -> Optional[int]:
        """Of the process, None where there is none."""
        return None if self._process is None else self._process.pid

    def start_if_due(self) -> bool:
        """Starts the process where there is none and it is time to; returns whether it did."""
        if self._process is not None or time.monotonic() < self._next_start:
            return False
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, liveness.PARENT: str(os.getpid())},
            start_new_session=True,  # Ctrl-C is for the launcher, which passes it on
        )
        assert self._process.stdout is not None
        threading.Thread(target=_copy, args=(self.name, self._process.stdout), daemon=True).start()
        self.starts += 1
        self._recent.append(time.monotonic())
        return True

    def ended(self) -> bool:
        """Whether the process has ended since this was asked last."""
        if self._process is None or self._process.poll() is None:
            return False
        self.exit_code = self._process.returncode
        self._process = None
        now = time.monotonic()
        while self._recent and now - self._recent[0] > _RESTARTS_SECONDS:
            self._recent.popleft()
        quick = [start for start in self._recent if now - start < 60.0]
        self._next_start = now + min(_LONGEST_PAUSE_SECONDS, 2.0 ** (len(quick) - 1) if quick else 1.0)
        return True

    @property
    def gives_up(self) -> bool:
        """Whether it was started too often."""
        return len(self._recent) > self._most_restarts

    def send(self, number: int) -> None:
        """Sends a signal to the process, where there is one."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def _copy(name: str, stream: IO[bytes]) -> None:
    for line in stream:
        sys.stderr.buffer.write(f"[{name}] ".encode() + line)
        sys.stderr.flush()


class Launcher:
    """Keeps children going until one of them says that the run is done."""

    def __init__(
        self,
        children: Sequence[Child],
        address: str,
        state_file: Optional[pathlib.Path],
        say: Callable[[str], None],
    ):
        """Constructor.

        Args:
            children: In the order in which they are started, and ended backwards: those that others need first.
            address: Of the replay server, for the state file.
            state_file: What runs, for whoever wants to know, rewritten at each change; None for no file.
            say: Says a line.
        """
        self._children = list(children)
        self._address = address
        self._state_file = state_file
        self._say = say
        self._signal: Optional[int] = None

    def run(self) -> int:
        """Runs until the run is done, a signal comes, or a child fails for good.

        Returns:
            0, 1 where a child ended too often, 2 after a user's mistake, 128 + the signal.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)
        code = None
        while code is None:
            code = self._once()
            time.sleep(_POLL_SECONDS)
        if code == 0:  # collectors and evaluator see it by themselves
            self._wait([child for child in self._children if child.name != "replay_server"])
        self._end()
        return code

    def _take(self, number: int, frame: object) -> None:
        del frame
        self._signal = number

    def _once(self) -> Optional[int]:
        """Looks after all children; returns an exit code where this is the end."""
        changed = False
        for child in self._children:
            if child.ended():
                changed = True
                if child.exit_code == USER_MISTAKE:
                    return USER_MISTAKE
                if child.exit_code == 0 and child.name == "learner":
                    return 0
                if child.exit_code != 0:
                    self._say(f"{child.name} ended with {child.exit_code}; start {child.starts} is over")
                if child.gives_up:
                    self._say(f"{child.name} was started {child.starts} times: giving up; see its lines above")
                    return 1
            if child.exit_code != 0 and self._signal is None:
                changed |= child.start_if_due()
        if changed:
            self._write_state()
        if all(child.pid is None and child.exit_code == 0 for child in self._children):
            return 0
        return None if self._signal is None else 128 + self._signal

    def _end(self) -> None:
        """Ends all: the replay server last, for others write to it when they end."""
        server = [child for child in self._children if child.name == "replay_server"]
        first = [child for child in self._children if child.name != "replay_server"]
        for group, seconds in ((first, _END_SECONDS), (server, _LAST_CHECKPOINT_SECONDS)):
            for child in group:
                child.send(signal.SIGTERM)
            self._wait(group, seconds)
            for child in group:
                if child.pid is not None:
                    self._say(f"{child.name} has not ended within {seconds:.0f} s: killed")
                    child.send(signal.SIGKILL)
        self._wait(self._children)
        self._write_state()

    def _wait(self, children: Sequence[Child], seconds: float = _END_SECONDS) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(child.pid is not None for child in children):
            for child in children:
                child.ended()
            time.sleep(_POLL_SECONDS)

    def _write_state(self) -> None:
        if self._state_file is None:
            return
        children = {
            child.name: {"pid": child.pid, "starts": child.starts, "exit_code": child.exit_code}
            for child in self._children
        }
        state = {"launcher": os.getpid(), "replay_address": self._address, "children": children}
        try:
            self._state_file.parent.mkdir(parents=True, exist_ok=True)
            run_dir.write_atomically(self._state_file, json.dumps(state, indent=1) + "\n")
        except OSError as error:  # no reason to end what runs; the processes say what they cannot write
            self._say(f"{self._state_file}: {error.strerror}: not written")
