"""Who can reach the replay server: Reverb listens on every interface, without authentication or encryption."""

import ctypes
import ipaddress
import os
import pathlib
import socket
import struct
from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple, Union

from absl import logging

# Whether a server may be reached from the network, or from which networks, such as ("10.8.0.0/24",).
Reach = Union[bool, Sequence[str]]

# Linux's socket filters (linux/filter.h): loads are relative to the IP header, whose first half byte is the version.
_SO_ATTACH_FILTER = 26
_IP_HEADER = 0xFFF00000
_LOAD_BYTE, _LOAD_WORD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x20, 0x54, 0x15, 0x06
_SOURCE_ADDRESS = {4: 12, 6: 8}  # by version, bytes into the header

_LISTEN = "0A"  # in /proc/net/tcp, where each connection has another state, half open and half closed ones too


class ListeningError(RuntimeError):
    """The replay server can be reached, or was reached, by others; the message says what to do."""


class _Connection(NamedTuple):
    """A line of /proc/self/net/tcp or tcp6."""

    local_address: str
    local_port: int
    remote_address: str
    state: str


def check_reach(where: str, **values: Any) -> None:
    """Looks at settings that are a `Reach`.

    Args:
        where: What they are settings of.
        **values: By name.

    Raises:
        ValueError: If one is none; the message names it.
    """
    for name, value in values.items():
        try:
            fits = isinstance(value, bool) or bool([ipaddress.ip_network(each) for each in value])
        except (TypeError, ValueError):
            fits = False
        if not fits or isinstance(value, str):
            raise ValueError(f"{where}.{name}: {value!r}, expected True or False, or networks such as ('10.8.0.0/24',)")


def restrict(port: int, reach: Reach) -> None:
    """Lets a server's listening sockets, IPv4 and IPv6, be reached by those alone who may.

    Reverb takes no address, so this comes some milliseconds after it has begun to listen. Whoever
    connected in between stays connected: one that is still there is found, and the server refused.

    Args:
        port: The server's, in this process.
        reach: False ties it to the loopback device; networks let in what comes from them, 127.0.0.1 and ::1; True
            leaves it open. What is open is warned of.

    Raises:
        ListeningError: If the system does not allow it, or somebody was connected before.
    """
    if reach is not False:
        _warn_of_open_port(port, reach)
    if reach is True:
        return
    networks = [] if reach is False else [ipaddress.ip_network(each) for each in reach]
    try:
        listeners = 0
        for listener in _listeners(port):
            if reach is False:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
            else:
                _attach_filter(listener, networks)
            listeners += 1
        reason = "" if listeners else "its socket is not in /proc/self/fd"
    except OSError as error:
        reason = f"{error.strerror or error}; needs Linux 5.7 or newer, gVisor has no such setting"
    if reason:
        where = "networks" if networks else "the loopback device"
        raise ListeningError(
            f"the replay server on port {port} cannot be tied to {where} ({reason}) and would be open to "
            "the network without a password: use another kernel, or close the port to others by a firewall or a "
            "network namespace and bind ReplaySettings.reachable_from_network = True"
        )
    strangers = [
        peer for peer in foreign_peers(port) if not any(ipaddress.ip_address(peer) in network for network in networks)
    ]
    if strangers:
        raise ListeningError(
            f"{', '.join(strangers)} connected to the replay server on port {port} in the moment before it was closed "
            "to others: nothing it may have written is used; the same command starts anew, on another port"
        )


def _attach_filter(listener: socket.socket, networks: Sequence[Any]) -> None:
    """Has the kernel drop what comes to a socket from elsewhere; connections that it accepts inherit this."""
    own = [ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("::1")]
    program = [each for network in (*own, *networks) for each in _accept(network)] + [(_RETURN, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))


def _accept(network: Any) -> List[Tuple[int, int, int, int]]:
    """Instructions (operation, jump if true, jump if false, operand) that end with yes for a network's addresses."""
    tests = [(_LOAD_BYTE, 0, 0xF0, network.version << 4)]
    for at in range(0, network.max_prefixlen // 8, 4):
        mask, value = (
            int.from_bytes(address.packed[at : at + 4], "big") for address in (network.netmask, network.network_address)
        )
        tests.append((_LOAD_WORD, _SOURCE_ADDRESS[network.version] + at, mask, value))
    program = []
    for number, (load, at, mask, value) in enumerate(tests):
        to_the_end = 3 * (len(tests) - number - 1) + 1
        program += [(load, 0, 0, _IP_HEADER + at), (_AND, 0, 0, mask), (_JUMP_IF_EQUAL, 0, to_the_end, value)]
    return [*program, (_RETURN, 0, 0, 0xFFFFFFFF)]


def _warn_of_open_port(port: int, reach: Reach) -> None:
    logging.warning(
        "the replay server is open to %s on port %d of every interface (0.0.0.0 and [::], this is %s): "
        "whoever reaches it can read, insert, delete and overwrite training data and trigger checkpoints; there is no "
        "authentication and no encryption (ReplaySettings.reachable_from_network = %s)",
        *("the network" if isinstance(reach, bool) else ", ".join(reach), port, socket.gethostname(), reach),
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
