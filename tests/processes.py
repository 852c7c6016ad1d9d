"""Whole runs in processes of their own, through bin/, under debug.gin."""

import csv
import json
import pathlib
import re
import subprocess
import time
from typing import Any, Callable, Dict, List, Sequence

import pytest

from slac_tf.runs import checkpoints

BIN = pathlib.Path(__file__).resolve().parents[1] / "bin"
SEED = 3
# Rewards at every step, short episodes of differing lengths, terminations.
NAME = "hopper-debug"  # of the gin files
COMMAND = ("--gin_file=gin_configs/hopper.gin", "--gin_file=gin_configs/debug.gin", f"--seed={SEED}")
ACTION_REPEAT = 2
INITIAL_AGENT_STEPS, SEQUENCE_LENGTH, REPLAY_CAPACITY = 60, 3, 500  # debug.gin's
# For runs that are stopped.
LONG = (
    *COMMAND,
    "--gin_bindings=Intervals.checkpoint_seconds = 1",
    "--gin_bindings=Schedule.updates_per_agent_step = 0.2",
    "--gin_bindings=EvaluationSettings.interval_env_steps = 400",
    "--gin_bindings=EvaluationSettings.keep_exports = 1",
)


def run(name: str, *arguments: str, cwd: pathlib.Path) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end."""
    return subprocess.run([str(BIN / name), *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)


def rows(root: pathlib.Path) -> List[Dict[str, str]]:
    """The rows of a run's eval.csv."""
    with (root / "eval.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lines(root: pathlib.Path, kind: str) -> List[Dict[str, Any]]:
    """The lines of one kind in a run's metrics.jsonl."""
    found = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


class Process:
    """A run in progress; its log is read while it runs."""

    def __init__(self, root: pathlib.Path, cwd: pathlib.Path, num_env_steps: int = 1_000_000, more: Sequence[str] = ()):
        self._log = cwd / f"{time.monotonic_ns()}.log"
        bindings = (f"Schedule.num_env_steps = {num_env_steps}", *more)
        arguments = (*LONG, *(f"--gin_bindings={binding}" for binding in bindings), f"--root_dir={root}")
        with self._log.open("w") as file:
            self._process = subprocess.Popen(
                [str(BIN / "train_eval"), *arguments], cwd=cwd, stdout=subprocess.DEVNULL, stderr=file
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return self._log.read_text()

    def wait_for(self, condition: Callable[[], Any], seconds: float = 120) -> Any:
        """Waits until a condition holds and returns what it returned."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            assert self._process.poll() is None, self.log[-3000:]
            time.sleep(0.01)
        pytest.fail(self.log[-3000:])

    def wait_for_line(self, pattern: str) -> "re.Match[str]":
        """Waits until the log has what a pattern describes."""
        return self.wait_for(lambda: re.search(pattern, self.log))

    def send(self, number: int) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def exit_code(self, seconds: float) -> int:
        """Waits for the end."""
        return self._process.wait(timeout=seconds)


def newest(root: pathlib.Path) -> checkpoints.Found:
    """A run's newest whole checkpoint, whose numbers agree."""
    found = checkpoints.newest(root / "train" / "checkpoints")
    assert found is not None
    state = found.state
    assert found.directory.name.startswith(f"checkpoint-{state['agent_step']:09d}-{state['pretrain_step']:09d}")
    assert state["agent_step"] == state["counters"]["agent_step"]
    assert state["env_step"] == ACTION_REPEAT * state["agent_step"]
    return found


def windows(agent_step: int) -> int:
    """In replay after a first process; a stream of n steps has n - T windows, and each phase is one.

    A reset adds a step and takes one window away, so resets do not change this.
    """
    initial = min(agent_step, INITIAL_AGENT_STEPS)
    size = sum(max(0, steps - SEQUENCE_LENGTH) for steps in (initial, agent_step - initial))
    return min(size, REPLAY_CAPACITY)


def wait_for_restored(process: Process, found: checkpoints.Found) -> int:
    """Checks where a process resumes; returns the size of its replay."""
    restored = process.wait_for_line(r"restored agent step (\d+), train step (\d+), (\d+) sequences from (\S+)\n")
    assert int(restored.group(1)) == found.state["agent_step"]
    assert int(restored.group(2)) == found.state["train_step"]
    assert restored.group(4) == str(found.directory)
    return int(restored.group(3))


def check_files(root: pathlib.Path) -> None:
    """Nothing twice, nothing torn, nothing left out."""
    env_steps = [int(row["OriginalEnvironmentSteps"]) for row in rows(root)]
    assert env_steps == sorted(set(env_steps))
    assert env_steps == [line["env_step"] for line in lines(root, "eval")]
    steps = [line["train_step"] for line in lines(root, "train")]
    assert steps == list(range(1, len(steps) + 1))


def finish(root: pathlib.Path, cwd: pathlib.Path, more: Sequence[str] = ()) -> None:
    """Resumes a run and lets it end 40 env steps later, after the random ones at the earliest."""
    found = newest(root)
    last = max(found.state["env_step"], ACTION_REPEAT * INITIAL_AGENT_STEPS) + 40
    with Process(root, cwd, last, more) as process:
        wait_for_restored(process, found)
        assert process.exit_code(180) == 0, process.log[-3000:]
    assert newest(root).state["env_step"] == last
    assert int(rows(root)[-1]["OriginalEnvironmentSteps"]) == last
    check_files(root)
