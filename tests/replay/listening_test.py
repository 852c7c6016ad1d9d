import errno
import json
import pathlib
import socket
import subprocess
import sys

import pytest
from absl import logging

from slac_tf.replay import listening

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Two network namespaces of its own, joined by a pair of virtual cards; run in the first of them.
TWO_NAMESPACES = """
import json, os, pathlib, socket, subprocess, sys, tempfile, time
import tensorflow as tf
from tf_agents.trajectories import trajectory
from slac_tf.replay import listening, sequence_replay

def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

other = subprocess.Popen(["unshare", "-n", "sleep", "300"])
own = os.readlink("/proc/self/ns/net")
while os.readlink(f"/proc/{other.pid}/ns/net") == own:
    time.sleep(0.01)
there = ["nsenter", "-t", str(other.pid), "-n"]
run("ip", "link", "set", "lo", "up")
run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(other.pid))
addresses = {"IPv4": "10.99.0.1", "IPv6": "fd99::1"}
for prefix, device, number in [([], "here", 1), (there, "there", 2)]:
    run(*prefix, "ip", "addr", "add", f"10.99.0.{number}/24", "dev", device)
    run(*prefix, "ip", "-6", "addr", "add", f"fd99::{number}/64", "dev", device, "nodad")
    run(*prefix, "ip", "link", "set", device, "up")

def connect(address, port, prefix=there):
    code = f"import socket; socket.create_connection(({address!r}, {port}), timeout=3); print('reached')"
    result = subprocess.run([*prefix, sys.executable, "-S", "-c", code], capture_output=True, text=True)
    return result.stdout.strip() or result.stderr.strip().splitlines()[-1].split(":")[0]

def replay(name, **kwargs):
    number, flag = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)
    spec = trajectory.Trajectory(flag, {"state": number}, number, (), flag, number, number)
    directory = pathlib.Path(tempfile.mkdtemp()) / name
    return sequence_replay.SequenceReplay(spec, sequence_length=1, capacity=9, directory=directory, **kwargs)

control = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
closed, opened = replay("closed"), replay("opened", reachable_from_network=True)
limited = replay("limited", reachable_from_network=["10.99.0.0/24", "fd98::/64"])
time.sleep(2)  # IPv6 settles
ports = {"control": control.getsockname()[1], "closed": closed._server.port, "opened": opened._server.port}
ports["limited"] = limited._server.port
result = {}
for name, port in ports.items():
    result[name] = {kind: connect(address, port) for kind, address in addresses.items()}
    result[name]["loopback"] = [connect(address, port, []) for address in ("127.0.0.1", "::1")]

# Somebody who was there before the socket was tied to loopback.
early = socket.create_server(("0.0.0.0", 0))
port = early.getsockname()[1]
code = f"import socket as s, time; c = s.create_connection(('10.99.0.1', {port})); print(1, flush=True); time.sleep(99)"
guest = subprocess.Popen([*there, sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
guest.stdout.readline()
local = socket.create_connection(("127.0.0.1", port))
result["peers"] = listening.foreign_peers(port)
try:
    listening.restrict(port, False)
except listening.ListeningError as error:
    result["early"] = str(error)
guest.kill()
other.kill()
print(json.dumps(result), flush=True)
os._exit(0)
"""


def in_a_new_network_namespace():
    """The command prefix, for root or, with a user namespace, for anybody."""
    failures = []
    for prefix in (["unshare", "-Urn"], ["unshare", "-n"]):
        try:
            subprocess.run([*prefix, "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"], check=True)
            return prefix
        except (OSError, subprocess.CalledProcessError) as error:
            failures.append(str(error))
    return pytest.skip(f"no network namespace may be made here: {'; '.join(failures)}")


