import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from slac_tf.replay import watchdog

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A process whose server is stopped while its main thread is in the call that argv[1] names.
PROCESS = """
import os, pathlib, sys, threading, time
import numpy as np
import tensorflow as tf
from tf_agents.trajectories import trajectory
from slac_tf.replay import errors, sequence_replay, watchdog

call, directory, scale = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
watchdog._SECONDS_BETWEEN = watchdog._TIMEOUT_SECONDS = scale
number, flag = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
spec = trajectory.Trajectory(flag, {"state": number}, number, (), flag, number, number)
replay = sequence_replay.SequenceReplay(spec, sequence_length=1, capacity=999, directory=directory / "server")

def add(count):
    zero, one = np.float32(0), np.int32(1)
    for _ in range(count):
        replay.add(trajectory.Trajectory(one, {"state": zero}, zero, (), one, zero, zero))

add(50)
replay.flush()

def stop():
    time.sleep(2)
    print("stopped", flush=True)
    replay._server.stop()

with replay.watched(lambda: None if call == "save" else pathlib.Path("logs/checkpoint-7")):
    print("watching", flush=True)
    if call == "wait":
        time.sleep(14)
        print("alive", flush=True)
        os._exit(0)
    threading.Thread(target=stop, daemon=True).start()
    if call == "sample":
        for _ in replay.sample(4):
            time.sleep(0.01)
    while call == "flush":
        add(20)
        time.sleep(0.01)
    try:
        while call == "size":
            replay.size
    except errors.ReplayError:  # stopped in the middle of an answer; else the call blocks
        time.sleep(60)
    time.sleep(3)
    try:
        replay.save(directory / "saved")
    except errors.ReplayError as error:
        print(error, file=sys.stderr, flush=True)
    time.sleep(60)
"""


def start(call, directory, scale):
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, call, str(directory), str(scale)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.expensive
@pytest.mark.parametrize(("call", "scale"), [("sample", 5), ("sample", 1), ("flush", 1), ("save", 1), ("size", 1)])
def test_a_stopped_server_ends_the_process(call, scale, tmp_path):
    process = start(call, tmp_path, scale)
    assert process.stdout.readline() == "watching\n"
    assert process.stdout.readline() == "stopped\n"
    begin = time.monotonic()
    _, errors = process.communicate(timeout=60)
    seconds = time.monotonic() - begin
    print(f"{call}: noticed after {seconds:.1f} s")
    assert process.returncode == 1, errors
    assert seconds < 4 * scale + 3  # at the real scale, 5, under 30
    (line,) = (line for line in errors.splitlines() if "has not answered" in line)
    if call == "save":
        assert line.endswith("there is no checkpoint yet: the same command starts anew")
        assert "replay server wrote no checkpoint" in errors
    else:
        assert line.endswith("; logs/checkpoint-7 is kept: the same command resumes")


@pytest.mark.expensive
def test_a_suspended_process_goes_on(tmp_path):
    process = start("wait", tmp_path, 1)
    assert process.stdout.readline() == "watching\n"
    for _ in range(3):  # wherever in a question it may be
        time.sleep(0.7)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(4)
        os.kill(process.pid, signal.SIGCONT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "alive\n"), errors


@pytest.fixture
def ended(monkeypatch):
    """How often the process would have been ended; questions come every 50 ms."""
    monkeypatch.setattr(watchdog, "_SECONDS_BETWEEN", 0.05)
    monkeypatch.setattr(watchdog, "_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "_SLACK_SECONDS", 0.1)
    calls = []
    monkeypatch.setattr(watchdog.Watchdog, "_end", lambda self, seconds, reason: calls.append(reason))
    return calls


def watch(ask, seconds=1.0):
    with watchdog.Watchdog(ask, lambda: None) as dog:
        time.sleep(seconds)
    dog._thread.join(5)
    assert not dog._thread.is_alive()


def failing(pattern):
    """Answers, or does not, as a pattern of 0 and 1 says, again and again."""
    asked = []

    def ask(timeout):
        asked.append(timeout)
        if pattern[(len(asked) - 1) % len(pattern)]:
            raise RuntimeError("no\nanswer")

    return ask, asked


@pytest.mark.parametrize(("pattern", "ends"), [([0], False), ([1, 1, 0], False), ([1], True), ([0, 1, 1, 1], True)])
def test_three_failures_in_a_row_count(ended, pattern, ends):
    ask, asked = failing(pattern)
    watch(ask)
    assert len(asked) >= 6
    assert bool(ended) == ends
    assert set(ended) <= {"no answer"}


def test_questions_that_took_far_too_long_do_not_count(ended):
    def ask(timeout):
        time.sleep(0.2)  # this process did not run
        raise RuntimeError("no answer")

    watch(ask)
    assert not ended


def test_nothing_is_ended_after_it_was_left(ended):
    def ask(timeout):
        time.sleep(0.1)
        raise RuntimeError("no answer")

    watch(ask, seconds=0.3)  # in the midst of the third question
    assert not ended
