import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import fakes
import numpy as np
import pytest
import tensorflow as tf
import windows

from slac_tf.replay import errors, listening

TESTS = pathlib.Path(__file__).resolve().parents[1]

# A process that writes to the server at argv[1] and reads what is there.
ANOTHER = """
import json, os, sys
import windows
from slac_tf.replay import reader, writer

address = sys.argv[1]
windows.collect(writer.WindowWriter(address, windows.data_spec(), sequence_length=3), 5, windows.one_stream(first=50))
batches = reader.BatchReader(address, windows.data_spec()).batches(50)
print(json.dumps(sorted(windows.sampled(batches))), flush=True)
os._exit(0)
"""


@pytest.fixture
def filled(make_server, make_writer):
    """A server with the windows that begin at 0 and 1."""
    made = make_server()
    windows.collect(make_writer(made), 5)
    return made


def test_writers_and_readers_of_other_processes(make_server, make_writer, make_reader):
    made = make_server()
    windows.collect(make_writer(made), 5, windows.one_stream())
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    process = subprocess.run(
        [sys.executable, "-c", ANOTHER, made.address], capture_output=True, text=True, env=environment, timeout=100
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == [0, 1, 50, 51]
    assert sorted(windows.sampled(make_reader(made).batches(50))) == [0, 1, 50, 51]


def test_the_oldest_windows_leave_first(make_server, make_writer, make_reader):
    made = make_server(capacity=5)
    windows.collect(make_writer(made), 20, windows.one_stream())
    assert made.size == 5
    assert sorted(windows.sampled(make_reader(made).batches(50))) == [12, 13, 14, 15, 16]  # of 0 to 16


def test_windows_survive_save_and_restore(make_server, make_writer, make_reader, tmp_path):
    made, environment = make_server(), fakes.CountingEnvironment()
    windows.collect(make_writer(made), 10, environment)
    before = windows.sampled(make_reader(made).batches(50))
    saved = tmp_path / "saved"
    made.save(saved)
    windows.collect(make_writer(made), 10)
    made.save(tmp_path / "later")  # Reverb removes what it wrote before, which must not touch `saved`

    restored = make_server(restore_from=saved)
    assert restored.size == len(before)
    after = windows.sampled(make_reader(restored).batches(50))
    assert sorted(after) == sorted(before)
    for begin, window in before.items():
        for a, b in zip(tf.nest.flatten(window), tf.nest.flatten(after[begin])):
            np.testing.assert_array_equal(a, b)

    # It goes on, and no window spans the interruption.
    number = environment._emitted
    windows.collect(make_writer(restored), 4, environment)
    assert sorted(set(windows.sampled(make_reader(restored).batches(50))) - set(before)) == [number]


def test_files_that_cannot_be_saved_are_not_the_servers_fault(filled, tmp_path):
    shutil.rmtree(tmp_path / "server_0")
    (tmp_path / "server_0").touch()
    with pytest.raises(RuntimeError, match="server_0 is not a directory") as error:
        filled.save(tmp_path / "saved")
    assert not isinstance(error.value, errors.ReplayError)


@pytest.mark.parametrize(("kwargs", "expected"), [({"capacity": 7}, "7 and 4"), ({"sequence_length": 2}, "1000 and 3")])
def test_a_saved_replay_of_other_settings_is_refused(make_server, filled, tmp_path, kwargs, expected):
    filled.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=f"capacity 1000 and windows of 4 steps, expected {expected}"):
        make_server(restore_from=tmp_path / "saved", **kwargs)


def test_the_server_may_be_opened_on_purpose(make_server, monkeypatch):
    opened = []
    monkeypatch.setattr(listening, "restrict", lambda *arguments: opened.append(arguments))
    networks = ["10.8.0.0/24"]
    assert opened == [(make_server(reachable_from_network=networks).port, networks)]


def test_a_server_that_cannot_be_kept_to_loopback_is_stopped(make_server, monkeypatch):
    ports = []

    def refuse(port, reach):
        ports.append(port)
        socket.create_connection(("localhost", port)).close()  # it does listen
        raise listening.ListeningError("no")

    monkeypatch.setattr(listening, "restrict", refuse)
    with pytest.raises(listening.ListeningError):
        make_server()
    with pytest.raises(OSError):
        socket.create_connection(("localhost", ports[0]), timeout=1)


@pytest.mark.skipif(not pathlib.Path("/proc/self/fd").exists(), reason="needs Linux")
def test_the_server_listens_on_loopback_only(make_server):
    made = make_server()
    devices = []
    for entry in pathlib.Path("/proc/self/fd").iterdir():
        if not str(entry.readlink() if entry.is_symlink() else "").startswith("socket:"):
            continue
        with socket.socket(fileno=socket.dup(int(entry.name))) as sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if is_listening and sock.getsockname()[1] == made.port:
                devices.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16))
    assert devices
    assert set(devices) == {b"lo\0"}
