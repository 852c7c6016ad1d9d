"""Who can reach the replay server: Reverb listens on every interface, without authentication or encryption."""

import ipaddress
import os
import pathlib
import socket
from typing import Iterator, List, NamedTuple

from absl import logging

_LISTEN = "0A"  # in /proc/net/tcp, where each connection has another state, half open and half closed ones too


class ListeningError(RuntimeError):
    """The replay server can be reached, or was reached, by others; the message says what to do."""


class _Connection(NamedTuple):
    """A line of /proc/self/net/tcp or tcp6."""

    local_address: str
    local_port: int
    remote_address: str
    state: str


def listen_on_loopback_only(port: int) -> None:
    """Ties a server's listening sockets, IPv4 and IPv6, to the loopback device.

    Reverb takes no address, so this comes some milliseconds after it has begun to listen. Whoever
    connected in between stays connected: one that is still there is found, and the server refused.

    Args:
        port: The server's, in this process.

    Raises:
        ListeningError: If the system does not allow it, or somebody was connected before.
    """
    try:
        count = 0
        for listener in _listeners(port):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
            count += 1
        reason = "" if count else "its socket is not in /proc/self/fd"
    except OSError as error:
        reason = f"{error.strerror or error}; needs Linux 5.7 or newer, gVisor has no such binding"
    if reason:
        raise ListeningError(
            f"the replay server on port {port} cannot be tied to the loopback device ({reason}) and would be open to "
            "the network without a password: use another kernel, or close the port to others by a firewall or a "
            "network namespace and bind ReplaySettings.reachable_from_network = True"
        )
    strangers = foreign_peers(port)
    if strangers:
        raise ListeningError(
            f"{', '.join(strangers)} connected to the replay server on port {port} in the moment before it was tied "
            "to the loopback device: nothing it may have written is used; the same command starts anew, on another port"
        )


def warn_of_open_port(port: int) -> None:
    """Says what a server that was opened on purpose lets others do.

    Args:
        port: The server's.
    """
    logging.warning(
        "the replay server is open to the network on port %d of every interface (0.0.0.0 and [::], this is %s): "
        "whoever reaches it can read, insert, delete and overwrite training data and trigger checkpoints; there is no "
        "authentication and no encryption (ReplaySettings.reachable_from_network = True)",
        *(port, socket.gethostname()),
    )


def _listeners(port: int) -> Iterator[socket.socket]:
    """This process's sockets that listen on a port; gRPC may have several. Each is closed after its turn."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            descriptor = os.dup(int(entry))
        except OSError:
            continue  # closed meanwhile
        try:
            sock = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)  # not a socket
            continue
        with sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listening and sock.getsockname()[1] == port:
                yield sock


def foreign_peers(port: int) -> List[str]:
    """Who is connected to a port of this network namespace from elsewhere.

    Args:
        port: The port.

    Returns:
        Addresses, without those of connections that this machine has with itself.
    """
    return sorted(
        {
            connection.remote_address
            for connection in _connections()
            if connection.local_port == port
            and connection.state != _LISTEN
            and connection.remote_address != connection.local_address
            and not ipaddress.ip_address(connection.remote_address).is_loopback
        }
    )


def _connections() -> Iterator[_Connection]:
    for name in ("tcp", "tcp6"):
        path = pathlib.Path("/proc/self/net") / name
        if not path.exists():  # no IPv6 here
            continue
        for line in path.read_text().splitlines()[1:]:
            _, local, remote, state = line.split()[:4]
            address, port = local.split(":")
            yield _Connection(_address(address), int(port, 16), _address(remote.split(":")[0]), state)


def _address(text: str) -> str:
    """`0100007F` -> `127.0.0.1`: words of 32 bits in the machine's order (little-endian: x86-64 alone is supported)."""
    packed = b"".join(bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
