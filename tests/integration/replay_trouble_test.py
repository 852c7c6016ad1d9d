"""Whole runs, in processes of their own, whose replay server is in trouble."""

import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARGUMENTS = ("--gin_file=gin_configs/hopper.gin", "--gin_file=gin_configs/debug.gin")

# What follows is put before the command's own start.
START = """
import sys
from slac_tf.commands import command, train_eval
sys.argv[0] = "train_eval"
command.run(train_eval.main)
"""
NO_BINDING = """
import errno, socket
class Socket(socket.socket):
    def setsockopt(self, level, option, *value):
        if option == socket.SO_BINDTODEVICE:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return super().setsockopt(level, option, *value)
socket.socket = Socket
"""
# The server stops in the midst of training, after a checkpoint.
STOPPED = """
from slac_tf.training import loop
def train(experiment, batches):
    loop._checkpoint(experiment)
    print("stopped", flush=True)
    experiment.replay._server.stop()
    train_until_the_end(experiment, batches)
train_until_the_end, loop.train = loop.train, train
"""


def start(before, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", before + START, *ARGUMENTS, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.expensive
def test_a_server_that_would_be_open_to_the_network_is_refused_and_can_be_opened(tmp_path):
    root = f"--root_dir={tmp_path / 'run'}"
    process = start(NO_BINDING, root)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 2, errors
    last = errors.splitlines()[-1]
    assert last.startswith("train_eval: the replay server on port ")
    assert last.endswith("bind ReplaySettings.reachable_from_network = True")
    assert "Traceback" not in errors

    # The same directory, as the message says.
    process = start(NO_BINDING, root, "--gin_bindings=ReplaySettings.reachable_from_network = True")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors.count("the replay server is open to the network on port") == 1


@pytest.mark.expensive
def test_a_stopped_server_ends_the_run_and_the_same_command_resumes(tmp_path):
    root = f"--root_dir={tmp_path / 'run'}"
    process = start(STOPPED, root)
    assert process.stdout.readline() == "stopped\n"
    begin = time.monotonic()
    _, errors = process.communicate(timeout=100)
    seconds = time.monotonic() - begin
    print(f"ended after {seconds:.1f} s")
    assert process.returncode == 1, errors
    assert seconds < 30
    (line,) = (line for line in errors.splitlines() if "the replay server has not answered for" in line)
    assert f"{tmp_path}/run/train/checkpoints/checkpoint-" in line
    assert line.endswith(" is kept: the same command resumes")
    assert "Traceback" not in errors

    process = start("", root)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "restored agent step 60," in errors
