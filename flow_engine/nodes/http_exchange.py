"""One HTTP exchange as a node needs it: bounded in time and size, its failures in words of ours."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx

from flow_engine.egress.guard import EGRESS_ERRORS
from flow_engine.nodes.contract import NodeError
from flow_engine.nodes.http_body import BoundedDecoder, TooLarge, Undecodable, text_of

RETRYABLE_STATUS = frozenset({408, 425, 429})
REDIRECTS_KEEP = frozenset({"accept", "accept-encoding", "accept-language", "user-agent", "content-type"})
"""Headers that follow a redirect to another origin; all others may be credentials."""
MAX_REDIRECTS = 10
MAX_RETRY_AFTER_MS = 24 * 3600 * 1000
EXCERPT_BYTES = 2048
"""How much of a refused request's answer goes into the failure."""

EXCHANGE_ERRORS: Final = {
    "HTTP_CONNECT": "No connection: refused, unreachable, or the name is unknown. Retryable.",
    "HTTP_TLS": "The other side's certificate or its TLS is not acceptable.",
    "HTTP_TIMEOUT": "No connection or no full answer in time. Retryable.",
    "HTTP_STATUS": "The answer's status is 400 or more. Retryable if 408, 425, 429 or 500 and above.",
    "HTTP_PROTOCOL": "The connection broke off, or what came was no HTTP. Retryable.",
    "HTTP_TOO_LARGE": "The answer is longer than allowed.",
    "HTTP_REDIRECT": "Too many redirects, or one to no http or https URL.",
    "HTTP_BODY": "The answer's body is not what it should be.",
    **EGRESS_ERRORS,
}


class Answer(NamedTuple):
    response: httpx.Response  # closed: status and headers
    body: bytes  # decompressed


async def exchange(
    client: httpx.AsyncClient,
    request: httpx.Request,
    *,
    timeout_ms: int,
    max_bytes: int,
    follow_redirects: bool = True,
) -> Answer:
    """Send a request and read the whole answer, whatever its status.

    The request must ask for no encoding but gzip. Raises NodeError with one of EXCHANGE_ERRORS.
    Leaving by any way, cancellation too, gives up the connection.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await _followed(client, request, max_bytes, MAX_REDIRECTS if follow_redirects else 0)
    except TimeoutError as error:
        message = f"no full answer within {timeout_ms} ms"
        raise NodeError("HTTP_TIMEOUT", message, retryable=True, phase="response") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _failure(error) from error


async def _followed(
    client: httpx.AsyncClient, request: httpx.Request, max_bytes: int, redirects: int
) -> Answer:
    for left in range(redirects, -1, -1):
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            if not (redirects and response.next_request):
                return Answer(response, await _read(response, max_bytes))
            if left:
                request = _redirected(response.next_request, request)
        finally:
            await response.aclose()
    raise NodeError("HTTP_REDIRECT", f"more than {redirects} redirects")


def _redirected(following: httpx.Request, request: httpx.Request) -> httpx.Request:
    """The request that a redirect asks for, without credentials if it goes to another origin."""
    if following.url.scheme not in ("http", "https"):
        raise NodeError("HTTP_REDIRECT", "redirected to something that is no http or https URL")
    if origin(following.url) != origin(request.url):
        own = {"host", "content-length", "transfer-encoding"}
        for name in [name for name in following.headers if name not in REDIRECTS_KEEP | own]:
            del following.headers[name]
    return following


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: what credentials belong to."""
    return url.scheme, url.host, url.port


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The whole body, decompressed; never holds much more than `limit` bytes of it."""
    try:
        decoder = BoundedDecoder(response.headers.get("content-encoding", ""), limit)
        async for chunk in response.aiter_raw():
            decoder.feed(chunk)
        return decoder.finish()
    except TooLarge as error:
        raise NodeError(
            "HTTP_TOO_LARGE",
            f"the answer is longer than {limit} bytes",
            status=response.status_code,
            limit=limit,
        ) from error
    except Undecodable as error:
        raise NodeError("HTTP_BODY", str(error), status=response.status_code) from error


def refused(
    response: httpx.Response, body: bytes, retry_on_status: Collection[int] | None = None
) -> NodeError:
    """The failure that an answer with a status of 400 or more stands for.

    retry_on_status: which may be retried, where somebody says so.
    """
    status = response.status_code
    passing = status in RETRYABLE_STATUS or status >= 500
    retryable = passing if retry_on_status is None else status in retry_on_status
    excerpt = text_of(body[:EXCERPT_BYTES], response.headers.get("content-type", ""))
    asked = f"{response.request.method} {_place(response.request.url)}"
    return NodeError(
        "HTTP_STATUS",
        f"{asked} was answered {status} {response.reason_phrase}".rstrip(),
        retryable=retryable,
        retry_after_ms=retry_after_ms(response.headers.get("retry-after", ""), datetime.now(UTC))
        if retryable
        else None,
        status=status,
        body=excerpt,
    )


def retry_after_ms(header: str, now: datetime) -> int | None:
    """Milliseconds that a Retry-After header asks for, at most a day; None without seconds or a date in it.

    Source: RFC 9110, 10.2.3.
    """
    header = header.strip()
    if header.isascii() and header.isdigit():
        return min(int(header[:9]) * 1000, MAX_RETRY_AFTER_MS)
    try:
        instant = parsedate_to_datetime(header)
    except ValueError:
        return None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return min(max(0, int((instant - now).total_seconds() * 1000)), MAX_RETRY_AFTER_MS)


def _place(url: httpx.URL) -> str:
    """The URL without its query, which may hold a key."""
    return str(url.copy_with(query=None, fragment=None))


# What went wrong


def _failure(error: httpx.HTTPError | httpx.InvalidURL) -> NodeError:
    """The library's error in words of ours."""
    match error:
        case httpx.ConnectTimeout():
            return NodeError("HTTP_TIMEOUT", "no connection in time", retryable=True, phase="connect")
        case httpx.TimeoutException():
            return NodeError("HTTP_TIMEOUT", "no full answer in time", retryable=True, phase="response")
        case httpx.ConnectError() if tls := _tls_error(error):
            return NodeError("HTTP_TLS", f"no secure connection: {tls}")
        case httpx.ConnectError():
            return NodeError("HTTP_CONNECT", f"cannot connect to {error.request.url.host}", retryable=True)
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return NodeError("HTTP_REDIRECT", "redirected to something that is no http or https URL")
        case httpx.LocalProtocolError():
            return NodeError("CONFIG_INVALID", "the request is no valid HTTP")
        case _:
            return NodeError(
                "HTTP_PROTOCOL", "the connection broke off, or what came was no HTTP", retryable=True
            )


def _tls_error(error: BaseException) -> str:
    """What TLS objected to, or "" if the failure lies elsewhere."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        if isinstance(cause, ssl.SSLError):
            return (cause.reason or "handshake failed").lower().replace("_", " ")
        cause = cause.__cause__ or cause.__context__
    return ""
