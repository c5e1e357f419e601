"""Whom the gateway lets in: credentials, other sites' pages, clients that send too much or too slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from flow_engine.v1 import access_pb2 as acc
from tests.unit.gateway.conftest import Running
from tests.unit.gateway.engine import EVERY_METHOD, Engine

ADMIN = {"Authorization": "Bearer good"}


@pytest.fixture
def known(engine: Engine) -> Engine:
    def caller(role: acc.Role, *methods: str) -> acc.WhoAmIResponse:
        return acc.WhoAmIResponse(
            subject="s", namespace="n", role=role, methods=methods, authentication_required=True
        )

    engine.callers = {
        "good": caller(acc.ROLE_ADMIN, *EVERY_METHOD),
        "weak": caller(acc.ROLE_VIEWER, "flow_engine.v1.AccessService/WhoAmI"),
    }
    return engine


@pytest.fixture
async def guarded(known: Engine, start_gateway: Callable[..., Any]) -> httpx.AsyncClient:
    running: Running = await start_gateway(authentication_required=True)
    return running.client


async def test_credentials_are_asked_for_before_a_body_is_read(
    known: Engine, start_gateway: Callable[..., Any]
) -> None:
    running: Running = await start_gateway(authentication_required=True)
    guarded = running.client
    run = b"POST /api/workflow/run HTTP/1.1\r\nHost: localhost\r\n"
    unsent = run + b"Content-Length: 9\r\nConnection: close\r\n\r\n"
    assert (await raw(running.port, unsent)).startswith(b"HTTP/1.1 401 ")
    for headers, status in (
        ({}, 401), ({"Authorization": "Bearer bad"}, 401), ({"Authorization": "Basic good"}, 401),
        ({"Authorization": "Bearer"}, 401), ({"Authorization": "Bearer weak"}, 403), (ADMIN, 415),
    ):  # fmt: skip
        answer = await guarded.post("/api/workflow/run", headers=headers, content=b"{" * 100)
        assert answer.status_code == status, headers
        assert status != 401 or answer.headers["www-authenticate"] == "Bearer"
    assert not known.asked


async def test_a_browser_signs_in_with_a_cookie_that_pages_cannot_read(guarded: httpx.AsyncClient) -> None:
    refused = await guarded.post("/api/session", json={"token": "bad"})
    assert refused.status_code == 401
    signed_in = await guarded.post("/api/session", json={"token": "good"})
    assert signed_in.json()["role"] == "admin"
    cookie = signed_in.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert (await guarded.get("/api/nodes")).status_code == 200
    assert (await guarded.get("/api/nodes", headers={"Authorization": "Bearer bad"})).status_code == 401
    assert (await guarded.delete("/api/session")).status_code == 204
    assert (await guarded.get("/api/nodes")).status_code == 401


async def test_a_gateway_that_must_know_callers_refuses_an_executor_that_asks_nobody(
    engine: Engine, start_gateway: Callable[..., Any]
) -> None:
    running: Running = await start_gateway(authentication_required=True)
    answer = await running.client.get("/api/nodes", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 503


async def test_credentials_go_on_to_the_executor(known: Engine, guarded: httpx.AsyncClient) -> None:
    tokens = await guarded.post("/api/tokens", json={"name": "ci", "role": "viewer"}, headers=ADMIN)
    assert tokens.status_code == 201
    assert tokens.headers["cache-control"] == "no-store"
    assert (await guarded.get("/api/audit?limit=2", headers=ADMIN)).json() == {"entries": []}


@pytest.mark.parametrize(
    ("path", "body", "missing"),
    [
        ("/api/session", b"{}", "/token"),
        ("/api/tokens", b'{"ttlMs": null}', "/name"),
        ("/api/workflow/executions/pause", b'{"dryRun": null, "limit": null}', "/filter"),
        ("/api/workflow/executions/pause", b"", "/filter"),
    ],
)
async def test_a_field_that_a_body_lacks_is_named(
    client: httpx.AsyncClient, path: str, body: bytes, missing: str
) -> None:
    answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert missing in [problem["path"] for problem in answer.json()["problems"]]


@pytest.mark.parametrize("origin", ["https://app.example", "https://evil.example"])
async def test_pages_of_other_sites_call_where_they_are_allowed_to(
    engine: Engine, start_gateway: Callable[..., Any], origin: str
) -> None:
    running: Running = await start_gateway(cors_origins=("https://app.example",))
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    before = await running.client.options("/api/workflow/run", headers=ask)
    call = await running.client.get("/api/nodes", headers={"Origin": origin})
    allowed = origin == "https://app.example"
    for answer in (before, call):
        assert answer.headers.get_list("access-control-allow-origin") == ([origin] if allowed else [])
        assert "access-control-allow-credentials" not in answer.headers
    assert ("access-control-allow-headers" in before.headers) == allowed
    assert call.status_code == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("flow.example", 200), ("flow.example:81", 200), ("127.0.0.1", 200), ("10.0.0.9:8080", 200),
        ("[::1]:80", 200), ("evil.example", 403), ("", 403), ("127.0.0.1.evil.example", 403),
    ],
)  # fmt: skip
async def test_a_gateway_answers_to_its_own_names_wherever_it_listens(
    engine: Engine, start_gateway: Callable[..., Any], host: str, status: int
) -> None:
    running: Running = await start_gateway(insecure=True, public_url="https://flow.example")
    assert (await running.client.get("/healthz", headers={"Host": host})).status_code == status


async def raw(port: int, text: bytes) -> bytes:
    """All that the gateway answers until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_head_is_of_bounded_size(gateway: Running) -> None:
    start = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    for head in (
        start + b"X: " + b"a" * 40_000 + b"\r\n\r\n",
        start + b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + b"\r\n",
        start + b"X: " + b"a" * 70_000,
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        answer = await raw(gateway.port, head)
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:60]
        assert b"HEADERS_TOO_LARGE" in answer
    assert (await gateway.client.get("/healthz", headers={"X": "a" * 30_000})).status_code == 200


