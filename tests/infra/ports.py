"""Ports of this machine that are ours until this process ends."""

from __future__ import annotations

import random
import socket
from pathlib import Path

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000
USUAL_END = 32_768

_kept: list[socket.socket] = []
"""A UDP socket on each port given away keeps other processes of the tests from giving it too."""


def _end() -> int:
    """Where the ports begin that the system gives to anyone who connects."""
    try:
        begin = int(EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return USUAL_END
    return begin if begin >= LOWEST + 1_000 else USUAL_END


def free_port() -> int:
    """A port nobody listens on, and that nobody is given: neither by the system nor by this function.

    A port that was probed by binding to 0 may belong to the next connection that any process opens, before
    the service that it was meant for listens, or while that service is being started again.
    """
    end = _end()
    for _ in range(1_000):
        port = random.randrange(LOWEST, end)
        keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            keeper.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            keeper.close()
            continue
        _kept.append(keeper)
        return port
    raise AssertionError(f"no free port between {LOWEST} and {end}")
