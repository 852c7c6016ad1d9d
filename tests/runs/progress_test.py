import io
import re
import sys

import pytest
from absl import logging

from slac_tf.runs import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def lines(monkeypatch):
    """What is logged."""
    found = []
    monkeypatch.setattr(progress.logging, "info", lambda text, *values: found.append(text % values))
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # no terminal, as in a log file
    return found


def test_a_line_an_interval(clock, lines):
    with progress.Progress(
        "train", 1000, 0, "agent steps", interval_seconds=10, on_interval=lambda: {"rss_bytes": 3 * 2**29}
    ) as shown:
        for second in range(1, 26):
            clock.now = 100.0 + second
            shown.update(10 * second, {"env": 40, "upd": 5}, {})
    assert [re.match(r"train (\d+)/1000 agent steps", line).group(1) for line in lines] == ["100", "200"]


def test_rates_and_eta(clock, lines):
    # Resumed at 200 of 1000: 100 steps in 20 s, so the 700 that are left take 140 s.
    with progress.Progress(
        "train", 1000, 200, "agent steps", interval_seconds=1, on_interval=lambda: {"rss_bytes": 3 * 2**29}
    ) as shown:
        clock.now = 120.0
        shown.update(300, {"env": 400, "upd": 50}, {"env": 1200, "ret": 3.14159})
        assert shown.rates() == {"env": 20.0, "upd": 2.5}
    (line,) = lines
    assert re.fullmatch(
        r"train 300/1000 agent steps \(30\.0%\) \| env 1200 \| ret 3\.142 \| env/s 20\.0 \| upd/s 2\.5"
        r" \| rss 1.5G \| eta 140s",
        line,
    ), line


def test_nothing_made_yet(clock, lines):
    with progress.Progress(
        "random", 10, 10, "agent steps", interval_seconds=0, on_interval=lambda: {"rss_bytes": 3 * 2**29}
    ) as shown:
        shown.update(10, {"env": 0}, {})
    assert lines[0].endswith("eta ?")


def test_a_bar_on_a_terminal(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(logging, "info", lambda *_: pytest.fail("a log line beside the bar"))
    with progress.Progress(
        "train", 10, 2, "agent steps", interval_seconds=0, on_interval=lambda: {"rss_bytes": 3 * 2**29}
    ) as shown:
        clock.now = 101.0
        shown.update(6, {"env": 8}, {"ret": 1.5})
    assert "train:" in terminal.getvalue()
    assert "6/10" in terminal.getvalue()
    assert "ret=1.5" in terminal.getvalue()
    assert "env/s=8.0" in terminal.getvalue()