async def test_a_head_and_a_body_come_within_bounded_time(
    engine: Engine, start_gateway: Callable[..., Any]
) -> None:
    running: Running = await start_gateway(head_seconds=0.2, body_seconds=0.2)
    for head in (b"", b"GET /healthz HTTP/1.1\r\nHost: loc"):
        assert (await raw(running.port, head)).startswith(b"HTTP/1.1 408 ")
    post = (
        b"POST /api/workflow/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 10\r\n\r\n{"
    )
    answer = await raw(running.port, post)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"FLOW_HTTP_BODY_SECONDS" in answer


async def test_bytes_that_are_no_http_are_refused(gateway: Running) -> None:
    for text in (b"\x16\x03\x01\x02\x00\x01\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET\r\n\r\n"):
        assert (await raw(gateway.port, text)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"http_connections": 3}, "FLOW_HTTP_CONNECTIONS "),
        ({"http_connections_per_address": 3}, "FLOW_HTTP_CONNECTIONS_PER_ADDRESS "),
    ],
)
async def test_connections_are_bounded_and_a_closed_one_makes_room(
    engine: Engine, start_gateway: Callable[..., Any], settings: dict[str, int], named: str
) -> None:
    running: Running = await start_gateway(**settings)
    engine.run()
    request = (
        b"GET /api/workflow/execution/e1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    )
    inside = []
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request)
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 101 Switching Protocols\r\n"
        inside.append(writer)
    health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    refused = await raw(running.port, health)
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"TOO_MANY_CONNECTIONS" in refused
    assert named.encode() in refused
    inside[0].transport.abort()
    async with asyncio.timeout(5):
        while not (await raw(running.port, health)).startswith(b"HTTP/1.1 200 "):
            pass
    for writer in inside:
        writer.close()


async def test_connections_that_are_gone_again_are_counted_and_no_more(gateway: Running) -> None:
    for said in (b"GET / HT", b"GET / HT", b""):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(said)
        writer.transport.abort()
    await raw(gateway.port, b"GET\r\n\r\n")
    told = (await gateway.client.get("/metrics")).text
    assert 'flow_gateway_connections_refused_total{reason="INVALID_REQUEST"} 1.0' in told
