"""Processes of a run that are killed, stopped or asked to end, and a server that is away."""

import json
import os
import random
import re
import signal
import time

import launched
import numpy as np
import psutil
import pytest
from processes import check_files, lines

from slac_tf.runs import checkpoints

pytestmark = pytest.mark.expensive

# Of each of four kinds of process; and how often all are killed at once. SLAC_TF_KILLS=10 makes 42 in all.
KILLS_OF_EACH = int(os.environ.get("SLAC_TF_KILLS", "1"))
KILLS_OF_ALL = 1 if KILLS_OF_EACH < 10 else 2
ENDLESS = ("Schedule.num_env_steps = 1000000", "Schedule.updates_per_agent_step = 0.5")


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def train_step(root):
    """The newest that the observer saw; None before the first."""
    lines = launched.seen(root)
    progress = lines[-1]["second"]["progress"] if lines else None
    return None if progress is None else progress[2]


def wait_for_train_steps(launch, count=20):
    """Waits until the learner has made that many from now on, or for the first time."""
    first = launch.wait_for(lambda: train_step(launch.root))
    launch.wait_for(lambda: (train_step(launch.root) or 0) >= first + count)


def wait_for_checkpoints(launch):
    for place in ("train/checkpoints", "replay/train/checkpoints"):
        launch.wait_for(lambda place=place: list((launch.root / place).glob("checkpoint-*")))


def finish(root, updates):
    """Lets the run end a little later, and checks all that it has left."""
    state = checkpoints.newest(root / "train" / "checkpoints").state
    total = state["agent_step"] + 60
    with launched.Launch(root, 2, (*ENDLESS[1:], f"Schedule.num_env_steps = {total}")) as launch:
        assert launch.exit_code(240) == 0, launch.log[-5000:]
    train_steps, state = launched.train_steps_in_checkpoint(root)
    assert (train_steps, state["agent_step"]) == (int(updates * (total - launched.INITIAL)), total)
    check_files(root)
    for name in ("train", "resources", "collectors"):
        steps = [line["agent_step"] for line in lines(root, name)]
        assert steps == sorted(steps), name
    assert launched.check_windows(launched.windows_seen(root)) > 100
    return train_steps


def rises(root):
    """Generation and train step of what is published never go back.

    But for the moment in which a server that was started again still has what it restored, and then nothing.
    """
    lines = [line for line in launched.seen(root) if line["first"]["progress"] and line["second"]["progress"]]
    seen = [tuple(line["first"]["progress"][1:3]) for line in lines]
    assert seen == sorted(seen)
    return len(seen)


def test_killed_at_random(tmp_path):
    root, seed = tmp_path / "run", random.randrange(10**6)
    print(f"random.Random({seed})")
    generator = random.Random(seed)
    kinds = ["collect 0", "replay_server", "learner", "evaluator"]
    kills = [kind for kind in kinds for _ in range(KILLS_OF_EACH)]
    generator.shuffle(kills)
    parts = np.array_split(kills, KILLS_OF_ALL + 1)
    killed = lost = 0
    for number, part in enumerate(parts):
        with launched.Launch(root, 2, ENDLESS, "--restarts=100") as launch:
            wait_for_checkpoints(launch)
            wait_for_train_steps(launch)
            for name in part:
                time.sleep(generator.uniform(2, 8))
                before = checkpoints.newest(root / "train" / "checkpoints").state
                pid = launch.wait_for(lambda name=name: launch.pid(name))
                os.kill(pid, signal.SIGKILL)
                killed += 1
                launch.wait_for(lambda name=name, pid=pid: launch.pid(name) not in (None, pid))
                after = checkpoints.newest(root / "train" / "checkpoints").state
                lost += any(after[key] < before[key] for key in ("agent_step", "train_step"))
            wait_for_train_steps(launch)
            if number == KILLS_OF_ALL:
                launch.process.send_signal(signal.SIGTERM)
                assert launch.exit_code(60) == 143
            else:
                children = launched.descendants(launch.process.pid)
                for process in (launch.process, *children):
                    process.send_signal(signal.SIGKILL)
                killed += 1
                launch.process.wait()
                psutil.wait_procs(children, timeout=10)
    rises(root)
    train_steps = finish(root, 0.5)
    print(f"faults: {killed} killed, {lost} lost, {train_steps} train steps as due")
    assert lost == 0


