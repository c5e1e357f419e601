"""Nodes reach nothing but the public internet, however the way there is spelled.

The witness is the wire: a listener on the loopback that nobody comes to, and no socket of this process that
is connected anywhere.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from flow_engine.egress.guard import EgressGuard
from flow_engine.egress.resolving import Resolve
from flow_engine.egress.rules import EgressRules, opened
from flow_engine.interpreter.attempts import may_retry
from flow_engine.interpreter.events import Failure
from flow_engine.nodes.services import SharedServices
from flow_engine.workflow.graph import RetryPolicy
from tests.integration.nodes.servers import serve_bytes, serve_http
from tests.security.wire import Listener, connections
from tests.unit.nodes import contexts


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


@pytest.fixture
async def closed() -> AsyncIterator[SharedServices]:
    services = SharedServices()
    yield services
    await services.close()


async def failure(services: SharedServices, kind: str, raw: dict[str, Any]) -> Failure:
    return (await contexts.failed(kind, raw, services=services)).failure


def answering(*answers: list[str]) -> tuple[Resolve, list[str]]:
    """A name server that says something else each time, the last for ever; and what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


# Spellings

LOOPBACK = """
127.0.0.1 127.1 127.0.1 127.255.255.254 0 0.0.0.0 2130706433 017700000001 0x7f000001 0x7f.0.0.1 0x7f.1
0x7F.0X0.0.1 127.0.0.0x1 127。0。0。1 127．0．0．1 127｡0｡0｡1 localhost LOCALHOST
[::1] [0:0:0:0:0:0:0:1] [0000::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::127.0.0.1]
[::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::]
[2002:7f00:0001::1] [2001:0:7f00:1::] [::]
""".split()
ELSEWHERE = """
10.0.0.1 10.1 167772161 0xa000001 172.16.0.1 172.31.255.255 192.168.0.1 192.168.257 3232235521
169.254.169.254 2852039166 0xa9fea9fe 169.254.43518 [::ffff:169.254.169.254]
[64:ff9b::a9fe:a9fe] 169.254.170.2 100.100.100.200 168.63.129.16 100.64.0.1 192.0.0.192 [fd00:ec2::254]
[fe80::1] [fc00::1] [fd12:3456::1] [fec0::1] [ff02::1] 224.0.0.1 239.255.255.250 255.255.255.255 240.0.0.1
198.18.0.1 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 [2001:db8::1] [2002:a00:1::] [100::1] [5f00::1]
""".split()


@pytest.mark.parametrize("hosts", [LOOPBACK, ELSEWHERE], ids=["loopback", "elsewhere"])
async def test_a_closed_address_is_refused_in_every_spelling(
    closed: SharedServices, listener: Listener, hosts: list[str]
) -> None:
    for host in hosts:
        with connections() as seen:
            failed = await failure(closed, "http.request", {"url": f"http://{host}:{listener.port}/"})
        assert (failed.code, failed.retryable) == ("EGRESS_DENIED", False), host
        assert "FLOW_EGRESS_ALLOW=" in failed.message
        assert f":{listener.port}" in str(failed.details["target"])
        assert (seen, listener.visitors()) == ([], 0), host


TRICKS = [
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    "http://user:password@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://example.com%40127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1%00.example.com:{port}/",
    "http://127.0.0.1%2f.example.com:{port}/",
    "http://127.0.0.1\r\nHost: example.com:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http:/\\127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[::1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0.0.01:{port}/",
    "http://00000177.1:{port}/",
    "http://0251.0376.0251.0376:{port}/",
    "http://localhost.:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "unix:///var/run/docker.sock",
    "HTTP+UNIX://%2Fvar%2Frun%2Fdocker.sock/",
    "jar:http://127.0.0.1:{port}!/",
    "ws://127.0.0.1:{port}/",
]


