"""http.request against real servers, well-behaved and not."""

from __future__ import annotations

import asyncio
import base64
import email
import email.message
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Completed
from flow_engine.nodes.http_exchange import retry_after_ms
from flow_engine.nodes.services import SharedServices
from tests.infra.egress import LOOPBACK_GUARD, open_to
from tests.infra.ports import free_port
from tests.integration.nodes.servers import serve_bytes, serve_http
from tests.integration.nodes.smtp_server import CERTIFICATE, server_context
from tests.unit.nodes import contexts

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


async def echo(request: Request) -> Response:
    """What arrived."""
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "query": request.query_params.multi_items(),
            "headers": dict(request.headers),
            "body": body.decode("latin-1"),
        }
    )


async def answer(request: Request) -> Response:
    """What the query asks for: status, type, text, retryAfter."""
    query = request.query_params
    headers = {"Retry-After": query["retryAfter"]} if "retryAfter" in query else {}
    return Response(
        query.get("text", ""),
        int(query.get("status", "200")),
        headers,
        query.get("type", "text/plain"),
    )


async def zipped(request: Request) -> Response:
    size = int(request.query_params["size"])
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    return Response(gzip.compress(b"0" * size), headers=headers)


async def big(request: Request) -> Response:
    return PlainTextResponse("x" * int(request.query_params["size"]))


async def redirect(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], int(request.query_params.get("status", "302")))


async def circle(request: Request) -> Response:
    return RedirectResponse("/circle")


async def set_cookie(request: Request) -> Response:
    response = PlainTextResponse("ok")
    response.set_cookie("session", "secret")
    return response


async def form(request: Request) -> Response:
    """The fields of a multipart form; files with name, type and content."""
    fields: list[list[str]] = []
    for name, value in parts_of(await request.body(), request.headers["content-type"]):
        fields.append([name, *value])
    return JSONResponse(fields)


