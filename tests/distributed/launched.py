"""Runs of bin/launch in processes of their own, and what an outside observer saw of them."""

import json
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import tensorflow as tf

from slac_tf.runs import checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]
GIN_FILE = "tests/distributed/numbered.gin"
INITIAL, LEAD = 100, 40  # of that file
SEQUENCE_LENGTH = 1  # of build_sac with frames alone
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


def command(name, root, bindings, *more, gin_file=GIN_FILE):
    bound = [f"--gin_bindings={binding}" for binding in bindings]
    return [
        *(sys.executable, "-m", f"slac_tf.commands.{name}", f"--gin_file={gin_file}", f"--root_dir={root}"),
        *(*bound, *more),
    ]


class Process:
    """A process whose log is read while it runs."""

    def __init__(self, arguments, log):
        self._log = pathlib.Path(log)
        with self._log.open("a") as file:
            self.process = subprocess.Popen(arguments, cwd=ROOT, env=ENVIRONMENT, stdout=file, stderr=file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)  # its children end with it
        self.process.wait()

    @property
    def log(self):
        return self._log.read_text()

    def wait_for(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, self.log[-5000:]
            time.sleep(0.05)
        pytest.fail(self.log[-5000:])

    def wait_for_line(self, pattern, seconds=120):
        return self.wait_for(lambda: re.search(pattern, self.log), seconds)

    def exit_code(self, seconds):
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"goes on: {self.log[-5000:]}")


class Launch(Process):
    """bin/launch, with an observer beside it."""

    def __init__(self, root, collectors, bindings=(), *more, observed=True, gin_file=GIN_FILE):
        self.root = root
        arguments = command("launch", root, bindings, f"--collectors={collectors}", *more, gin_file=gin_file)
        root.parent.mkdir(parents=True, exist_ok=True)
        (root / "launch.json").unlink(missing_ok=True)
        super().__init__(arguments, root.parent / "launch.log")
        self.observations, self.windows = root.parent / "observations.jsonl", root.parent / "windows"
        self._observer = None
        if observed:
            address = self.wait_for(lambda: self.state() and self.state()["replay_address"])
            self._observer = Process(
                [sys.executable, str(ROOT / "tests/distributed/observer.py"), address]
                + [str(self.observations), str(self.windows)],
                root.parent / "observer.log",
            )

    def __exit__(self, *_):
        if self._observer is not None:
            self._observer.__exit__()
        super().__exit__()

    def state(self):
        try:
            return json.loads((self.root / "launch.json").read_text())
        except FileNotFoundError:
            return None

    def pid(self, name):
        return self.state()["children"][name]["pid"]


def seen(root):
    """The observer's readings, in their order."""
    file = root.parent / "observations.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [line for line in lines if line["first"]]


def check_ratio(root, updates, lead=LEAD):
    """-1 <= u (A - I) - train steps <= u L + 1 at every observation; returns how often both bounds were looked at.

    The counts before and the train steps after, for the upper one, and the other way round for the lower one, since
    what is published comes a little late; on a busy machine so late that the steps taken are not in it, and then
    nothing can be said.
    """
    count = 0
    for line in seen(root):
        first, second = line["first"], line["second"]
        assert first["inserted"] - first["taken"] <= lead, line
        if not (first["progress"] and second["progress"]) or first["progress"][1] != second["progress"][1]:
            continue
        if first["inserted"] <= INITIAL or not first["progress"][2] or second["progress"][3] < first["taken"]:
            continue
        count += 1
        assert updates * (first["inserted"] - INITIAL) - second["progress"][2] <= updates * lead + 1, line
        assert updates * (second["inserted"] - INITIAL) - first["progress"][2] >= -1, line
    return count


def train_steps_in_checkpoint(root):
    """Adam's count of the actor's steps, from the newest checkpoint."""
    found = checkpoints.newest(root / "train" / "checkpoints")
    reader = tf.train.load_checkpoint(str(found.directory / "agent"))
    (name,) = [name for name in reader.get_variable_to_shape_map() if re.search(r"_optimizers/actor/iter/", name)]
    return int(reader.get_tensor(name)), found.state


def check_windows(windows, length=2, trained_step=0):
    """Each from one start of one environment, its steps consecutive, none twice; returns how many there are."""
    begins = set()
    for numbers, step_types in windows:
        assert len(numbers) == length
        assert len(set(numbers[:, 0])) == 1, numbers
        for (_, episode, step), (_, next_episode, next_step), step_type in zip(numbers, numbers[1:], step_types):
            if step_type == 2:  # the reset
                assert (next_episode, next_step) == (episode + 1, 0), numbers
            else:
                assert (next_episode, next_step) == (episode, step + 1), numbers
        assert step_types[trained_step] != 2
        assert [bool(step == 0) for step in numbers[:, 2]] == [bool(kind == 0) for kind in step_types]
        begin = tuple(numbers[0])
        assert begin not in begins, numbers
        begins.add(begin)
    return len(begins)


def windows_seen(root):
    """Windows that the observer sampled, each once."""
    return [(np.asarray(a), np.asarray(b)) for a, b in pickle.loads((root.parent / "windows").read_bytes()).values()]


def descendants(pid):
    return psutil.Process(pid).children(recursive=True)