async def test_tricks_lead_nowhere(closed: SharedServices, listener: Listener) -> None:
    """Refused as a definition, for where it leads, or for a name that nobody has: never tried."""
    for url in TRICKS:
        raw = {"url": url.format(port=listener.port)}
        with connections() as seen:
            try:
                failed = await failure(closed, "http.request", raw)
            except ValidationError:
                continue
        assert failed.code in ("EGRESS_DENIED", "HTTP_CONNECT", "CONFIG_INVALID"), url
        tried = [address for event, address in seen if event == "socket.connect"]
        assert not [each for each in tried if isinstance(each, str) or each[1] == listener.port], url
    assert listener.visitors() == 0


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("http.request", {"url": "http://127.0.0.1:{port}/"}),
        ("http.request", {"url": "https://localhost:{port}/"}),
        ("grpc.call", {"host": "127.0.0.1", "port": 0, "method": "a.B/C", "tls": False}),
        ("grpc.call", {"host": "localhost", "port": 0, "method": "a.B/C"}),
        ("grpc.call", {"host": "::1", "port": 0, "method": "a.B/C"}),
        ("grpc.call", {"host": "0x7f.1", "port": 0, "method": "a.B/C"}),
        ("database.query", {"url": "postgresql://u:p@127.0.0.1:{port}/db", "sql": "SELECT 1"}),
        ("database.query", {"url": "postgresql://u:p@2130706433:{port}/db", "sql": "SELECT 1"}),
        ("email.send", {"server": {"host": "127.0.0.1", "port": 0}}),
        ("email.send", {"server": {"host": "①②⑦.0.0.1", "port": 0, "security": "none"}}),
        ("redis.publish", {"url": "redis://127.0.0.1:{port}/0", "channel": "c", "message": "m"}),
        ("redis.publish", {"url": "rediss://localhost:{port}/0", "channel": "c", "message": "m"}),
        ("ai.chat", {"baseUrl": "http://127.0.0.1:{port}/v1", "model": "m", "prompt": "p"}),
    ],
)
async def test_every_node_that_connects_asks_first(
    closed: SharedServices, listener: Listener, kind: str, raw: dict[str, Any]
) -> None:
    """The libraries of some open their sockets below Python: for those the listener is the witness."""
    port = listener.port
    filled = {key: each.format(port=port) if isinstance(each, str) else each for key, each in raw.items()}
    if "port" in filled:
        filled["port"] = port
    if kind == "email.send":
        mail = {"from": "a@b.example", "to": ["a@b.example"], "subject": "s", "text": "t"}
        filled = {**mail, "server": {**raw["server"], "port": port}}
    with connections() as seen:
        failed = await failure(closed, kind, filled)
    assert (failed.code, failed.retryable) == ("EGRESS_DENIED", False)
    assert (seen, listener.visitors()) == ([], 0)


def test_a_refusal_is_never_tried_again_not_even_when_told_to() -> None:
    denied = Failure("EGRESS_DENIED", "no")
    assert not may_retry(denied, RetryPolicy(max_attempts=5, retry_on=frozenset({"EGRESS_DENIED"})), 0)


# Names


async def test_one_closed_address_among_many_closes_the_name(listener: Listener) -> None:
    resolve, _ = answering(["93.184.215.14", "2606:2800:220:1::1", "10.0.0.7"])
    services = SharedServices(EgressGuard(resolve=resolve))
    with connections() as seen:
        failed = await failure(services, "http.request", {"url": f"http://mixed.example:{listener.port}/"})
    assert failed.code == "EGRESS_DENIED"
    assert "10.0.0.7" not in failed.message + str(failed.details)  # that would be a map of the network
    assert seen == []
    await services.close()


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"for {request.headers['host']}")


