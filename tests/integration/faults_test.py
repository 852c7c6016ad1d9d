"""Runs that are killed, stopped, or lose their disk, each in a process of its own."""

import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest
from processes import (
    COMMAND,
    INITIAL_AGENT_STEPS,
    Process,
    check_files,
    finish,
    lines,
    newest,
    run,
    wait_for_restored,
    windows,
)
from tensorboard.backend.event_processing import event_accumulator

from slac_tf.runs import checkpoints

RANDOM = r"collecting \d+ agent steps"
PRETRAIN = r"\bpretrain \d+/"
TRAIN = r"\btrain \d+/500000 "
EVAL = r"evaluating at env step"
SAVED = r"checkpoint \S+, \d"


def test_killed_then_stopped_then_finished(tmp_path):
    root = tmp_path / "run"
    seed = random.randrange(10**6)
    print(f"random.Random({seed})")
    with Process(root, tmp_path) as process:
        process.wait_for(lambda: checkpoints.newest(root / "train" / "checkpoints"))
        time.sleep(random.Random(seed).uniform(0, 6))
        process.send(signal.SIGKILL)
        assert process.exit_code(30) == -signal.SIGKILL
    found = newest(root)

    with Process(root, tmp_path) as process:
        assert wait_for_restored(process, found) == windows(found.state["agent_step"])
        process.wait_for_line(TRAIN)
        process.send(signal.SIGTERM)
        begin = time.monotonic()
        assert process.exit_code(30) == 128 + signal.SIGTERM
        assert time.monotonic() - begin < 30
        assert "stopped by signal 15: writing a checkpoint" in process.log
    stopped = newest(root)
    assert stopped.state["agent_step"] > max(INITIAL_AGENT_STEPS, found.state["agent_step"])
    sizes = {name: (root / name).stat().st_size for name in ("metrics.jsonl", "eval.csv")}
    assert {name: stopped.state["files"][name] for name in sizes} == sizes
    check_files(root)

    finish(root, tmp_path)


# Signals.


@pytest.mark.expensive
@pytest.mark.parametrize(
    "number, line, longer",
    [
        pytest.param(
            signal.SIGINT,
            RANDOM,
            ("Schedule.initial_collect_agent_steps = 100000",),
            id="int-random",
            marks=pytest.mark.long,
        ),
        pytest.param(
            signal.SIGTERM,
            RANDOM,
            ("Schedule.initial_collect_agent_steps = 100000",),
            id="term-random",
            marks=pytest.mark.long,
        ),
        pytest.param(signal.SIGINT, PRETRAIN, ("Schedule.num_pretrain_steps = 100000",), id="int-pretrain"),
        pytest.param(signal.SIGTERM, EVAL, ("EvaluationSettings.num_episodes = 1000",), id="term-evaluation"),
        pytest.param(
            signal.SIGINT,
            EVAL,
            ("EvaluationSettings.num_episodes = 1000",),
            id="int-evaluation",
            marks=pytest.mark.long,
        ),
        pytest.param(signal.SIGINT, TRAIN, (), id="int-train"),
    ],
)
def test_stopped(tmp_path, number, line, longer):
    root = tmp_path / "run"
    with Process(root, tmp_path, more=longer) as process:
        process.wait_for_line(line)
        process.send(number)
        assert process.exit_code(30) == 128 + number
        log = process.log
        assert "Traceback" not in log
        assert f"stopped by signal {int(number)}: writing a checkpoint" in log
    found = newest(root)
    metrics = root / "metrics.jsonl"  # not there yet after one random step
    assert found.state["files"].get("metrics.jsonl", 0) == (metrics.stat().st_size if metrics.exists() else 0)
    with Process(root, tmp_path, more=longer) as process:
        assert wait_for_restored(process, found) == found.state["num_sequences"]


