"""The frames of a stream by WebSocket, one text message each.

Close codes: 1000 the execution has ended, 1001 the gateway is going away, 1011 there is no reading it any
more. A client that reads too slowly is dropped. After any but 1000 it may come back with `afterSequence`,
or `afterCursor`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from starlette.types import Receive, Scope, Send

from services.gateway.errors import Refused
from services.gateway.settings import Settings
from services.gateway.sse import Following, Framed, cut, gone

log = structlog.get_logger(__name__)


class FrameSocket:
    """The answer to a WebSocket handshake that was accepted: an ASGI application."""

    status_code = 101

    def __init__(self, watcher: Following | None, settings: Settings, first: Iterable[Framed] = ()) -> None:
        """watcher: None when there is nothing to say because the cursor is at the end."""
        self._watcher = watcher
        self._stall_seconds = settings.stall_seconds
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the handshake
        await send({"type": "websocket.accept"})
        watcher = self._watcher
        if watcher is None:
            await close(send, 1000, "ended")
            return
        listener = asyncio.create_task(gone(receive))
        listener.add_done_callback(lambda _: watcher.close())
        try:
            await self._send(send, self._first)
            while frames := await watcher.read():
                await self._send(send, frames)
            if not listener.done():
                await close(send, *((1000, "ended") if watcher.finished else (1001, "shutting down")))
        except Refused as refused:
            await close(send, 1011, refused.reason)
        except TimeoutError:
            log.info("stream.cut_off", **watcher.subject)
            await cut(scope)
        except OSError:
            pass  # the client went away in the middle of a frame
        finally:
            watcher.close()
            listener.cancel()

    async def _send(self, send: Send, frames: Iterable[Framed]) -> None:
        """Raises TimeoutError when the client takes nothing for too long."""
        for frame in frames:
            async with asyncio.timeout(self._stall_seconds):
                await send({"type": "websocket.send", "text": frame.json})


async def close(send: Send, code: int, reason: str) -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason})
