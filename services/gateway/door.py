"""Lets connections in: so many altogether, so many from one address, and only those that still stand.

A connection that was reset before anybody looked at it costs an accept and a close, and one that says nothing
is not even accepted for its first second. What is refused is told so in a few bytes, without being read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

log = structlog.get_logger(__name__)

AT_ONCE = 64
"""Accepted before anything else has its turn."""
BACKLOG = 2048
DEFERRED_SECONDS = 1
"""For so long a connection without a word is the system's alone."""
TELL_SECONDS = 10.0
WITHOUT_MEANS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
REST_SECONDS = 0.5
"""After accepting failed for want of means, which others must give back first."""

MakeProtocol = Callable[..., asyncio.Protocol]


class Refusals:
    """Counts what is refused before there is a call, and tells the counts now and then: never one by one."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._telling: asyncio.TimerHandle | None = None

    def note(self, reason: str) -> None:
        self.total[reason] += 1
        self._untold[reason] += 1
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._telling = None
        log.info("connections.refused", seconds=TELL_SECONDS, counts=dict(self._untold))
        self._untold.clear()


class Door:
    """Accepts what comes to a listening socket. most_of_address: 0 is as many as altogether."""

    def __init__(
        self, listener: socket.socket, refusals: Refusals, *, most: int, most_of_address: int
    ) -> None:
        self._listener = listener
        self._refusals = refusals
        self._most = most
        self._most_of_address = most_of_address or most
        self._inside: Counter[str] = Counter()
        self._entering: set[asyncio.Task[Any]] = set()
        self._make_protocol: MakeProtocol | None = None

    @property
    def inside(self) -> int:
        return self._inside.total()

    def open(self, make_protocol: MakeProtocol) -> None:
        """make_protocol: takes `left`, which is to be called once when its connection has ended."""
        self._make_protocol = make_protocol
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFERRED_SECONDS)
        self._listener.listen(BACKLOG)
        self._look()

    def close(self) -> None:
        """Let nobody in any more. Those inside stay."""
        self._make_protocol = None
        asyncio.get_running_loop().remove_reader(self._listener)

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._entering, return_exceptions=True)

    def _look(self) -> None:
        if self._make_protocol is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in WITHOUT_MEANS:
                    continue  # that one has gone
                self._refusals.note("NO_MEANS")
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(REST_SECONDS, self._look)
                return
            self._receive(connection, str(peer[0]))

    def _receive(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        if gone(connection):
            self._refusals.note("GONE")
            connection.close()
        elif self.inside >= self._most:
            self._refuse(connection, self._most, "FLOW_HTTP_CONNECTIONS")
        elif self._inside[address] >= self._most_of_address:
            self._refuse(connection, self._most_of_address, "FLOW_HTTP_CONNECTIONS_PER_ADDRESS")
        else:
            self._let_in(connection, address)

    def _let_in(self, connection: socket.socket, address: str) -> None:
        assert self._make_protocol is not None
        self._inside[address] += 1
        make = partial(self._make_protocol, left=partial(self._leave, address))
        loop = asyncio.get_running_loop()
        entering = loop.create_task(loop.connect_accepted_socket(make, connection))
        self._entering.add(entering)
        entering.add_done_callback(partial(self._entered, address))

    def _entered(self, address: str, entering: asyncio.Task[Any]) -> None:
        self._entering.discard(entering)
        if entering.cancelled() or entering.exception() is not None:
            self._leave(address)

    def _leave(self, address: str) -> None:
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]

    def _refuse(self, connection: socket.socket, most: int, setting: str) -> None:
        self._refusals.note("TOO_MANY_CONNECTIONS")
        with contextlib.suppress(OSError):
            connection.recv(1 << 16)  # what is left unread would make the system withdraw the answer
            detail = f"{most:,} connections are open, which is the most; {setting} sets it"
            connection.send(refusal(503, "Service Unavailable", "TOO_MANY_CONNECTIONS", detail))
        connection.close()


def gone(connection: socket.socket) -> bool:
    """Whether its client has reset or closed it and said nothing."""
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def refusal(status: int, title: str, reason: str, detail: str) -> bytes:
    """A whole answer: a problem document, and the connection's end."""
    document = {"type": f"/docs#{reason}", "title": title, "status": status, "reason": reason}
    body = json.dumps({**document, "detail": detail}).encode()
    head = (
        f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
