"""HTTP/2 by hand, as far as gRPC needs it: for what no client library lets one say. RFC 9113, RFC 7541."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    def __bytes__(self) -> bytes:
        size = len(self.payload)
        return (
            struct.pack("!BHBBI", size >> 16, size & 0xFFFF, self.kind, self.flags, self.stream)
            + self.payload
        )


def headers(stream: int, pairs: Pairs, flags: int = END_HEADERS) -> Frame:
    return Frame(HEADERS, flags, stream, b"".join(literal(name, value) for name, value in pairs))


def literal(name: str, value: str) -> bytes:
    """A header field that no table is asked for or keeps."""
    return b"\0" + text(name.encode()) + text(value.encode())


def text(data: bytes) -> bytes:
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, more = len(data) - 127, b""
    while rest >= 128:
        more, rest = more + bytes([rest % 128 + 128]), rest // 128
    return b"\x7f" + more + bytes([rest]) + data


def message(data: bytes) -> bytes:
    """As gRPC frames it: uncompressed, then its length."""
    return struct.pack("!BI", 0, len(data)) + data


def frames_of(connection: socket.socket) -> Iterator[Frame]:
    """What the other side says, until it hangs up."""
    arrived = b""
    while True:
        while len(arrived) < 9 or len(arrived) < 9 + (size := int.from_bytes(arrived[:3], "big")):
            try:
                data = connection.recv(1 << 16)
            except ConnectionError:
                return
            if not data:
                return
            arrived += data
        kind, flags, stream = struct.unpack("!BBI", arrived[3:9])
        payload, arrived = arrived[9 : 9 + size], arrived[9 + size :]
        yield Frame(kind, flags, stream & 0x7FFFFFFF, payload)


class Raw:
    """A connection to a gRPC server. What is sent is sent as it is."""

    def __init__(self, port: int, token: str = "", *, greeting: bytes = PREFACE) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._token = token
        self._frames = frames_of(self.socket)
        if greeting:
            self.socket.sendall(greeting + bytes(Frame(SETTINGS, 0, 0, b"")))

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *frames: Frame) -> bool:
        """False when the server has hung up."""
        try:
            self.socket.sendall(b"".join(map(bytes, frames)))
        except OSError:
            return False
        return True

    def call(self, stream: int, method: str, *more: tuple[str, str], flags: int = END_HEADERS) -> Frame:
        """The head of a call."""
        pairs = [
            (":method", "POST"), (":scheme", "http"), (":path", f"/{method}"), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]  # fmt: skip
        if self._token:
            pairs.append(("authorization", f"Bearer {self._token}"))
        return headers(stream, [*pairs, *more], flags)

    def frames(self) -> Iterator[Frame]:
        """What the server says, from where it was left, until it hangs up."""
        return self._frames

    def until(self, kind: int, flag: int = 0) -> Frame | None:
        """The next of this kind; None when the server hangs up without one."""
        return next(
            (frame for frame in self.frames() if frame.kind == kind and frame.flags & flag == flag), None
        )


def goodbye(frame: Frame | None) -> tuple[int, bytes]:
    """(error code, reason) of a GOAWAY."""
    assert frame is not None
    return struct.unpack("!I", frame.payload[4:8])[0], frame.payload[8:]


class Leaver(socketserver.ThreadingTCPServer):
    """A server that goes away whenever it is called, and says that it has not looked at the call."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Leaving)
        self.calls = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Leaving(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server, connection = self.server, self.request
        assert isinstance(server, Leaver)
        assert connection.recv(len(PREFACE), socket.MSG_WAITALL) == PREFACE
        connection.sendall(bytes(Frame(SETTINGS, 0, 0, b"")))
        for frame in frames_of(connection):
            if frame.kind == HEADERS:
                server.calls += 1
                last_stream_seen, no_error = 0, 0
                connection.sendall(bytes(Frame(GOAWAY, 0, 0, struct.pack("!II", last_stream_seen, no_error))))
                return


@contextmanager
def leaver() -> Iterator[Leaver]:
    with Leaver() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