def parts_of(body: bytes, content_type: str) -> list[tuple[str, list[str]]]:
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    parts = []
    for part in message.get_payload():
        assert isinstance(part, email.message.Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        filename = part.get_filename()
        described = [filename, part["Content-Type"], base64.b64encode(content).decode()] if filename else None
        parts.append((name, described or [content.decode()]))
    return parts


async def pages(request: Request) -> Response:
    """Seven numbers, three a page, by Link header, cursor and page number at once."""
    query = request.query_params
    if request.headers.get("authorization") not in (None, "Bearer t"):
        return Response(status_code=401)
    number = int(query.get("page", query.get("cursor", "1")))
    numbers = list(range(1, 8))[3 * number - 3 : 3 * number]
    more = number < 3
    link = {"Link": f'<{query.get("elsewhere", "")}/pages?page={number + 1}>; rel="next"'} if more else {}
    return JSONResponse({"data": {"items": numbers}, "next": str(number + 1) if more else None}, headers=link)


APP = Starlette(
    routes=[
        Route("/echo", echo, methods=METHODS),
        Route("/answer", answer, methods=METHODS),
        Route("/zipped", zipped),
        Route("/big", big),
        Route("/redirect", redirect, methods=METHODS),
        Route("/circle", circle),
        Route("/cookie", set_cookie),
        Route("/pages", pages),
        Route("/form", form, methods=["POST"]),
    ]
)


@pytest.fixture
async def services() -> AsyncIterator[SharedServices]:
    shared = SharedServices(LOOPBACK_GUARD)
    yield shared
    await shared.close()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serve_http(APP) as address:
        yield address


async def output(services: SharedServices, raw: dict[str, Any], **changes: Any) -> dict[str, Any]:
    outcome = await contexts.completed("http.request", raw, services=services, **changes)
    assert isinstance(outcome, Completed)
    assert isinstance(outcome.output, dict)
    assert outcome.handle == ""
    return outcome.output


# What is sent


async def test_a_plain_get_puts_out_status_headers_and_parsed_body(
    services: SharedServices, site: str
) -> None:
    got = await output(services, {"url": f"{site}/echo?a=1"})
    assert got["status"] == 200
    assert got["headers"]["content-type"] == "application/json"
    assert got["body"]["method"] == "GET"
    assert got["body"]["query"] == [["a", "1"]]
    assert "idempotency-key" not in got["body"]["headers"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_what_changes_something_carries_the_step_key(
    services: SharedServices, site: str, method: str
) -> None:
    got = await output(services, {"url": f"{site}/echo", "method": method}, step_key="k1")
    assert got["body"]["method"] == method
    assert got["body"]["headers"]["idempotency-key"] == "k1"


async def test_an_idempotency_key_of_the_user_stands(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/echo", "method": "post", "headers": {"idempotency-key": "mine"}}
    assert (await output(services, raw))["body"]["headers"]["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("body", "body_type", "sent", "content_type"),
    [
        ({"n": 2**53 + 1, "ä": [10**30]}, "auto", f'{{"n":{2**53 + 1},"ä":[{10**30}]}}', "application/json"),
        (None, "json", "null", "application/json"),
        ("already text", "auto", "already text", "text/plain; charset=utf-8"),
        ("quoted", "json", '"quoted"', "application/json"),
        (
            {"a": "x y", "b": [1, True], "c": None},
            "form",
            "a=x+y&b=1&b=true",
            "application/x-www-form-urlencoded",
        ),
        ("AAEC", "base64", "\x00\x01\x02", "application/octet-stream"),
    ],
)
async def test_bodies_are_sent_as_their_type_says(
    services: SharedServices, site: str, body: Any, body_type: str, sent: str, content_type: str
) -> None:
    raw = {"url": f"{site}/echo", "method": "POST", "body": body, "bodyType": body_type}
    got = (await output(services, raw))["body"]
    assert got["body"].encode("latin-1").decode() == sent
    assert got["headers"]["content-type"] == content_type


async def test_query_is_added_to_that_of_the_url(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/echo?keep=1", "query": {"a": [1, "b c"], "flag": True, "none": None}}
    got = (await output(services, raw))["body"]["query"]
    assert got == [["keep", "1"], ["a", "1"], ["a", "b c"], ["flag", "true"]]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "basic", "username": "ada", "password": "ü"}, "authorization", "Basic YWRhOsO8"),
        ({"type": "bearer", "token": "t"}, "authorization", "Bearer t"),
        ({"type": "apiKey", "value": "k"}, "x-api-key", "k"),
    ],
)
async def test_credentials_are_sent(
    services: SharedServices, site: str, auth: dict[str, Any], header: str, value: str
) -> None:
    got = await output(services, {"url": f"{site}/echo", "auth": auth})
    assert got["body"]["headers"][header] == value


async def test_an_api_key_may_go_into_the_query(services: SharedServices, site: str) -> None:
    auth = {"type": "apiKey", "name": "key", "value": "k", "place": "query"}
    got = await output(services, {"url": f"{site}/echo", "auth": auth})
    assert got["body"]["query"] == [["key", "k"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://example.com"},
        {"url": "example.com"},
        {"url": "http://user:secret@example.com"},
        {"url": "http://[::1"},
        {"headers": {"A": "x\r\nB: y"}},
        {"headers": {"A B": "x"}},
        {"method": "TRACE"},
        {"bodyType": "form", "body": "x"},
        {"timeoutMs": 0},
        {"maxResponseBytes": 1 << 30},
    ],
)
def test_impossible_requests_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        contexts.config("http.request", {"url": "http://example.com", **wrong})


