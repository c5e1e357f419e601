"""One TCP address in front of several: connections go round, dead servers are passed over."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence

from tests.infra.ports import free_port


class Balancer:
    def __init__(self, backends: Sequence[int]) -> None:
        self.port = free_port()
        self.connections = [0] * len(backends)  # that were made to each
        self._backends = list(backends)
        self._order = itertools.cycle(range(len(backends)))
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = self._connected()
                if server is None:
                    client.close()
                    continue
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()

    def _connected(self) -> socket.socket | None:
        for number in itertools.islice(self._order, len(self._backends)):
            with contextlib.suppress(OSError):
                server = socket.create_connection(("127.0.0.1", self._backends[number]), timeout=2)
                server.settimeout(None)
                self.connections[number] += 1
                return server
        return None


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
