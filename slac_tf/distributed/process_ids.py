"""Keeps a client from being taken for the replay server itself.

Reverb hands a client that comes over loopback and has the server's process id an address in memory, on which the client
crashes. Two containers that share a network have process ids of their own, often equal ones. They do share Linux's
abstract sockets, whose name tells the client in time.
"""

import os
import socket


def _name(port: int) -> str:
    return f"\0slac_tf replay server, port {port}, process id {os.getpid()}"


def announce(port: int) -> socket.socket:
    """Makes the server's process id known in its network.

    Args:
        port: The server's.

    Returns:
        What to keep as long as the server lives.
    """
    announced = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    announced.bind(_name(port))
    return announced


def is_that_of(address: str) -> bool:
    """Whether this process has the process id of a server, which is in another pid namespace.

    Args:
        address: The server's.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_name(int(address.rsplit(":", 1)[1])))
        except ConnectionRefusedError:
            return False
    return True