async def test_a_header_that_http_cannot_carry_fails_the_config(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/echo", "headers": {"A": "→"}}
    assert (await contexts.failed("http.request", raw, services=services)).failure.code == "CONFIG_INVALID"


# What comes back


@pytest.mark.parametrize(
    ("response_type", "content_type", "text", "body"),
    [
        ("auto", "application/json", '{"n":9007199254740993}', {"n": 2**53 + 1}),
        ("auto", "application/problem+json; charset=utf-8", "[1.5]", [1.5]),
        ("auto", "text/html", "<p>", "<p>"),
        ("auto", "application/octet-stream", "abc", "YWJj"),
        ("auto", "text/plain; charset=no-such-charset", "ä", "ä"),
        ("auto", "text/plain; charset=unicode_escape", "\\ud800", "?"),
        ("auto", "application/json", "", None),
        ("json", "text/plain", "[]", []),
        ("text", "application/json", "{", "{"),
        ("base64", "text/plain", "abc", "YWJj"),
    ],
)
async def test_bodies_come_back_as_their_type_says(
    services: SharedServices, site: str, response_type: str, content_type: str, text: str, body: Any
) -> None:
    raw = {
        "url": f"{site}/answer",
        "query": {"type": content_type, "text": text},
        "responseType": response_type,
    }
    assert (await output(services, raw))["body"] == body


@pytest.mark.parametrize(
    ("response_type", "text"), [("json", "<html>"), ("auto", "{'a': 1}"), ("auto", "[" * 100)]
)
async def test_a_body_that_is_not_the_json_it_should_be_fails(
    services: SharedServices, site: str, response_type: str, text: str
) -> None:
    raw = {
        "url": f"{site}/answer",
        "query": {"type": "application/json", "text": text},
        "responseType": response_type,
    }
    failure = (await contexts.failed("http.request", raw, services=services)).failure
    assert failure.code == "HTTP_BODY"
    assert not failure.retryable


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (404, False), (408, True), (425, True), (429, True), (500, True), (503, True)],
)
async def test_a_refusal_fails_the_step(
    services: SharedServices, site: str, status: int, retryable: bool
) -> None:
    raw = {"url": f"{site}/answer", "query": {"status": status, "text": "why", "token": "hidden"}}
    failed = await contexts.failed("http.request", raw, services=services)
    assert failed.failure.code == "HTTP_STATUS"
    assert failed.failure.retryable is retryable
    assert failed.failure.details == {"status": status, "body": "why"}
    assert str(status) in failed.failure.message
    assert "hidden" not in failed.failure.message
    assert failed.retry_after_ms is None


