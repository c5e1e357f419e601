"""Server-sent events, as a plain `EventSource.onmessage` reads them.

A frame is `id:` with where it stands in its stream, `data:` with its JSON, and no `event:` field. The client
reconnects by itself with the id it saw last. `204` tells it to stop, and so does any error: hence a client
that reconnects is never told about troubles that pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from starlette.types import Message, Receive, Scope, Send

from services.gateway.errors import Refused
from services.gateway.settings import Settings

log = structlog.get_logger(__name__)

RECONNECT_AFTER = b"retry: 1000\n"
HEARTBEAT = b": heartbeat\n\n"
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class Framed(Protocol):
    """A frame of a stream: where it stands, and what it says."""

    @property
    def id(self) -> str: ...

    @property
    def json(self) -> str: ...


class Following(Protocol):
    """One client's view of a stream."""

    @property
    def finished(self) -> bool:
        """Nothing will ever come any more."""
        ...

    @property
    def subject(self) -> Mapping[str, str]:
        """What is followed, for the log."""
        ...

    async def read(self) -> Sequence[Framed]:
        """The next frames; none once finished or closed. Raises Refused."""
        ...

    def close(self) -> None: ...


def encoded(frames: Iterable[Framed]) -> bytes:
    return "".join(f"id: {frame.id}\ndata: {one_line(frame.json)}\n\n" for frame in frames).encode()


def one_line(json: str) -> str:
    """A line break in JSON text stands between values, where a space means the same."""
    return json.replace("\n", " ").replace("\r", " ") if "\n" in json or "\r" in json else json


class EventStream:
    """The answer to a request for a stream: an ASGI application."""

    status_code = 200

    def __init__(
        self,
        watcher: Following,
        settings: Settings,
        first: Iterable[Framed] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._watcher = watcher
        self._heartbeat_seconds = settings.heartbeat_seconds
        self._stall_seconds = settings.stall_seconds
        self._first = first
        self.headers = {**HEADERS, **(headers or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = asyncio.create_task(gone(receive))
        listener.add_done_callback(lambda _: self._watcher.close())
        try:
            await send(self._start())
            await self._send(send, RECONNECT_AFTER + encoded(self._first))
            try:
                while frames := await self._next():
                    await self._send(send, frames)
            except Refused as refused:
                # Coming back, the client is told by a problem document.
                log.info("stream.lost", **self._watcher.subject, reason=refused.reason)
            await self._send(send, b"", more=False)
        except TimeoutError:
            log.info("stream.cut_off", **self._watcher.subject)
            await cut(scope)
        finally:
            self._watcher.close()
            listener.cancel()

    def _start(self) -> Message:
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}

    async def _next(self) -> bytes:
        """Frames, or a heartbeat when there are none for a while; empty at the end."""
        try:
            async with asyncio.timeout(self._heartbeat_seconds):
                return encoded(await self._watcher.read())
        except TimeoutError:
            return HEARTBEAT

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        """Raises TimeoutError when the client takes nothing for too long."""
        async with asyncio.timeout(self._stall_seconds):
            await send({"type": "http.response.body", "body": body, "more_body": more})


class HungUp:
    """No answer at all. A browser that is told 503 gives up for good; one that hears nothing tries again."""

    status_code = 503

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await cut(scope)


async def gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


async def cut(scope: Scope) -> None:
    """Drop the connection of a client, with all that waits to be sent to it."""
    abort = scope.get("extensions", {}).get("flow.abort")
    if abort is not None:
        abort()
        # The server hears of it in the next turn of the event loop.
        await asyncio.sleep(0)
