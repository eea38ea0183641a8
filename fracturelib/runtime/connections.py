"""The network between processes: which one it is, and how soon the loss of a machine at its other end is noticed."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

# A machine without power or network says no goodbye. The system asks an idle connection for a sign of life after 15
# seconds, then every 5, and gives up at the third without answer (RFC 9293, section 3.8.4); what was sent and is not
# acknowledged may wait as long (RFC 5482; in milliseconds).
_KEPT_ALIVE = {
    "TCP_KEEPIDLE": 15,
    "TCP_KEEPALIVE": 15,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
}
_FILES = Path("/dev/fd")  # of this process; Windows has none
_ASK_ADDRESS = 0x8915  # SIOCGIFADDR of Linux
_INTERFACE = "GLOO_SOCKET_IFNAME"  # gloo's own variable


def open_connections() -> set[int]:
    """Descriptors of this process's open TCP connections."""
    found = set()
    for name in _FILES.iterdir() if _FILES.is_dir() else []:
        with contextlib.suppress(OSError), _connection(int(name.name)) as one:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
                found.add(int(name.name))
    return found


def watch(connections: Iterable[int]) -> None:
    """Let every connection fail within half a minute after the machine at its other end is gone."""
    for number in connections:
        with contextlib.suppress(OSError), _connection(number) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEPT_ALIVE.items():
                if hasattr(socket, name):
                    one.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _connection(number: int) -> socket.socket:
    """A second handle of an open connection, to be closed by itself; OSError where the descriptor is none."""
    copy = os.dup(number)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def choose_interface(address: str, port: int) -> None:
    """Let gloo talk over the network that leads to the first process, unless the user has named one.

    By itself it takes the one that this machine's name stands for, which often is the loopback.
    """
    if _INTERFACE in os.environ:
        return
    with contextlib.suppress(OSError, ImportError):
        name = _interface_of(_address_towards(address, port))
        if name is not None:
            os.environ[_INTERFACE] = name


def _address_towards(address: str, port: int) -> str:
    """This machine's own IPv4 address on the way to another one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((address, port))
        return way.getsockname()[0]


def _interface_of(address: str) -> str | None:
    """The network interface that has an IPv4 address; None for a loopback, and where only Linux could say."""
    import fcntl

    if address.startswith("127."):
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_one:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without an address
                asked = struct.pack("256s", name.encode()[:15])
                if socket.inet_ntoa(fcntl.ioctl(any_one, _ASK_ADDRESS, asked)[20:24]) == address:
                    return name
    return None
