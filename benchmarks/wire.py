"""HTTP/1.1 over a bare connection: a client library would cost more processor time than what is measured."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from urllib.parse import urlsplit

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
EVENT_TIME = re.compile(rb'"time":"([^"]+)"')
LAST_EVENT = b'"type":"execution.completed"'


class UnexpectedAnswer(Exception):
    """An answer that the measurement cannot go on with."""


def request_bytes(base_url: str, method: str, path: str, body: bytes = b"") -> bytes:
    """A whole request; made once, sent often."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(base_url).netloc}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One request at a time on a connection that stays open; bodies have a Content-Length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes) -> Answer:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(HEAD_END)
        if head_end < 0:
            return
        found = LENGTH.search(self._received, 0, head_end)
        begin = head_end + len(HEAD_END)
        end = begin + (int(found[1]) if found else 0)
        if len(self._received) < end or self._answer is None:
            return
        answer = Answer(int(self._received[9:12]), bytes(self._received[begin:end]))
        del self._received[:end]
        if not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the connection was closed"))


async def connect(base_url: str) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, *host_and_port(base_url))
    return connection


def host_and_port(base_url: str) -> tuple[str, int]:
    host, _, port = urlsplit(base_url).netloc.rpartition(":")
    return host, int(port)


class Watcher(asyncio.Protocol):
    """Reads one stream of events to its end and notes how old each was when it came.

    after: only events that arrive after this moment of `time.time()` count.
    """

    def __init__(self, request: bytes, after: Callable[[], float]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ages_ms: list[float] = []
        self._request = request
        self._after = after
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        *frames, self._received = (self._received + data).split(b"\n\n")
        for frame in frames:
            if not (found := EVENT_TIME.search(frame)):
                continue
            if now > self._after() > 0:
                self.ages_ms.append((now - datetime.fromisoformat(found[1].decode()).timestamp()) * 1000)
            if not self.opened.done() and b'"execution.waiting"' in frame:
                self.opened.set_result(None)
            if LAST_EVENT in frame and not self.ended.done():
                self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_exception(exc or ConnectionError("the stream has ended"))
                future.exception()  # told to whoever awaits it, to nobody else

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
