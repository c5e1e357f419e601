"""The ASGI application: finds the route of a call, checks it, and turns every refusal into a problem."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flow_engine import tracing
from services.gateway.access import Access
from services.gateway.call import PUBLIC, Answer, Call, Disconnected, Route, Services, read_query
from services.gateway.credentials import Sender, bearer_of, set_sender
from services.gateway.errors import OWN_WORDS, Refused, problem_document
from services.gateway.metrics import Metrics
from services.gateway.sse import EventStream

log = structlog.get_logger(__name__)

PROBLEM_TYPE = "application/problem+json"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Router:
    """Finds routes by method and path. Paths without parameters are looked up, the others tried in order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        for path, methods in by_path.items():
            if "{" in path:
                # Only the id of a node and the name of a file may hold a slash: they come last.
                template = path.replace("{nodeId}", "{nodeId:path}").replace("{asset}", "{asset:path}")
                self._patterns.append((compile_path(template)[0], methods))
            else:
                self._fixed[path] = methods

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Raises Refused when there is no such path, or not with this method."""
        methods, values = self._methods(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None or (method == "HEAD" and route.path.endswith("/stream")):
            allowed = ", ".join(sorted(methods))
            raise Refused("METHOD_NOT_ALLOWED", f"{path} knows {allowed}", headers={"Allow": allowed})
        return route, values

    def _methods(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        if path in self._fixed:
            return self._fixed[path], {}
        for pattern, methods in self._patterns:
            if match := pattern.match(path):
                return methods, match.groupdict()
        raise Refused("ROUTE_NOT_FOUND", f"there is nothing at {path[:200]}; /docs lists what there is")


class Preflight(Exception):
    """A browser asks what a page of another site may send."""


class Gateway:
    def __init__(
        self,
        services: Services,
        access: Access,
        metrics: Metrics,
        routes: Iterable[Route],
        sockets: Iterable[Route],
    ) -> None:
        self._services = services
        self._access = access
        self._metrics = metrics
        self._router = Router(routes)
        self._sockets = Router(sockets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            raise RuntimeError(f"unexpected {scope['type']}: the server must run with lifespan off")
        http = scope["type"] == "http"
        headers = Headers(scope=scope)
        request_id = request_id_of(headers)
        started = time.perf_counter()
        method, template = (scope["method"], "unmatched") if http else ("WEBSOCKET", "unmatched")
        with self._metrics.in_flight.track_inprogress():
            try:
                self._access.check(headers)
                if http and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                    raise Preflight
                router = self._router if http else self._sockets
                route, path = router.find(method if http else "GET", scope["path"])
                template = route.path
                sender = Sender(bearer_of(headers) if route.rpc != PUBLIC else "", client_of(scope))
                set_sender(sender)
                await self._services.admission.check(route, sender)
                query = query_of(route, QueryParams(scope["query_string"]))
                call = Call(self._services, route, path, headers, query, request_id, receive)
                parent = headers.get(tracing.HEADER, "")
                with tracing.span(f"{method} {template}", parent, kind="server", request_id=request_id):
                    answer = await route.handler(call)
            except Refused as refused:
                answer = problem(refused, request_id)
            except Preflight:
                answer = Response(status_code=204, headers=self._access.preflight(headers))
            except Disconnected:
                answer = Response(status_code=400)
            except Exception:
                log.exception("call.failed", method=method, route=template, request_id=request_id)
                answer = problem(Refused("INTERNAL", OWN_WORDS["INTERNAL"]), request_id)
            more = self._access.for_pages(headers)
            await _send(answer, scope, receive, _with_headers(send, request_id, more))
        self._count(method, template, answer, started)

    def _count(self, method: str, template: str, answer: Answer, started: float) -> None:
        lasted = (
            None
            if isinstance(answer, EventStream) or method == "WEBSOCKET"
            else time.perf_counter() - started
        )
        label = method if method in METHODS or method == "WEBSOCKET" else "other"
        self._metrics.answered(label, template, answer.status_code, lasted)


def query_of(route: Route, query: QueryParams) -> Mapping[str, Any]:
    """Raises Refused."""
    return dict(query) if route.any_query else read_query(route.params, query)


def request_id_of(headers: Headers) -> str:
    """The client's, where it is fit to be repeated; or a new one."""
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def client_of(scope: Scope) -> str:
    """Address of the connection; proxies' headers are not believed."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def problem(refused: Refused, request_id: str) -> Response:
    body = msgspec.json.encode(problem_document(refused, request_id))
    return Response(body, refused.status, refused.headers, PROBLEM_TYPE)


async def _send(answer: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and isinstance(answer, Response):
        # A refused handshake; Starlette gives the response its WebSocket form.
        await receive()
    await answer(scope, receive, send)


def _with_headers(send: Send, request_id: str, more: Mapping[str, str]) -> Send:
    extra = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
    extra += [(name.lower().encode(), value.encode()) for name, value in more.items()]

    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message["headers"] = [*message.get("headers", ()), *extra]
        await send(message)

    return send_with_headers