async def test_a_name_that_changes_its_mind_is_asked_once_and_taken_at_its_word(listener: Listener) -> None:
    """Rebinding: an open address when it is checked, another one ever after."""
    with serve_http(Starlette(routes=[Route("/", hello)])) as site:
        port = int(site.rpartition(":")[2])
        resolve, asked = answering(["127.0.0.1"], ["127.0.0.99"])
        services = SharedServices(EgressGuard(opened(f"127.0.0.1:{port}"), resolve))
        with connections() as seen:
            outcome = await contexts.completed(
                "http.request", {"url": f"http://rebound.example:{port}/"}, services=services
            )
        assert outcome.output["body"] == f"for rebound.example:{port}"
        assert asked == ["rebound.example"]
        assert [address[:2] for event, address in seen if event == "socket.connect"] == [("127.0.0.1", port)]
        await services.close()


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("grpc.call", {"host": "r.example", "port": 1, "method": "a.B/C", "tls": False, "timeoutMs": 2000}),
        ("database.query", {"url": "postgresql://u:p@r.example:1/db", "sql": "SELECT 1"}),
        ("redis.publish", {"url": "redis://r.example:1/0", "channel": "c", "message": "m"}),
        ("redis.publish", {"url": "rediss://r.example:1/0", "channel": "c", "message": "m"}),
    ],
)
async def test_other_nodes_too_resolve_once_and_connect_to_what_was_checked(
    listener: Listener, kind: str, raw: dict[str, Any]
) -> None:
    port = listener.port
    filled = {
        key: port if key == "port" else text.replace(":1/", f":{port}/") if isinstance(text, str) else text
        for key, text in raw.items()
    }
    resolve, asked = answering(["127.0.0.1"], ["10.9.9.9"])
    services = SharedServices(EgressGuard(opened(f"127.0.0.1:{port}"), resolve))
    failed = await failure(services, kind, {**filled, "timeoutMs": 300})
    assert failed.code != "EGRESS_DENIED"
    assert asked == ["r.example"]
    assert listener.visitors() >= 1
    await services.close()


# Redirects


@pytest.fixture(scope="module")
def redirecting() -> Iterator[str]:
    async def away(request: Request) -> Response:
        return RedirectResponse(request.query_params["to"], int(request.query_params["status"]))

    with serve_http(Starlette(routes=[Route("/", away, methods=["GET", "POST"])])) as site:
        yield site


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://2130706433:{port}/",
        "//127.0.0.1:{port}/",
        "http://user:password@127.0.0.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_FLUSHALL",
        "redis://127.0.0.1:{port}/",
    ],
)
async def test_a_redirect_is_checked_like_the_request_before(
    listener: Listener, redirecting: str, to: str
) -> None:
    services = SharedServices(EgressGuard(opened(redirecting.removeprefix("http://"))))
    own, target = int(redirecting.rpartition(":")[2]), quote(to.format(port=listener.port), safe="")
    for status in (301, 302, 303, 307, 308):
        raw = {"url": f"{redirecting}/?status={status}&to={target}", "method": "POST", "body": "b"}
        with connections() as seen:
            failed = await failure(services, "http.request", raw)
        assert failed.code in ("EGRESS_DENIED", "HTTP_REDIRECT")
        assert {address[1] for event, address in seen if event == "socket.connect"} <= {own}
    assert listener.visitors() == 0
    await services.close()


# What the setting opens, and what not


async def test_a_network_opens_no_service_of_the_engine(listener: Listener) -> None:
    rules = opened("127.0.0.0/8")
    own = EgressRules(rules.endpoints, rules.networks, frozenset({("127.0.0.1", listener.port)}))
    services = SharedServices(EgressGuard(own))
    for host in ("127.0.0.1", "127.1", "127.0.0.2", "localhost"):
        failed = await failure(services, "http.request", {"url": f"http://{host}:{listener.port}/"})
        assert (failed.code, listener.visitors()) == ("EGRESS_DENIED", 0), host
    await services.close()