async def test_a_refusal_is_an_output_when_asked(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/answer", "query": {"status": 404, "text": "no"}, "failOnStatus": False}
    got = await output(services, raw)
    assert (got["status"], got["body"]) == (404, "no")


async def test_retry_after_is_passed_on(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/answer", "query": {"status": 429, "retryAfter": "7"}}
    assert (await contexts.failed("http.request", raw, services=services)).retry_after_ms == 7000


def test_retry_after_may_be_seconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after_ms("120", now) == 120_000
    assert retry_after_ms(format_datetime(now.replace(minute=1), usegmt=True), now) == 60_000
    assert retry_after_ms(format_datetime(now.replace(year=2025), usegmt=True), now) == 0
    assert retry_after_ms("9" * 400, now) == 24 * 3600 * 1000
    for useless in ("", "soon", "-1", "1.5"):
        assert retry_after_ms(useless, now) is None


# Redirects


async def test_redirects_are_followed(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/redirect", "query": {"to": "/echo"}, "method": "POST", "body": {"a": 1}}
    got = (await output(services, raw))["body"]
    assert (got["method"], got["body"]) == ("GET", "")


async def test_a_307_repeats_method_and_body(services: SharedServices, site: str) -> None:
    raw = {
        "url": f"{site}/redirect",
        "query": {"to": "/echo", "status": 307},
        "method": "POST",
        "body": {"a": 1},
    }
    got = (await output(services, raw))["body"]
    assert (got["method"], got["body"]) == ("POST", '{"a":1}')


async def test_redirects_are_not_followed_when_asked(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/redirect", "query": {"to": "/echo"}, "followRedirects": False}
    got = await output(services, raw)
    assert (got["status"], got["headers"]["location"]) == (302, "/echo")


async def test_credentials_stay_at_their_origin(services: SharedServices, site: str) -> None:
    with serve_http(APP) as elsewhere:
        raw = {
            "url": f"{site}/redirect",
            "query": {"to": f"{elsewhere}/echo"},
            "auth": {"type": "bearer", "token": "t"},
            "headers": {"X-Api-Key": "k", "Cookie": "c", "Accept": "text/plain"},
        }
        sent = (await output(services, raw))["body"]["headers"]
    assert not {"authorization", "x-api-key", "cookie"} & sent.keys()
    assert sent["accept"] == "text/plain"
    assert sent["host"] == elsewhere.removeprefix("http://")


async def test_a_redirect_away_from_http_fails(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/redirect", "query": {"to": "file:///etc/passwd"}}
    assert (await contexts.failed("http.request", raw, services=services)).failure.code == "HTTP_REDIRECT"


async def test_redirects_in_a_circle_fail(services: SharedServices, site: str) -> None:
    failed = await contexts.failed("http.request", {"url": f"{site}/circle"}, services=services)
    assert failed.failure.code == "HTTP_REDIRECT"


async def test_cookies_of_one_answer_are_not_sent_with_the_next_request(
    services: SharedServices, site: str
) -> None:
    await output(services, {"url": f"{site}/cookie"})
    assert "cookie" not in (await output(services, {"url": f"{site}/echo"}))["body"]["headers"]


# Size


async def test_an_answer_of_just_the_limit_is_read(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/big", "query": {"size": 1000}, "maxResponseBytes": 1000}
    assert (await output(services, raw))["body"] == "x" * 1000


@pytest.mark.parametrize("path", ["big", "zipped"])
async def test_a_longer_answer_fails(services: SharedServices, site: str, path: str) -> None:
    raw = {"url": f"{site}/{path}", "query": {"size": 1001}, "maxResponseBytes": 1000}
    failure = (await contexts.failed("http.request", raw, services=services)).failure
    assert failure.code == "HTTP_TOO_LARGE"
    assert failure.details == {"status": 200, "limit": 1000}


async def test_a_compressed_answer_is_unpacked(services: SharedServices, site: str) -> None:
    assert (await output(services, {"url": f"{site}/zipped", "query": {"size": 5}}))["body"] == "00000"


async def test_a_compression_bomb_is_not_unpacked(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/zipped", "query": {"size": 50_000_000}}
    assert (await contexts.failed("http.request", raw, services=services)).failure.code == "HTTP_TOO_LARGE"


async def test_an_endless_answer_fails_at_the_limit(services: SharedServices) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serve_bytes(pour) as address:
        failure = (
            await contexts.failed("http.request", {"url": f"http://{address}"}, services=services)
        ).failure
    assert failure.code == "HTTP_TOO_LARGE"


# Pages


@pytest.mark.parametrize(
    "pagination", [{"type": "link"}, {"type": "cursor", "field": "next"}, {"type": "number", "maxPages": 3}]
)
async def test_the_items_of_all_pages(
    services: SharedServices, site: str, pagination: dict[str, Any]
) -> None:
    raw = {
        "url": f"{site}/pages",
        "auth": {"type": "bearer", "token": "t"},
        "pagination": {**pagination, "items": "data.items"},
    }
    got = await output(services, raw)
    assert (got["body"], got["pages"]) == ([1, 2, 3, 4, 5, 6, 7], 3)
    assert got["complete"] is (pagination["type"] != "number")


async def test_numbered_pages_end_with_an_empty_one(services: SharedServices, site: str) -> None:
    raw = {"url": f"{site}/pages", "pagination": {"type": "number", "start": 2, "items": "data.items"}}
    got = await output(services, raw)
    assert (got["body"], got["pages"], got["complete"]) == ([4, 5, 6, 7], 3, True)


async def test_pages_stop_at_their_limit_and_size(services: SharedServices, site: str) -> None:
    link = {"type": "link", "items": "data.items"}
    got = await output(services, {"url": f"{site}/pages", "pagination": {**link, "maxPages": 2}})
    assert (got["body"], got["complete"]) == ([1, 2, 3, 4, 5, 6], False)
    raw = {"url": f"{site}/pages", "pagination": link, "maxResponseBytes": 60}
    assert (await contexts.failed("http.request", raw, services=services)).failure.code == "HTTP_TOO_LARGE"


@pytest.mark.parametrize(
    ("changes", "items", "code"),
    [
        ({"elsewhere": "http://localhost:1"}, "data.items", "HTTP_REDIRECT"),
        ({}, "data.nothing", "HTTP_BODY"),
        ({}, None, "HTTP_BODY"),
    ],
)
async def test_pages_that_lead_away_or_hold_nothing_fail(
    services: SharedServices, site: str, changes: dict[str, Any], items: str | None, code: str
) -> None:
    raw = {"url": f"{site}/pages", "query": changes, "pagination": {"type": "link", "items": items}}
    assert (await contexts.failed("http.request", raw, services=services)).failure.code == code


# Files


async def test_files_are_sent_as_multipart(services: SharedServices, site: str) -> None:
    body = {
        "note": "ä",
        "count": [1, 2],
        "scan": {"filename": "a.bin", "base64": "AAE="},
        "list": {"filename": "b.csv", "text": "x,y", "contentType": "text/csv; charset=utf-8"},
    }
    raw = {"url": f"{site}/form", "method": "POST", "bodyType": "multipart", "body": body}
    assert (await output(services, raw))["body"] == [
        ["note", "ä"],
        ["count", "1"],
        ["count", "2"],
        ["scan", "a.bin", "application/octet-stream", "AAE="],
        ["list", "b.csv", "text/csv; charset=utf-8", "eCx5"],
    ]


@pytest.mark.parametrize(
    "file",
    [
        {},
        {"filename": "a"},
        {"filename": "a", "base64": "?"},
        {"filename": "a", "text": "", "contentType": "a/b\r\nX: y"},
        {"filename": "a", "text": "", "more": 1},
    ],
)
async def test_files_that_are_wrongly_described_fail(services: SharedServices, site: str, file: Any) -> None:
    raw = {"url": f"{site}/form", "method": "POST", "bodyType": "multipart", "body": {"f": file}}
    assert (await contexts.failed("http.request", raw, services=services)).failure.code == "CONFIG_INVALID"


# What goes wrong on the way


async def test_a_refused_connection_is_retryable(services: SharedServices) -> None:
    raw = {"url": f"http://127.0.0.1:{free_port()}/"}
    failure = (await contexts.failed("http.request", raw, services=services)).failure
    assert (failure.code, failure.retryable) == ("HTTP_CONNECT", True)
    assert failure.message == "cannot connect to 127.0.0.1"


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_no_answer_in_time_fails(services: SharedServices) -> None:
    async with serve_bytes(silent) as address:
        raw = {"url": f"http://{address}", "timeoutMs": 50}
        failure = (await contexts.failed("http.request", raw, services=services)).failure
    assert (failure.code, failure.retryable) == ("HTTP_TIMEOUT", True)


async def test_a_trickled_answer_does_not_stretch_the_time(services: SharedServices) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve_bytes(trickle) as address:
        raw = {"url": f"http://{address}", "timeoutMs": 100}
        failure = (await contexts.failed("http.request", raw, services=services)).failure
    assert failure.code == "HTTP_TIMEOUT"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999999 Odd\r\n\r\n",
    ],
)
async def test_a_broken_answer_fails(services: SharedServices, said: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with serve_bytes(say) as address:
        failure = (
            await contexts.failed("http.request", {"url": f"http://{address}"}, services=services)
        ).failure
    assert (failure.code, failure.retryable) == ("HTTP_PROTOCOL", True)


ZIPPED = gzip.compress(b"x" * 1000, mtime=0)


@pytest.mark.parametrize(
    "body", [b"no gzip", ZIPPED[:-9], ZIPPED + b"more"], ids=["not zipped", "stops short", "goes on"]
)
async def test_an_answer_wrongly_compressed_fails(services: SharedServices, body: bytes) -> None:
    async def wrong(request: Request) -> Response:
        return Response(body, headers={"Content-Encoding": "gzip"})

    with serve_http(Starlette(routes=[Route("/", wrong)])) as site:
        outcome = await contexts.failed("http.request", {"url": site}, services=services)
    assert outcome.failure.code == "HTTP_BODY"


async def test_tls_to_a_server_without_it_fails_for_good(services: SharedServices, site: str) -> None:
    raw = {"url": site.replace("http:", "https:")}
    failure = (await contexts.failed("http.request", raw, services=services)).failure
    assert (failure.code, failure.retryable) == ("HTTP_TLS", False)


async def test_a_certificate_counts_if_this_machine_trusts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok")
        await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context())
    place = f"localhost:{server.sockets[0].getsockname()[1]}"
    raw, guard = {"url": f"https://{place}/"}, open_to(place)
    async with server:
        stranger = SharedServices(guard)
        failure = (await contexts.failed("http.request", raw, services=stranger)).failure
        assert (failure.code, failure.retryable) == ("HTTP_TLS", False)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        friend = SharedServices(guard)
        assert (await output(friend, raw))["body"] == "ok"
        await stranger.close()
        await friend.close()


def own_certificate(name: str) -> tuple[str, str]:
    """A certificate that vouches for itself, and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(b"pass")
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), text.decode()


async def test_both_sides_show_certificates_of_their_own() -> None:
    certificate, key = own_certificate("the engine")
    seen: list[Any] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peercert")["subject"])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok")
        await writer.drain()

    wanting = server_context()
    wanting.verify_mode = ssl.CERT_REQUIRED
    wanting.load_verify_locations(cadata=certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=wanting)
    place = f"localhost:{server.sockets[0].getsockname()[1]}"
    shared = SharedServices(open_to(place))
    authorities = CERTIFICATE.read_text()
    shown = {"certificate": certificate, "key": key, "keyPassword": "pass"}

    async def failure(tls: dict[str, Any]) -> Failure:
        raw = {"url": f"https://{place}/", "tls": tls}
        return (await contexts.failed("http.request", raw, services=shared)).failure

    async with server:
        tls = {"authorities": authorities, **shown}
        assert (await output(shared, {"url": f"https://{place}/", "tls": tls}))["body"] == "ok"
        assert seen == [((("commonName", "the engine"),),)]
        assert (await failure(shown)).code == "HTTP_TLS", "nobody vouches for the server"
        assert (await failure({"authorities": authorities})).code in ("HTTP_TLS", "HTTP_PROTOCOL")
        wrong = await failure({**tls, "keyPassword": "wrong"})
        assert wrong.code == "CONFIG_INVALID"
        assert "PRIVATE" not in wrong.message
    await shared.close()


async def test_the_statuses_to_retry_are_those_that_are_told(services: SharedServices, site: str) -> None:
    for status, told, retryable in [(404, [404, 409], True), (503, [404], False), (429, [429], True)]:
        raw = {"url": f"{site}/answer?status={status}&retryAfter=7", "retryOnStatus": told}
        outcome = await contexts.failed("http.request", raw, services=services)
        assert outcome.failure.retryable == retryable
        assert outcome.retry_after_ms == (7000 if retryable else None)


async def test_cancelling_closes_the_connection(services: SharedServices) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        closed.set()

    async with serve_bytes(wait) as address:
        raw = {"url": f"http://{address}"}
        running = asyncio.create_task(contexts.completed("http.request", raw, services=services))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.wait_for(closed.wait(), 5)


async def test_connections_are_shared_and_proxies_ignored(
    services: SharedServices, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert services.http is services.http
    assert (await output(services, {"url": f"{site}/echo"}))["status"] == 200


async def test_failures_name_no_class_of_ours_or_of_a_library(services: SharedServices) -> None:
    raw = {"url": f"http://127.0.0.1:{free_port()}/"}
    failure = (await contexts.failed("http.request", raw, services=services)).failure
    told = json.dumps([failure.message, failure.details])
    assert not any(word in told for word in ("httpx", "Error", "Errno", "Exception"))


async def test_closing_twice_and_using_again_works(site: str) -> None:
    services = SharedServices(LOOPBACK_GUARD)
    await services.close()
    await output(services, {"url": f"{site}/echo"})
    await services.close()
    await services.close()
    assert (await output(services, {"url": f"{site}/echo"}))["status"] == 200
    await services.close()
