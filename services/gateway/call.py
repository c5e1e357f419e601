"""One HTTP call: what a route gets to see, and how it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from flow_engine.errors import Problem
from services.gateway.bodies import Body, decode
from services.gateway.errors import Refused, invalid
from services.gateway.executor import Executor
from services.gateway.feed import Feed
from services.gateway.hub import Hub
from services.gateway.settings import Settings

if TYPE_CHECKING:
    from services.gateway.admission import Admission
    from services.gateway.identity_provider import IdentityProvider

B = TypeVar("B", bound=Body)


class Answer(Protocol):
    """An ASGI application that answers one call."""

    @property
    def status_code(self) -> int: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What routes work with."""

    settings: Settings
    executor: Executor
    hub: Hub
    feed: Feed
    admission: Admission
    provider: IdentityProvider | None = None  # that people may sign in with


@dataclass(frozen=True, slots=True)
class Param:
    """A query or header parameter. `parse` raises ValueError saying what was expected."""

    name: str
    description: str
    parse: Callable[[str], Any]
    schema: Mapping[str, Any]
    repeated: bool = False
    where: str = "query"


PUBLIC = ""
"""A route that needs no credentials: it tells and changes nothing, or asks for a proof of its own."""
SIGNED_IN = "AccessService/WhoAmI"
"""A route for whoever has credentials that hold."""


@dataclass(frozen=True, slots=True)
class Route:
    """A line of the table that routing and the OpenAPI document are made of."""

    method: str
    path: str
    handler: Callable[[Call], Awaitable[Answer]]
    tag: str
    summary: str
    description: str = ""
    params: Sequence[Param] = ()
    body: type[msgspec.Struct] | str | None = None  # a struct, "json" for any JSON, "definition"
    body_required: bool = True
    answers: Mapping[int, Any] = field(default_factory=dict)  # status -> struct, "value", media type, or None
    refusals: Sequence[int] = ()  # statuses beside those that any route may answer with
    rpc: str = field(kw_only=True)  # what a caller must be allowed to call, or PUBLIC
    any_query: bool = False  # what comes in the query is not ours: it is passed on as text

    @property
    def operation_id(self) -> str:
        words = self.handler.__name__.split("_")
        return words[0] + "".join(word.title() for word in words[1:])


@dataclass(slots=True)
class Call:
    """A request to a route of the table."""

    services: Services
    route: Route
    path: Mapping[str, Any]
    headers: Headers
    query: Mapping[str, Any]  # parsed as the route's params say; absent ones are left out
    request_id: str
    _receive: Receive

    async def body(self) -> bytes:
        """All of it. Raises Refused above the limit, or when it is not declared as JSON."""
        body = await self.raw_body()
        if body or self.route.body_required:
            require_json(self.headers)
        return body

    async def raw_body(self) -> bytes:
        """All of it, whatever it is. Raises Refused above the limit."""
        limit = self.services.settings.body_limit_bytes
        if int(self.headers.get("content-length") or 0) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size, more = 0, True
        give_up_at = asyncio.get_running_loop().time() + self.services.settings.body_seconds
        while more:
            message = await self._next(give_up_at)
            if message["type"] == "http.disconnect":
                raise Disconnected
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > limit:
                raise _too_large(limit)
        return b"".join(parts)

    async def _next(self, give_up_at: float) -> Message:
        """Raises Refused when the client takes too long."""
        try:
            async with asyncio.timeout_at(give_up_at):
                return await self._receive()
        except TimeoutError:
            seconds = self.services.settings.body_seconds
            detail = f"send the whole body within {seconds:g} s; FLOW_HTTP_BODY_SECONDS sets it"
            raise Refused("REQUEST_TIMEOUT", detail, headers={"Connection": "close"}) from None

    async def decoded(self, kind: type[B]) -> B:
        return decode(await self.body(), kind)


class Disconnected(Exception):
    """The client went away before it had sent its body."""


def document(value: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def read_query(params: Sequence[Param], query: QueryParams) -> dict[str, Any]:
    """Values by name. Raises Refused naming every unknown or ill-formed parameter."""
    known = {param.name: param for param in params if param.where == "query"}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for name in query:
        if name not in known:
            hint = f"known: {', '.join(known)}" if known else "this route takes none"
            problems.append(Problem(name, "UNKNOWN_PARAMETER", "there is no such query parameter", hint))
            continue
        texts = query.getlist(name)
        try:
            if known[name].repeated:
                values[name] = [known[name].parse(part) for text in texts for part in text.split(",") if part]
            else:
                values[name] = known[name].parse(texts[-1])
        except ValueError as error:
            problems.append(Problem(name, "INVALID_PARAMETER", f"{error}, got {texts[-1]!r}"))
    if problems:
        raise invalid(problems)
    return values


def require_json(headers: Headers) -> None:
    """Strict, so that no web page can post to the gateway without the browser asking first."""
    content_type = headers.get("content-type", "")
    kind, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise Refused(
            "UNSUPPORTED_MEDIA_TYPE",
            f"send the body as application/json, not {content_type or 'without a content type'}",
            headers={"Accept": "application/json"},
        )


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # isdecimal alone accepts digits of every script.
        if not (text.isascii() and text.isdecimal()) or len(text) > 19 or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return parse


def boolean(text: str) -> bool:
    if text not in ("true", "false", "1", "0", ""):
        raise ValueError("expected true or false")
    return text in ("true", "1", "")


def instant(text: str) -> datetime:
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise ValueError("expected an ISO 8601 time such as 2026-01-31T12:00:00Z") from None
    return in_utc(moment)


def in_utc(moment: datetime) -> datetime:
    """A time that names no zone is meant in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {', '.join(words)}")
        return text

    return parse


def text(most: int = 512) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not 0 < len(value) <= most:
            raise ValueError(f"expected 1 to {most} characters")
        return value

    return parse


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError("expected name=value")
    return name, value


def _too_large(limit: int) -> Refused:
    return Refused("TOO_LARGE", f"the body is larger than {limit} bytes; FLOW_HTTP_BODY_BYTES sets the limit")