@pytest.mark.expensive
def test_another_network_namespace_reaches_only_what_was_opened():
    prefix = in_a_new_network_namespace()
    output = subprocess.run(
        [*prefix, sys.executable, "-c", TWO_NAMESPACES], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert output.returncode == 0, output.stderr
    result = json.loads(output.stdout.splitlines()[-1])
    everywhere = {"IPv4": "reached", "IPv6": "reached", "loopback": ["reached", "reached"]}
    assert result["control"] == everywhere
    assert result["opened"] == everywhere
    assert result["limited"] == {"IPv4": "reached", "IPv6": "TimeoutError", "loopback": ["reached", "reached"]}
    assert result["closed"]["loopback"] == ["reached", "reached"]
    assert {result["closed"][kind] for kind in ("IPv4", "IPv6")} <= {"ConnectionRefusedError", "TimeoutError"}
    assert result["peers"] == ["10.99.0.2"]  # not 127.0.0.1
    assert result["early"].startswith("10.99.0.2 connected to the replay server on port")
    assert output.stderr.count("open to the network on port") == 1  # of the one opened on purpose
    assert output.stderr.count("open to 10.99.0.0/24, fd98::/64 on port") == 1


@pytest.fixture
def not_permitted(monkeypatch):
    """A system that refuses SO_BINDTODEVICE, as Linux before 5.7 does without privilege."""

    class Socket(socket.socket):
        def setsockopt(self, level, option, *value):
            if option == socket.SO_BINDTODEVICE:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return super().setsockopt(level, option, *value)

    monkeypatch.setattr(socket, "socket", Socket)


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_a_listening_socket_is_tied_to_loopback(family, address):
    with socket.create_server((address, 0), family=family) as server:
        listening.restrict(server.getsockname()[1], False)
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"


def test_every_socket_of_the_port_is_tied():
    """A server may listen on one port with several sockets."""
    with socket.create_server(("0.0.0.0", 0), reuse_port=True) as one:
        port = one.getsockname()[1]
        with socket.create_server(("0.0.0.0", port), reuse_port=True) as two:
            listening.restrict(port, False)
            for server in (one, two):
                assert server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"


def test_a_system_that_cannot_bind_is_named_with_the_ways_on(not_permitted):
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(listening.ListeningError) as error:
            listening.restrict(port, False)
    message = str(error.value)
    assert message.startswith(f"the replay server on port {port} cannot be tied to the loopback device (Operation not")
    assert "Linux 5.7" in message and "another kernel" in message and "firewall" in message
    assert message.endswith("bind ReplaySettings.reachable_from_network = True")
    assert "\n" not in message


def test_a_server_whose_socket_is_not_found_is_refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but does not listen
        with pytest.raises(listening.ListeningError, match="its socket is not in /proc/self/fd"):
            listening.restrict(unused.getsockname()[1], False)


def reaches(source, address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(0.5)
        client.bind((source, 0))
        try:
            client.connect((address, port))
        except TimeoutError:
            return False
    return True


@pytest.mark.parametrize(
    ("networks", "reached"),
    [
        (["127.0.0.2/32"], ["127.0.0.1", "127.0.0.2", "::1"]),
        (["fd99::/16", "127.0.0.8/30", "10.0.0.0/8"], ["127.0.0.1", "127.0.0.9", "::1"]),
        (["127.0.0.0/8"], ["127.0.0.1", "127.0.0.2", "127.0.0.9", "::1"]),
        (True, ["127.0.0.1", "127.0.0.2", "127.0.0.9", "::1"]),
    ],
)
def test_networks_that_may_reach_a_server(networks, reached):
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        listening.restrict(port, networks)
        sources = ["127.0.0.1", "127.0.0.2", "127.0.0.9", "::1"]
        assert [each for each in sources if reaches(each, "::1" if each == "::1" else "127.0.0.1", port)] == reached


def test_a_server_whose_filter_the_system_refuses(monkeypatch):
    monkeypatch.setattr(listening, "_SO_ATTACH_FILTER", -1)
    with socket.create_server(("0.0.0.0", 0)) as server:
        with pytest.raises(listening.ListeningError, match=r"cannot be tied to networks .Protocol not available"):
            listening.restrict(server.getsockname()[1], ["10.0.0.0/8"])


@pytest.mark.parametrize("value", [1, None, "10.0.0.0/8", (), ("10.0.0.1/8",), ("example.org",)])
def test_what_is_no_reach(value):
    with pytest.raises(ValueError, match=r"ReplaySettings.a: .*, expected True or False, or networks such as"):
        listening.check_reach("ReplaySettings", a=value)


def test_the_warning_says_what_a_peer_can_do(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: said.append(message % args))
    listening.restrict(4321, True)
    (line,) = said
    for part in (
        "port 4321",
        "read, insert, delete and overwrite",
        "checkpoints",
        "no authentication and no encryption",
    ):
        assert part in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0100007F", "127.0.0.1"),
        ("0200630A", "10.99.0.2"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF00000200630A", "10.99.0.2"),  # IPv4 on a socket of IPv6
        ("000099FD000000000000000002000000", "fd99::2"),
    ],
)
def test_addresses_of_proc_net_tcp(text, expected):
    assert listening._address(text) == expected