@pytest.mark.expensive
@pytest.mark.parametrize("number, exit_code", [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_stopped_before_the_run_begins(tmp_path, number, exit_code):
    with Process(tmp_path / "run", tmp_path) as process:
        time.sleep(1.5)  # while it imports
        process.send(number)
        assert process.exit_code(30) == exit_code
        if number == signal.SIGINT:
            assert process.log == "train_eval: interrupted before the run began\n"
    assert not (tmp_path / "run").exists()


# SIGKILL.


@pytest.mark.expensive
@pytest.mark.parametrize("kills", [8, pytest.param(20, marks=pytest.mark.long)])
def test_killed_again_and_again(tmp_path, kills):
    """In every phase, inside a checkpoint, inside an export, and at random moments; then it runs to its end."""
    root, place = tmp_path / "run", tmp_path / "run" / "train" / "checkpoints"
    seed = random.randrange(10**6)
    print(f"random.Random({seed})")
    generator = random.Random(seed)
    longer = ("Schedule.initial_collect_agent_steps = 1000", "Schedule.num_pretrain_steps = 200")

    def log(pattern):
        return lambda process: process.wait_for_line(pattern)

    def found(pattern):
        try:
            return list(root.rglob(pattern))
        except FileNotFoundError:  # a folder was renamed or removed while it was listed
            return []

    def appears(pattern):
        return lambda process: process.wait_for(lambda: found(pattern))

    moments = [log(RANDOM), appears("incomplete-checkpoint-*"), log(PRETRAIN), log(EVAL)]
    moments += [appears("incomplete-env_step_*/*"), log(TRAIN), appears("incomplete-checkpoint-*/replay")]
    moments += [None] * (kills - len(moments))
    killed = lost = 0
    for moment in moments:
        before = checkpoints.newest(place) if place.exists() else None
        with Process(root, tmp_path, more=longer) as process:
            if before is not None:
                assert wait_for_restored(process, before) == before.state["num_sequences"]
            elif moment is None:
                process.wait_for_line("starting at step 0")
            if moment is not None:
                moment(process)
            time.sleep(generator.uniform(0, 0.2) if moment is not None else generator.uniform(0, 10))
            seen = checkpoints.newest(place) if place.exists() else None  # before the end: what must not be lost
            process.send(signal.SIGKILL)
            assert process.exit_code(30) == -signal.SIGKILL
        killed += 1
        after = checkpoints.newest(place) if place.exists() else None
        progress = [-1 if one is None else one.state["wall_seconds"] for one in (before, seen, after)]
        lost += progress != sorted(progress)
        if (root / "metrics.jsonl").exists():
            lines(root, "train")  # no line is torn
    finish(root, tmp_path, longer)
    assert lines(root, "pretrain")[-1]["pretrain_step"] == 200
    steps = event_accumulator.EventAccumulator(str(root / "train"), size_guidance={"tensors": 0})
    steps.Reload()
    drawn = {event.step for event in steps.Tensors("Losses/loss")}
    assert {line["env_step"] for line in lines(root, "train")} <= drawn
    print(f"faults: {killed} killed, {lost} lost")
    assert (killed, lost) == (kills, 0)


# Damage and a second process.


@pytest.mark.expensive
def test_a_damaged_checkpoint_and_a_second_process(tmp_path):
    root = tmp_path / "run"
    with Process(root, tmp_path) as process:
        process.wait_for_line(TRAIN)
        with Process(root, tmp_path) as second:
            assert second.exit_code(60) == 2
            (line,) = second.log.splitlines()
            assert f"{root} is in use by another process" in line
        process.send(signal.SIGTERM)
        assert process.exit_code(30) == 143
    damaged = newest(root).directory
    (chunks,) = damaged.rglob("chunks.tfrecord")
    data = bytearray(chunks.read_bytes())
    chunks.unlink()  # Reverb's own copy is the same file
    data[len(data) // 2] ^= 1
    chunks.write_bytes(data)
    with Process(root, tmp_path) as process:
        process.wait_for_line(r"restored agent step")
        log = process.log
        assert re.search(rf"damaged: {damaged}: replay/chunks.tfrecord is .*, the one before\n", log), log
    found = newest(root)
    assert found.directory != damaged
    for place in found.directory.parent.glob("checkpoint-*"):
        os.truncate(place / "state.json", 10)
    before = sorted(root.rglob("*"))
    with Process(root, tmp_path) as process:
        assert process.exit_code(60) == 2
        (line,) = process.log.splitlines()
        assert "no whole checkpoint" in line
    assert sorted(root.rglob("*")) == before


# Disks.


@pytest.fixture
def disk(tmp_path):
    """A file system of 60 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk: pathlib.Path, left: int) -> None:
    """Leaves so many bytes free."""
    state = os.statvfs(disk)
    (disk / "filler").write_bytes(b"\0" * (state.f_bavail * state.f_frsize - left))


@pytest.mark.expensive
@pytest.mark.parametrize(
    "left, interval, named",
    [
        pytest.param(0, 1000, r"/run/(metrics\.jsonl|train)", id="metrics"),
        pytest.param(300_000, 1, r"/run/train/checkpoints/checkpoint-\d+-\d+", id="checkpoint"),
        pytest.param(300_000, 1000, r"/run/(policies|eval)", id="export"),
    ],
)
def test_disk_full(disk, tmp_path, left, interval, named):
    root = disk / "run"
    with Process(root, tmp_path) as process:
        process.wait_for_line(TRAIN)
        process.send(signal.SIGTERM)
        assert process.exit_code(30) == 143
    before = newest(root)
    with Process(root, tmp_path, more=(f"Intervals.checkpoint_seconds = {interval}",)) as process:
        process.wait_for_line(r"restored agent step")
        fill(disk, left)
        assert process.exit_code(120) == 1
        log = process.log
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if "could not be written" in line]
    assert re.search(rf"{named} could not be written: No space left on device; ", line), line
    assert f"{root}/train/checkpoints/checkpoint-" in line
    assert newest(root).state["agent_step"] >= before.state["agent_step"]
    assert not list(root.rglob("incomplete-*"))
    (disk / "filler").unlink()
    finish(root, tmp_path)


@pytest.mark.expensive
def test_a_directory_that_vanishes(tmp_path):
    root = tmp_path / "run"
    with Process(root, tmp_path) as process:
        process.wait_for_line(TRAIN)
        shutil.rmtree(root, ignore_errors=True)
        assert process.exit_code(60) == 1
        log = process.log
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if "could not be written" in line]
    assert f"{root} is gone, all or in part: put it back, and the same command resumes" in line


@pytest.mark.expensive
def test_a_directory_that_cannot_be_written(disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = run("train_eval", *COMMAND, f"--root_dir={disk}/run", cwd=tmp_path)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert f"{disk}/run: Read-only file system: a run needs a directory that it can write to" in line
