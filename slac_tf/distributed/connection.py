"""A connection to the replay server that may go away: a thread that talks, and a main thread that never blocks in it.

Reverb's calls have no deadlines, but for two, and go on by themselves once the server is back. So each process has one
thread that makes them, and its main thread waits for what that thread brings, always able to take a signal. A call may
come back late or never, as one for an item that the server has lost meanwhile: then another thread takes over.
"""

import os
import threading
import time
from typing import Any, Callable, Collection, Dict, List, Optional, TypeVar

import reverb
from absl import logging

from slac_tf.distributed import process_ids, protocol
from slac_tf.replay import errors
from slac_tf.runs import run_dir, signals

_T = TypeVar("_T")
_PERIOD_SECONDS = 0.03
_TIMEOUT_SECONDS = 5
_STUCK_SECONDS = 20.0
_SECONDS_BETWEEN_WORDS = 60.0


class PeerGoneError(errors.ReplayError):
    """The replay server was away for too long; the message says for how long."""


class UnusableServerError(ValueError):
    """The replay server is of another run, which differs as the message says, or Reverb could not talk to it."""


class Connection:
    """Asks the server for its state again and again, and does what is to be done with the answer.

    Attributes:
        address: The server's.
        info: The newest answer, by table; None before the first.
    """

    def __init__(self, address: str, stop: signals.StopRequest, peer_wait_seconds: float):
        """Constructor; `start` comes next.

        Args:
            address: The server's.
            stop: Becomes true where a signal asks to stop.
            peer_wait_seconds: How long the server may be away.
        """
        self.address = address
        self.info: Optional[Dict[str, Any]] = None
        self._stop = stop
        self._peer_wait_seconds = peer_wait_seconds
        self._tasks: List[Callable[[reverb.Client, Dict[str, Any]], None]] = []
        self._run: Optional[Dict[str, Any]] = None
        self._error: Optional[BaseException] = None
        self._thread = 0  # the number of the thread that talks; those before it are to end
        self._busy_since: Optional[float] = None  # with tasks
        self._news = threading.Condition()
        self._answers = 0
        # Of the main thread: what it has seen of the answers, and how long there was no other.
        self._seen, self._silent, self._checked = 0, 0.0, time.monotonic()
        self._said = 0.0

    def start(self, expected: Dict[str, Any], may_change: Collection[str] = ()) -> None:
        """Waits for the server and looks at whose it is.

        Args:
            expected: The run's record, as the server should have it.
            may_change: Settings that may be others here.

        Raises:
            UnusableServerError: If the server is of another run, or Reverb would take this process for the server.
            PeerGoneError: If it does not answer.
            signals.Stopped: If a signal asks to stop.
        """
        self._start_thread()
        found = self.wait_for(lambda: self._run, f"the replay server at {self.address}")
        if found["version"] != expected["version"]:
            raise UnusableServerError(
                f"the replay server at {self.address} speaks version {found['version']} of the protocol, expected "
                f"{expected['version']}: use the same slac_tf everywhere"
            )
        differences = run_dir.differences_of(found["config"], expected["config"], may_change)
        if differences:
            raise UnusableServerError(
                f"the replay server at {self.address} is of another configuration: {differences}: give all processes "
                "the same gin files, bindings and seed"
            )
        if found["variables"] != expected["variables"]:
            raise UnusableServerError(
                f"the agent of the replay server at {self.address} has other weights than this process builds: use "
                "the same slac_tf everywhere"
            )

    def does(self, task: Callable[[reverb.Client, Dict[str, Any]], None]) -> None:
        """Adds what the thread does with each answer.

        Args:
            task: Called with a client and the answer; may block as long as the server is away.
        """
        self._tasks.append(task)

    def table(self, name: str) -> Any:
        """What the newest answer says of a table."""
        assert self.info is not None  # since `start`
        return self.info[name]

    def _start_thread(self) -> None:
        self._thread += 1
        self._busy_since = None
        threading.Thread(target=self._talk, args=(self._thread,), name="connection", daemon=True).start()

    def _talk(self, number: int) -> None:
        client = reverb.Client(self.address)
        while number == self._thread:
            try:
                info = client.server_info(timeout=_TIMEOUT_SECONDS)
                if number != self._thread:
                    return
                self.info, self._busy_since = info, time.monotonic()
                if self._run is None and protocol.RUN in info:
                    if process_ids.is_that_of(self.address):
                        raise UnusableServerError(
                            f"the replay server at {self.address} has process id {os.getpid()}, expected another than "
                            "this process has, on which Reverb would crash: give the two containers one pid namespace, "
                            "or networks of their own"
                        )
                    for item in protocol.newest(client, info, protocol.RUN):
                        self._run = protocol.decoded(item[0])
                for task in list(self._tasks):
                    task(client, info)
                    if number != self._thread:
                        return
            except (reverb.ReverbError, RuntimeError, ConnectionError) as error:  # away, or went away meanwhile
                logging.log_every_n_seconds(logging.WARNING, "the replay server: %s", 60, " ".join(str(error).split()))
                if number == self._thread:
                    self._busy_since = None
                time.sleep(_PERIOD_SECONDS)
                continue
            except BaseException as error:  # a fault of ours: the main thread ends with it
                if number == self._thread:
                    self._error = error
                return
            with self._news:
                self._busy_since = None
                self._answers += 1
                self._news.notify_all()
            time.sleep(_PERIOD_SECONDS)

    def check(self) -> None:
        """To be called by the main thread wherever it waits or works, at least every second.

        Raises:
            signals.Stopped: If a signal asks to stop.
            PeerGoneError: If the server has been away for too long. Time in which this process itself stood still, as
                after SIGSTOP, does not count.
        """
        if self._error is not None:
            raise self._error
        if self._stop:
            raise signals.Stopped
        now = time.monotonic()
        busy_since = self._busy_since
        if busy_since is not None and now - busy_since > _STUCK_SECONDS:
            self._start_thread()
        self._silent = 0.0 if self._seen != self._answers else self._silent + min(1.0, now - self._checked)
        self._seen, self._checked = self._answers, now
        if self._silent > self._peer_wait_seconds:
            raise PeerGoneError(
                f"the replay server at {self.address} has not answered for {self._silent:.0f} s "
                "(Distributed.peer_wait_seconds): start it again, then this process"
            )

    def wait_for(self, condition: Callable[[], Optional[_T]], what: str) -> _T:
        """Waits in the main thread until there is something.

        Args:
            condition: Gives it, or what is false.
            what: Is waited for, for the log.

        Returns:
            What the condition gave.

        Raises:
            signals.Stopped, PeerGoneError: As `check` does.
        """
        begin = self._said = time.monotonic()
        self._said -= _SECONDS_BETWEEN_WORDS - 5.0  # the first words after five seconds
        while True:
            found = condition()
            if found:
                return found
            self.check()
            if time.monotonic() - self._said > _SECONDS_BETWEEN_WORDS:
                self._said = time.monotonic()
                away = "" if self._silent < 1 else f"; the replay server has not answered for {self._silent:.0f} s"
                logging.info("waiting for %s since %.0f s%s", what, self._said - begin, away)
            self.pause()

    def pause(self) -> None:
        """Lets the main thread sleep until the next answer, but not for long."""
        with self._news:
            self._news.wait(0.05)

    def behind(self) -> None:
        """What a writer does that the server takes nothing from: it waits for the learner, or for the server."""
        self.check()
        now = time.monotonic()
        if now - self._said > _SECONDS_BETWEEN_WORDS:
            self._said = now
            logging.info("waiting: %s", "for the learner" if self._silent < 1 else "the replay server does not answer")
