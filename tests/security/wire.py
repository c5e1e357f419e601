"""What leaves this process, seen from below: every address that a socket is connected to."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_watchers: list[list[tuple[Any, ...]]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watchers and event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        _, address = arguments[0], arguments[-1]
        for seen in _watchers:
            seen.append((event, address))


sys.addaudithook(_hook)


@contextmanager
def connections() -> Iterator[list[tuple[Any, ...]]]:
    """(event, address) of every attempt inside the block, as the interpreter's own sockets make them."""
    seen: list[tuple[Any, ...]] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


class Listener:
    """Listens on a port of both loopbacks and answers nobody; counts who came, by whichever library."""

    def __init__(self) -> None:
        self._four = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._four.getsockname()[1]
        self._sockets = [self._four]
        with suppress(OSError):  # a machine without IPv6, or somebody has that port there
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6, backlog=64))
        for listening in self._sockets:
            listening.setblocking(False)

    def visitors(self) -> int:
        """How many have connected since it was asked last."""
        count = 0
        for listening in self._sockets:
            while True:
                try:
                    connection, _ = listening.accept()
                except BlockingIOError:
                    break
                connection.close()
                count += 1
        return count

    def close(self) -> None:
        for listening in self._sockets:
            listening.close()