def test_a_server_that_is_away_and_signals(tmp_path):
    root = tmp_path / "run"
    with launched.Launch(root, 2, ENDLESS, "--noevaluator") as launch:
        wait_for_checkpoints(launch)
        wait_for_train_steps(launch)
        others = ("learner", "collect 0", "collect 1")
        pids = [launch.pid(name) for name in others]

        # It hangs for a while.
        os.kill(launch.pid("replay_server"), signal.SIGSTOP)
        time.sleep(10)
        os.kill(launch.pid("replay_server"), signal.SIGCONT)
        begin = time.monotonic()
        wait_for_train_steps(launch)
        print(f"trains {time.monotonic() - begin:.1f} s after SIGCONT")

        # It is dead for a while: a launcher that is stopped starts nothing.
        launch.process.send_signal(signal.SIGSTOP)
        os.kill(launch.pid("replay_server"), signal.SIGKILL)
        time.sleep(8)
        launch.process.send_signal(signal.SIGCONT)
        begin = time.monotonic()
        wait_for_train_steps(launch)
        print(f"trains {time.monotonic() - begin:.1f} s after the server's end was noticed")
        assert [launch.pid(name) for name in others] == pids

        # Each is asked to end, alone.
        for name in (*others, "replay_server"):
            pid = launch.pid(name)
            os.kill(pid, signal.SIGTERM)
            launch.wait_for_line(rf"{name} ended with 143", seconds=30)
        wait_for_train_steps(launch)

        # All are.
        children = launched.descendants(launch.process.pid)
        assert len(children) == 4
        launch.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        assert launch.exit_code(40) == 143
        print(f"SIGTERM: all ended within {time.monotonic() - begin:.1f} s")
        assert not any(child.is_running() for child in children)
        assert "Traceback" not in launch.log
        state = json.loads((root / "launch.json").read_text())
        assert all(child["pid"] is None for child in state["children"].values())
    finish(root, 0.5)


def test_a_server_that_is_gone_for_good(tmp_path):
    root = tmp_path / "run"
    with launched.Launch(root, 1, (*ENDLESS, "Distributed.peer_wait_seconds = 10"), "--noevaluator") as launch:
        wait_for_checkpoints(launch)
        wait_for_train_steps(launch)
        pids = {name: launch.pid(name) for name in ("learner", "collect 0")}
        launch.process.send_signal(signal.SIGSTOP)  # it starts nothing
        os.kill(launch.pid("replay_server"), signal.SIGKILL)
        begin = time.monotonic()
        while any(alive(pid) for pid in pids.values()):
            assert time.monotonic() - begin < 45
            time.sleep(0.1)
        print(f"ended {time.monotonic() - begin:.1f} s after the server")
        launch.process.send_signal(signal.SIGCONT)
        for name in pids:
            launch.wait_for_line(rf"{name} ended with 75")
            said = rf"\[{name}\] \w+: the replay server at .* has not answered for \d+ s"
            launch.wait_for_line(said)
            assert len(re.findall(said, launch.log)) == 1
        assert "Traceback" not in launch.log

        # Its children end with a launcher, however that ends.
        wait_for_train_steps(launch)
        children = launched.descendants(launch.process.pid)
        launch.process.send_signal(signal.SIGKILL)
        launch.process.wait()
        assert not psutil.wait_procs(children, timeout=30)[1]
    assert checkpoints.newest(root / "train" / "checkpoints") is not None