async def test_a_service_of_the_engine_under_another_name_is_known_by_its_address(listener: Listener) -> None:
    """Its own name resolves as the workflow's does; a public address is no excuse."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.215.14"]

    own = EgressRules(own=frozenset({("db.internal", 5432)}))
    services = SharedServices(EgressGuard(own, resolve))
    raw = {"url": "postgresql://u:p@innocent.example:5432/flow", "sql": "SELECT 1"}
    with connections() as seen:
        assert (await failure(services, "database.query", raw)).code == "EGRESS_DENIED"
    assert seen == []
    await services.close()


async def test_metadata_services_stay_closed_to_networks() -> None:
    services = SharedServices(EgressGuard(opened("0.0.0.0/0 ::/0")))
    for host in ("169.254.169.254", "[fd00:ec2::254]", "168.63.129.16", "[::ffff:169.254.169.254]"):
        with connections() as seen:
            failed = await failure(services, "http.request", {"url": f"http://{host}/latest/meta-data/"})
        assert (failed.code, seen) == ("EGRESS_DENIED", [])
    await services.close()


async def test_proxies_of_the_environment_are_not_asked(
    closed: SharedServices, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GRPC_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{listener.port}")
    resolve, _ = answering(["10.0.0.1"])
    services = SharedServices(EgressGuard(resolve=resolve))
    assert (await failure(services, "http.request", {"url": "http://a.example/"})).code == "EGRESS_DENIED"
    raw = {"host": "a.example", "port": 1, "method": "a.B/C"}
    assert (await failure(services, "grpc.call", raw)).code == "EGRESS_DENIED"
    assert listener.visitors() == 0
    await services.close()


# What comes back


@pytest.mark.parametrize(
    "raw",
    [
        {"headers": {"X-A": "a\r\nX-Injected: b"}},
        {"headers": {"X-A\r\nX-Injected": "b"}},
        {"headers": {"X-A": "a\nb"}},
        {"headers": {"X-A": "a\0b"}},
        {"auth": {"type": "bearer", "token": "a\r\nX-Injected: b"}},
        {"auth": {"type": "apiKey", "name": "X-A\r\nX-Injected", "value": "b"}},
        {"url": "http://a.example/\r\nX-Injected: b"},
    ],
)
async def test_line_ends_split_no_request(raw: dict[str, Any]) -> None:
    """Either refused, or sent without another line in it."""
    seen: list[dict[str, str]] = []

    async def remember(request: Request) -> Response:
        seen.append(dict(request.headers))
        return PlainTextResponse("")

    with serve_http(Starlette(routes=[Route("/{rest:path}", remember)])) as site:
        services = SharedServices(EgressGuard(opened(site.removeprefix("http://"))))
        try:
            failed = await failure(services, "http.request", {"url": site, **raw})
        except ValidationError:
            pass
        else:
            assert failed.code == "CONFIG_INVALID"
        await services.close()
    assert not any("x-injected" in headers for headers in seen)


async def test_bombs_are_not_unpacked() -> None:
    """64 MiB of zeros; what is packed twice is not even begun."""
    once = gzip.compress(bytes(64 << 20))
    bombs = {"gzip": once, "gzip, gzip": gzip.compress(once), "x-gzip": once, "deflate": once, "br": once}

    async def send(request: Request) -> Response:
        encoding = request.query_params["as"]
        return Response(bombs[encoding], headers={"Content-Encoding": encoding})

    with serve_http(Starlette(routes=[Route("/", send)])) as site:
        services = SharedServices(EgressGuard(opened(site.removeprefix("http://"))))
        for encoding in bombs:
            raw = {"url": f"{site}/?as={quote(encoding)}", "maxResponseBytes": 100_000}
            failed = await failure(services, "http.request", raw)
            assert failed.code in ("HTTP_TOO_LARGE", "HTTP_BODY"), encoding
        await services.close()


async def test_a_trickled_answer_ends_with_the_time_it_has() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with serve_bytes(trickle) as address:
        services = SharedServices(EgressGuard(opened(address)))
        failed = await failure(services, "http.request", {"url": f"http://{address}", "timeoutMs": 100})
        assert failed.code == "HTTP_TIMEOUT"
        await services.close()
