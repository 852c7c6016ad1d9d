"""What a launcher does with children that end, with scripts in the place of a run's processes."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from slac_tf.distributed import launcher

FOREVER = "import time; time.sleep(100)"


@pytest.fixture
def launch(tmp_path):
    """Runs scripts by their names; gives the exit code, what was said, and the state that was written."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(scripts, most_restarts=3):
        children = [
            launcher.Child(name, [sys.executable, "-S", "-c", script], most_restarts)
            for name, script in scripts.items()
        ]
        said = []
        code = launcher.Launcher(children, "localhost:1", tmp_path / "launch.json", said.append).run()
        state = json.loads((tmp_path / "launch.json").read_text())
        assert all(child["pid"] is None for child in state["children"].values())
        return code, said, state["children"]

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_learner_that_is_done_ends_all(launch):
    code, said, state = launch({"replay_server": FOREVER, "learner": "pass", "collect 0": "pass"})
    assert (code, said) == (0, [])
    assert state["replay_server"]["exit_code"] == -signal.SIGTERM
    assert state["collect 0"]["exit_code"] == 0


def test_a_mistake_ends_all(launch):
    code, _, state = launch({"replay_server": FOREVER, "learner": "raise SystemExit(2)"})
    assert code == 2
    assert state["replay_server"]["exit_code"] == -signal.SIGTERM


def test_what_fails_is_started_again_and_then_given_up(launch):
    code, said, state = launch({"learner": FOREVER, "collect 0": "raise SystemExit(75)"}, most_restarts=1)
    assert code == 1
    assert state["collect 0"]["starts"] == 2
    assert said[0] == "collect 0 ended with 75; start 1 is over"
    assert said[-1] == "collect 0 was started 2 times: giving up; see its lines above"


def test_pauses_grow():
    child = launcher.Child("collect 0", [sys.executable, "-S", "-c", "raise SystemExit(1)"], 20)
    pauses = []
    for _ in range(3):
        child._next_start = 0.0
        assert child.start_if_due()
        while not child.ended():
            time.sleep(0.01)
        pauses.append(round(child._next_start - time.monotonic()))
    assert pauses == [1, 2, 4]


def test_it_waits_for_processes_that_still_end(tmp_path):
    lock, said = tmp_path / "lock", []
    launcher.wait_until_free([lock, tmp_path / "replay" / "lock"], said.append)
    assert not said  # no run yet
    script = "import fcntl, time; file = open('lock', 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); "
    with subprocess.Popen([sys.executable, "-c", script + "time.sleep(1)"], cwd=tmp_path, stdout=subprocess.PIPE) as of:
        of.stdout.readline()
        launcher.wait_until_free([lock], said.append)
    assert said == [f"{tmp_path} is in use: waiting for the processes of before to end"]
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        begin = time.monotonic()
        launcher.wait_until_free([lock], said.append, seconds=0.3)
        assert 0.3 <= time.monotonic() - begin < 5


def test_it_needs_no_tensorflow():
    """A process that has it loaded must not make others."""
    code = "import sys; from slac_tf.commands import launch, role; from slac_tf.distributed import launcher; "
    code += "print([name for name in ('tensorflow', 'reverb', 'mujoco') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert ended.stdout == "[]\n", ended.stderr
