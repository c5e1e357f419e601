from __future__ import annotations

import socket
from pathlib import Path

from services.executor.server import defer_silent_connections


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_the_listening_socket_is_found_and_no_descriptor_is_left_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = descriptors()
        defer_silent_connections(listening.getsockname()[1])
        assert descriptors() == before
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0
