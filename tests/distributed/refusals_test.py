"""What keeps processes of different runs, versions and machines apart: one line each, and no crash."""

import re
import shutil
import signal
import socket
import subprocess
import sys

import launched
import pytest

from slac_tf.commands import doctor

pytestmark = pytest.mark.expensive

OTHER_VERSION = """
import sys
from slac_tf.commands import collect, command
command.configure_process()
from slac_tf.distributed import protocol
protocol.VERSION += 1
sys.argv[0] = "collect"
command.run(collect.main)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A replay server, its address, and its root."""
    root = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:  # another worker may have a server of its own
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = launched.command("replay_server", root / "run", (), f"--port={port}", f"--ready_file={root / 'ready'}")
    with launched.Process(command, root / "server.log") as process:
        process.wait_for(lambda: (root / "ready").exists())
        yield process, f"localhost:{port}", root / "run"
        assert process.process.poll() is None


def ended(command):
    return subprocess.run(
        command, cwd=launched.ROOT, env=launched.ENVIRONMENT, capture_output=True, text=True, timeout=120
    )


def refused(command, *parts):
    found = ended(command)
    lines = [line for line in found.stderr.splitlines() if not re.match(r"\[reverb|[IW]\d{4} ", line)]
    assert (found.returncode, len(lines)) == (2, 1), found.stderr
    for part in parts:
        assert part in lines[0]
    print(lines[0])


def test_a_second_server_on_the_port(server, tmp_path):
    port = server[1].split(":")[1]
    refused(launched.command("replay_server", tmp_path / "run", (), f"--port={port}"), f"--port={port}: in use")


def test_a_second_server_of_the_run(server):
    refused(launched.command("replay_server", server[2], (), "--port=18766"), "is in use by another process")


@pytest.mark.parametrize(
    ("agent", "line"),
    [
        ("dvrl", "its own newest steps alone, expected one that trains"),
        ("planet", "updates_per_episode: 100, expected"),
    ],
)
def test_an_agent_whose_train_steps_are_not_owed_for_agent_steps(agent, line, tmp_path):
    files = [f"--gin_file=gin_configs/{name}.gin" for name in ("finger_spin", f"agents/{agent}")]
    refused([launched.ROOT / "bin" / "replay_server", *files, f"--root_dir={tmp_path / 'run'}", "--port=18767"], line)


def test_another_configuration(server, tmp_path):
    command = launched.command("collect", tmp_path, ("ReplaySettings.capacity = 77",), f"--replay_address={server[1]}")
    refused(command, "is of another configuration: there 'ReplaySettings.capacity = 10000', now 'ReplaySettings.cap")


def test_another_version(server, tmp_path):
    command = launched.command("collect", tmp_path, (), f"--replay_address={server[1]}")
    refused([sys.executable, "-c", OTHER_VERSION, *command[3:]], "speaks version 2 of the protocol, expected 3")


@pytest.fixture
def in_a_pid_namespace():
    """A command prefix: its process has id 1 in a namespace of its own."""
    prefix = ["unshare", "--pid", "--fork", "--kill-child"]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no pid namespace may be made here: {error}")
    return prefix


def test_the_servers_process_id_in_another_namespace(in_a_pid_namespace, tmp_path):
    ready, address = tmp_path / "ready", "localhost:18768"
    command = launched.command("replay_server", tmp_path / "run", (), "--port=18768", f"--ready_file={ready}")
    with launched.Process([*in_a_pid_namespace, *command], tmp_path / "log") as process:
        process.wait_for(ready.exists)
        command = launched.command("collect", tmp_path, (), f"--replay_address={address}")
        refused([*in_a_pid_namespace, *command], f"the replay server at {address} has process id 1, expected another")
        unguarded = f"import reverb; print(next(reverb.Client({address!r}).sample('run')))"
        assert ended([*in_a_pid_namespace, sys.executable, "-c", unguarded]).returncode == -signal.SIGSEGV


def test_a_wrong_address_is_said(tmp_path):
    command = launched.command("collect", tmp_path, (), "--replay_address=localhost:9")
    with launched.Process(command, tmp_path / "log") as process:
        process.wait_for_line(
            r"waiting for the replay server at localhost:9 since \d+ s; the replay server has not", 60
        )


def test_the_doctor(server):
    assert re.search(
        r"answers: protocol 2, seed = 0, 0 sequences, 0 agent steps; no l", doctor.check_distributed(server[1])
    )
    with pytest.raises(doctor.CheckError, match="nothing answered at localhost port 9"):
        doctor.check_distributed("localhost:9")


def test_it_listens_on_loopback_alone(server):
    if shutil.which("ss") is None:
        pytest.skip("no ss here")
    output = subprocess.run(["ss", "-Hltn"], check=True, capture_output=True, text=True).stdout
    port = server[1].rpartition(":")[2]
    (line,) = [line for line in output.splitlines() if line.split()[3].endswith(f":{port}")]
    assert f"%lo:{port}" in line
