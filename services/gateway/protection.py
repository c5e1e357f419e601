"""What the HTTP server asks of its clients: heads of bounded size, sent within bounded time.

Also lets an application drop a connection whose client does not read.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from services.gateway.door import Refusals, refusal

QUIET = logging.getLogger("uvicorn.quiet")
QUIET.setLevel(logging.CRITICAL)

MOST_HEAD_BYTES = 32 << 10
"""Of a request's line and headers together."""
TOO_LARGE = (
    431,
    "Request Header Fields Too Large",
    "HEADERS_TOO_LARGE",
    f"a request's line and headers have {MOST_HEAD_BYTES} bytes at most",
)
NO_HTTP = (400, "Bad Request", "INVALID_REQUEST", "this is no request of HTTP/1.1")
MOST_UNREAD_BYTES = 256 << 10
"""Of answers to pings that nobody takes."""


class GuardedHttpProtocol(HttpToolsProtocol):
    """head_seconds: from the first byte of a request, or the connection, to the end of its headers.

    left: called once when the connection has ended, whatever it was by then.
    """

    _timer: asyncio.TimerHandle | None = None
    _lingering: asyncio.TimerHandle | None = None
    _reading_head = True
    _head_bytes = 0
    _refused = False

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        head_seconds: float,
        refusals: Refusals,
        left: Callable[[], None],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.logger = QUIET  # what is refused is counted, and calls are logged elsewhere
        self._head_seconds = head_seconds
        self._refusals = refusals
        self._left = left

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)
        self._left()

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, SocketProtocol):
            protocol.left = self._left

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._reading_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._reading_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(*TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = abort_by(self.transport)
        self._reading_head = True
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MOST_HEAD_BYTES:
            self._refuse(*TOO_LARGE)
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Whoever is refused before its body is here may finish sending it, within the time of a head."""
        if self.cycle.response_complete and self.cycle.more_body:
            self._lingering = self.loop.call_later(self._head_seconds, self.transport.close)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(*NO_HTTP)

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._head_seconds, self._refuse_to_wait)

    def _head_is_here(self) -> None:
        self._reading_head, self._head_bytes = False, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_to_wait(self) -> None:
        detail = f"send the whole head within {self._head_seconds:g} s; FLOW_HTTP_HEAD_SECONDS sets it"
        self._refuse(408, "Request Timeout", "REQUEST_TIMEOUT", detail)

    def _refuse(self, status: int, title: str, reason: str, detail: str) -> None:
        self._head_is_here()
        self._refused = True
        self._refusals.note(reason)
        self.transport.write(refusal(status, title, reason, detail))
        self.transport.close()


class SocketProtocol(WebSocketsSansIOProtocol):
    left: Callable[[], None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.left is not None:
            self.left()

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.transport.abort()
        else:
            super().handle_ping()

    def send_receive_event_to_app(self) -> None:
        """Text that is none closes the socket without a word in the log: nobody here hears it anyway."""
        if self.curr_msg_data_type == "text" and not is_text(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(1007)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    async def run_asgi(self) -> None:
        self.scope["extensions"] |= abort_by(self.transport)
        await super().run_asgi()


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def abort_by(transport: asyncio.Transport) -> dict[str, Any]:
    def abort() -> None:
        # Closed without lingering, so that the system too forgets what waits to be sent.
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    return {"flow.abort": abort}
