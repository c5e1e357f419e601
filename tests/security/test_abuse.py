"""Traffic that no client of ours sends, at both doors: each is told so or cut off, and others are served.

One installation with small limits for all of it. After each test it must run a workflow, and its processes
must be about as large as before.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from flow_engine.v1 import access_pb2 as acc
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import worker_pb2 as wk
from tests.infra.http2 import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    Raw,
    goodbye,
    headers,
    literal,
    message,
)
from tests.infra.stack import Stack, eventually
from tests.infra.valkey import PrivateValkey
from tests.security.conftest import ROOT, Door

MOST_CALLS = 12
MOST_MORE_BYTES = 128 << 20
GET = "flow_engine.v1.ExecutionService/GetExecution"
WATCH = "flow_engine.v1.ExecutionService/WatchExecution"
DELIVER = "flow_engine.v1.TriggerService/DeliverWebhook"
HELLO = Frame(PING, 0, 0, b"anybody?")
NOOP = {"workflow": {"nodes": [{"id": "a", "type": "flow.noop"}]}, "mode": "immediate"}
TALKS = {
    "workflow": {
        "nodes": [
            {"id": "all", "type": "logic.foreach", "config": {"items": "${ input }"}},
            {"id": "say", "parentId": "all", "type": "data.set", "config": {"values": {"text": "x" * 3500}}},
            {"id": "hush", "parentId": "all", "type": "data.set", "config": {"values": {}}},
        ],
        "edges": [{"source": "say", "target": "hush"}],
    },
    "input": list(range(1500)),
    "mode": "immediate",
}
"""Its history is larger than what systems keep on the way."""


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory, _valkey: PrivateValkey) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("besieged")
    asyncio.run(_valkey.start())
    stack = Stack(
        folder,
        f"sqlite:///{folder / 'flow.db'}",
        _valkey.url,
        FLOW_AUTH="required",
        FLOW_TOKEN=ROOT,
        FLOW_GRPC_CALLS=str(MOST_CALLS),
        FLOW_GRPC_MESSAGE_SECONDS="0.3",
        FLOW_HTTP_HEAD_SECONDS="0.3",
        FLOW_HTTP_BODY_SECONDS="0.3",
        FLOW_HTTP_BODY_BYTES="2000000",
        FLOW_STREAM_STALL_SECONDS="0.3",
    )
    try:
        stack.executor.start()
        stack.gateway.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def client(besieged: Stack) -> Iterator[httpx.Client]:
    authorized = {"Authorization": f"Bearer {ROOT}"}
    with httpx.Client(base_url=besieged.base_url, headers=authorized, timeout=20) as client:
        yield client


@pytest.fixture(autouse=True)
def _serves_on(besieged: Stack, client: httpx.Client) -> Iterator[None]:
    processes = [besieged.executor, besieged.gateway]
    before = [resident_bytes(process.pid) for process in processes]
    yield
    assert client.post("/api/workflow/run", json=NOOP).json()["status"] == "completed"
    for process, size in zip(processes, before, strict=True):
        assert resident_bytes(process.pid) - size < MOST_MORE_BYTES, process.name
    assert "Traceback" not in besieged.executor.tail(1000) + besieged.gateway.tail(1000)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.fixture(scope="module")
def talker(besieged: Stack) -> str:
    """An execution with much to tell."""
    authorized = {"Authorization": f"Bearer {ROOT}"}
    answer = besieged.call("POST", "/api/workflow/run", TALKS, headers=authorized).json()
    assert answer["status"] == "completed", answer
    return str(answer["executionId"])


def status_of(connection: Raw) -> tuple[str, str]:
    """(code, message) that the one call of a connection ends with."""
    names = {str(code.value[0]): code.name for code in grpc.StatusCode}
    for frame in connection.frames():
        if frame.kind == HEADERS and b"grpc-status" in frame.payload:
            rest = frame.payload.partition(b"grpc-status")[2]
            code = rest[1 : 1 + rest[0]].decode()
            words = frame.payload.partition(b"grpc-message")[2]
            return names[code], words.decode(errors="replace")
    return "", ""


# gRPC ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", ROOT], ids=["anonymous", "signed in"])
def test_rapid_resets_are_outlived(besieged: Stack, token: str) -> None:
    with Raw(besieged.executor_port, token) as connection:
        for stream in range(1, 6001, 2):
            reset = Frame(RST_STREAM, 0, stream, struct.pack("!I", CANCEL))
            assert connection.send(connection.call(stream, GET), reset)
        connection.send(HELLO)
        assert connection.until(PING, ACK) is not None


def test_pings_without_end_are_answered_with_goodbye(besieged: Stack) -> None:
    with Raw(besieged.executor_port) as connection:
        for _ in range(10):
            connection.send(HELLO)
        assert goodbye(connection.until(GOAWAY)) == (11, b"too_many_pings")


def test_settings_without_end_do_not_pile_up(besieged: Stack) -> None:
    with Raw(besieged.executor_port) as connection:
        for _ in range(1000):
            connection.send(*[Frame(SETTINGS, 0, 0, b"")] * 20)


@pytest.mark.parametrize("size", [40_000, 400_000, 8_000_000])
def test_metadata_is_of_bounded_size_however_it_is_cut(besieged: Stack, size: int) -> None:
    more = [(f"x-{number}", "a" * 1000) for number in range(size // 1000)]
    with Raw(besieged.executor_port, ROOT) as connection:
        whole = connection.call(1, GET, *more).payload
        parts = [whole[start : start + 16_000] for start in range(0, len(whole), 16_000)]
        for number, part in enumerate(parts):
            kind = CONTINUATION if number else HEADERS
            connection.send(Frame(kind, END_HEADERS if part is parts[-1] else 0, 1, part))
        assert status_of(connection)[0] == "RESOURCE_EXHAUSTED"
    with grpc.insecure_channel(besieged.grpc_address) as channel:
        get: Any = channel.unary_unary(f"/{GET}")
        with pytest.raises(grpc.RpcError) as refused:
            get(b"", metadata=more[:300])
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_head_that_never_ends_is_not_kept(besieged: Stack) -> None:
    with Raw(besieged.executor_port, ROOT) as connection:
        connection.send(connection.call(1, GET, flags=0))
        part = b"".join(literal(f"x-{number}", "a" * 100) for number in range(140))
        for _ in range(10_000):  # 160 MB
            if not connection.send(Frame(CONTINUATION, 0, 1, part)):
                break


@pytest.mark.parametrize("said", [9 << 20, 0xFFFFFFF0])
def test_messages_are_of_bounded_size(besieged: Stack, said: int) -> None:
    with Raw(besieged.executor_port, ROOT) as connection:
        begun = Frame(DATA, 0, 1, struct.pack("!BI", 0, said) + b"x" * 1000)
        connection.send(connection.call(1, GET), begun)
        code, words = status_of(connection)
        assert code == "RESOURCE_EXHAUSTED"
        assert f"{said} vs. {8 << 20}" in words


def test_a_message_that_does_not_come_is_not_waited_for(besieged: Stack) -> None:
    for begun in ([], [Frame(DATA, 0, 1, b"\0\0\0\1\0half")]):
        with Raw(besieged.executor_port, ROOT) as connection:
            connection.send(connection.call(1, GET), *begun)
            code, words = status_of(connection)
            assert code == "DEADLINE_EXCEEDED"
            assert "FLOW_GRPC_MESSAGE_SECONDS" in words
    with Raw(besieged.executor_port, ROOT) as connection:
        connection.send(connection.call(1, GET, flags=END_HEADERS | END_STREAM))
        assert status_of(connection)[0] == "INVALID_ARGUMENT"


BROKEN = {
    "HTTP/1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "zeros": b"\0" * 100,
}
FRAMES = {
    "a reset too short": Frame(RST_STREAM, 0, 1, b"\0"),
    "settings acknowledged with more": Frame(SETTINGS, ACK, 0, b"123456"),
    "a window that grows by nothing": Frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
    "a continuation of nothing": Frame(CONTINUATION, END_HEADERS, 1, b""),
    "a frame beyond every size": Frame(DATA, 0, 1, b"x" * (5 << 20)),
}
STRANGE = {
    "data of no call": Frame(DATA, 0, 0, b"x"),
    "a reset of nothing": Frame(RST_STREAM, 0, 1, b"\0\0\0\0"),
    "a call of the server's": headers(2, [(":method", "POST")]),
    "a kind that nobody knows": Frame(200, 0, 0, b"abc"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bytes_that_are_no_http2_end_the_connection(besieged: Stack, name: str) -> None:
    with Raw(besieged.executor_port, greeting=b"") as connection:
        connection.socket.sendall(BROKEN[name])
        assert connection.until(GOAWAY) is None


@pytest.mark.parametrize("name", FRAMES)
def test_frames_that_break_the_protocol_end_the_connection(besieged: Stack, name: str) -> None:
    with Raw(besieged.executor_port, ROOT) as connection:
        connection.send(FRAMES[name], HELLO)
        assert connection.until(PING, ACK) is None


@pytest.mark.parametrize("name", STRANGE)
def test_frames_that_mean_nothing_are_passed_over(besieged: Stack, name: str) -> None:
    with Raw(besieged.executor_port, ROOT) as connection:
        connection.send(STRANGE[name], HELLO)
        assert connection.until(PING, ACK) is not None


def test_headers_that_cannot_be_unpacked_end_the_call(besieged: Stack) -> None:
    with Raw(besieged.executor_port, ROOT) as connection:
        connection.send(Frame(HEADERS, END_HEADERS, 1, b"\xff" * 7))
        assert status_of(connection)[0] == "INTERNAL"


def test_streams_that_nobody_reads_leave_room_for_others(besieged: Stack, talker: str) -> None:
    watch = message(pb.WatchExecutionRequest(execution_id=talker).SerializeToString())
    closed = PREFACE + bytes(Frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 0)))  # no window at all
    door = Door(besieged.grpc_address, ROOT)
    with Raw(besieged.executor_port, ROOT, greeting=b"") as connection:
        connection.socket.sendall(closed)
        for stream in range(1, 2 * MOST_CALLS, 2):
            connection.send(connection.call(stream, WATCH), Frame(DATA, END_STREAM, stream, watch))
        code, words = status_of(connection)
        assert code == "RESOURCE_EXHAUSTED"
        assert f"{MOST_CALLS // 2} streams of namespace default are open" in words
        for name, request in (
            ("flow_engine.v1.ExecutionService/CountExecutions", pb.CountExecutionsRequest()),
            ("flow_engine.v1.AccessService/WhoAmI", acc.WhoAmIRequest()),
        ):
            assert door.ask(name, request, 10).code == "OK"
    eventually(
        lambda: door.ask(WATCH, pb.WatchExecutionRequest(execution_id=talker)).code == "OK",
        "the places of a connection that was closed are free",
    )
    door.channel.close()


def test_calls_beyond_the_limit_are_refused_and_workers_are_served(besieged: Stack) -> None:
    """Anybody may begin to deliver a webhook: only its message tells whether it is signed."""
    door = Door(besieged.grpc_address, ROOT)
    with Raw(besieged.executor_port) as connection:
        for stream in range(1, 2 * MOST_CALLS + 3, 2):
            connection.send(connection.call(stream, DELIVER))
        code, words = status_of(connection)
        assert code == "RESOURCE_EXHAUSTED"
        assert f"{MOST_CALLS} calls are open" in words
        claim = wk.ClaimNextRequest(worker_id="worker:1", claim_id="c" * 32)
        assert door.ask("flow_engine.v1.WorkerService/ClaimNext", claim).code in ("OK", "INVALID_ARGUMENT")
        assert door.ask("grpc.health.v1.Health/Check", acc.WhoAmIRequest()).code == "OK"
    door.channel.close()


# HTTP ---------------------------------------------------------------------------------------------


def connected(stack: Stack, data: bytes) -> socket.socket:
    host, port = stack.base_url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(data)
    return connection


def said(stack: Stack, data: bytes) -> tuple[int, dict[str, Any]]:
    """(status, problem) of all that comes until the gateway closes the connection."""
    with connected(stack, data) as connection:
        answer = b""
        while data := connection.recv(1 << 16):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else {}


HEAD = b"POST /api/workflow/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + (
    f"Authorization: Bearer {ROOT}\r\n".encode()
)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "silence": (b"", 408, "REQUEST_TIMEOUT"),
    "half a head": (HEAD, 408, "REQUEST_TIMEOUT"),
    "half a body": (HEAD + b"Content-Length: 9\r\n\r\n{", 408, "REQUEST_TIMEOUT"),
    "half a chunk": (HEAD + CHUNKED + b"9\r\n{", 408, "REQUEST_TIMEOUT"),
    "a long line": (b"GET /" + b"a" * 40_000, 431, "HEADERS_TOO_LARGE"),
    "a long header": (HEAD + b"X: " + b"a" * 40_000, 431, "HEADERS_TOO_LARGE"),
    "many headers": (HEAD + b"X: a\r\n" * 9000 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
    "a body that says it is long": (HEAD + b"Content-Length: 99999999999\r\n\r\n{", 413, "TOO_LARGE"),
    "a body nobody waits for": (
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
        403,
        "HOST_NOT_ALLOWED",
    ),
    "no HTTP": (PREFACE, 400, "INVALID_REQUEST"),
    "a version that nobody speaks": (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400, "INVALID_REQUEST"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "INVALID_REQUEST"),
    "a length and chunks": (HEAD + b"Content-Length: 2\r\n" + CHUNKED + b"2\r\n{}", 400, "INVALID_REQUEST"),
    "a length that is none": (HEAD + b"Content-Length: -1\r\n\r\n", 400, "INVALID_REQUEST"),
    "a chunk that is none": (HEAD + CHUNKED + b"zz\r\n", 400, "INVALID_REQUEST"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_http_that_is_slow_or_large_or_none_is_told_so(besieged: Stack, name: str) -> None:
    data, status, reason = REFUSED[name]
    code, problem = said(besieged, data)
    assert (code, problem.get("reason", "")) == (status, reason)


def test_a_body_that_trickles_in_chunks_has_one_limit_too(besieged: Stack) -> None:
    with connected(besieged, HEAD + CHUNKED) as connection:
        connection.sendall((b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 40)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def handshake(stack: Stack, execution_id: str) -> socket.socket:
    connection = connected(
        stack,
        f"GET /api/workflow/execution/{execution_id}/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {ROOT}\r\n\r\n".encode(),
    )
    assert connection.recv(12) == b"HTTP/1.1 101"
    return connection


def frame(first: int, size: int, *, masked: bool = True) -> bytes:
    """The head of a WebSocket frame with 64 bits of length, and some of its zeros."""
    return bytes([first, 127 | (128 if masked else 0)]) + struct.pack("!Q", size) + bytes(4 * masked)


FRAMED = {
    "too large": (frame(0x82, 65 << 10) + b"and so on", 1009),
    "says that it is huge": (frame(0x82, 1 << 62), 1009),
    "not masked": (frame(0x82, 10, masked=False) + bytes(10), 1002),
    "of a kind that is none": (frame(0x8B, 10) + bytes(10), 1002),
    "no text": (frame(0x81, 2) + b"\xff\xff", 1007),
}


@pytest.mark.parametrize("name", FRAMED)
def test_websocket_frames_that_no_client_needs_close_it(
    besieged: Stack, client: httpx.Client, name: str
) -> None:
    asks = {"nodes": [{"id": "ok", "type": "human.approval", "config": {"title": "?"}}]}
    waiting = client.post("/api/workflow/run", json={"workflow": asks}).json()["executionId"]
    data, code = FRAMED[name]
    with handshake(besieged, waiting) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    assert b"\x88" in answer, "a frame that closes"
    assert struct.pack("!H", code) in answer


def test_fragments_without_end_are_of_bounded_size_together(besieged: Stack, client: httpx.Client) -> None:
    asks = {"nodes": [{"id": "ok", "type": "human.approval", "config": {"title": "?"}}]}
    waiting = client.post("/api/workflow/run", json={"workflow": asks}).json()["executionId"]
    with handshake(besieged, waiting) as connection:
        fragments = [frame(first, 60 << 10) + bytes(60 << 10) for first in (0x02, *[0x00] * 100)]
        with pytest.raises(ConnectionError):
            connection.sendall(b"".join(fragments))


def test_pings_whose_answers_nobody_takes_do_not_pile_up(besieged: Stack, client: httpx.Client) -> None:
    asks = {"nodes": [{"id": "ok", "type": "human.approval", "config": {"title": "?"}}]}
    waiting = client.post("/api/workflow/run", json={"workflow": asks}).json()["executionId"]
    ping = bytes([0x89, 125 | 128]) + bytes(4 + 125)
    with handshake(besieged, waiting) as connection, pytest.raises(ConnectionError):
        connection.sendall(ping * 200_000)  # 26 MB


@pytest.mark.parametrize("kind", ["stream", "ws"])
def test_a_stream_that_nobody_reads_is_cut_off(besieged: Stack, talker: str, kind: str) -> None:
    """Its connection is reset, so that the system too forgets what nobody takes."""
    host, port = besieged.base_url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
        connection.sendall(
            f"GET /api/workflow/execution/{talker}/{kind} HTTP/1.1\r\nHost: localhost\r\n"
            f"{upgrade if kind == 'ws' else ''}Authorization: Bearer {ROOT}\r\n\r\n".encode()
        )
        poller = select.poll()
        poller.register(connection, select.POLLERR)
        assert poller.poll(20_000), "the gateway resets it"
