"""A TCP proxy that misbehaves on order: delays, cuts, resets, swallows, and meddles with single messages.

It runs in a thread with an event loop of its own, so that a busy bench never slows what passes through it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

CHUNK_BYTES = 1 << 16
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing answers with RST, and what was not sent yet is gone."""


class Action(Enum):
    """What becomes of a piece of a connection's data."""

    PASS = "pass"
    RESET = "reset"  # drop it, and the connection with it
    PASS_AND_RESET = "pass and reset"


@dataclass(slots=True, eq=False)
class Link:
    """One connection through the proxy. `memory` is for the tap."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    memory: dict[str, Any] = field(default_factory=dict)


class Tap(Protocol):
    """Sees what passes and decides. Requests and answers of lock-step protocols come in one piece each."""

    def outgoing(self, link: Link, data: bytes) -> Action:
        """Data from the client to the server."""
        ...

    def incoming(self, link: Link, data: bytes) -> Action:
        """Data from the server to the client."""
        ...


class Proxy:
    """Listens on a free loopback port for one target. All methods may be called from any thread."""

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.port = 0
        self.delay_seconds = 0.0  # before each piece, either way
        self.tap: Tap | None = None
        self._target = (target_host, target_port)
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> Proxy:
        self._thread.start()
        self._do(self._listen())
        return self

    def stop(self) -> None:
        """Close everything. Not to be started again."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """Close all connections in good order; how many there were. New ones are welcome."""
        dropped: int = self._do(self._drop(abruptly=False))
        return dropped

    def reset(self) -> int:
        """Reset all connections; how many there were. New ones are welcome."""
        dropped: int = self._do(self._drop(abruptly=True))
        return dropped

    def blackhole(self) -> None:
        """Connections stay, and nothing comes through, as if the network had swallowed it."""
        self._loop.call_soon_threadsafe(self._passable.clear)

    def heal(self) -> None:
        """What the blackhole held back goes on its way."""
        self._loop.call_soon_threadsafe(self._passable.set)

    async def _listen(self) -> None:
        self._passable = asyncio.Event()
        self._passable.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._drop(abruptly=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passable.wait()
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _hang_up(writer, abruptly=True)
            return
        link = Link(writer, target_writer)
        self._links.add(link)
        pumps = [
            self._spawn(self._pump(link, reader, target_writer, lambda tap: tap.outgoing)),
            self._spawn(self._pump(link, target_reader, writer, lambda tap: tap.incoming)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            self._end(link, abruptly=False)

    async def _pump(
        self,
        link: Link,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        side: Callable[[Tap], Callable[[Link, bytes], Action]],
    ) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                await self._passable.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                action = Action.PASS if self.tap is None else side(self.tap)(link, data)
                if action is not Action.RESET:
                    sink.write(data)
                    await sink.drain()
                if action is not Action.PASS:
                    self._end(link, abruptly=True)
                    return
        except OSError:
            pass
        self._end(link, abruptly=False)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _drop(self, *, abruptly: bool) -> int:
        links = list(self._links)
        for link in links:
            self._end(link, abruptly=abruptly)
        return len(links)

    def _end(self, link: Link, *, abruptly: bool) -> None:
        if link in self._links:
            self._links.discard(link)
            _hang_up(link.client, abruptly=abruptly)
            _hang_up(link.server, abruptly=abruptly)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def _hang_up(writer: asyncio.StreamWriter, *, abruptly: bool) -> None:
    if not abruptly:
        writer.close()
        return
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
