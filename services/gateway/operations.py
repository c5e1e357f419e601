"""Health, metrics, and the pages that describe the API. All of it works offline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.responses import HTMLResponse, Response

from services.gateway.call import Answer, Call, document
from services.gateway.documents import HealthDocument
from services.gateway.errors import Refused
from services.gateway.metrics import CONTENT_TYPE, Metrics
from services.gateway.pages import docs_page

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}

Handler = Callable[[Call], Awaitable[Answer]]


async def check_health(call: Call) -> Answer:
    """Whether this process answers."""
    return document(HealthDocument(status="ok"))


async def check_readiness(call: Call) -> Answer:
    """Whether calls will be answered: the executor reports that it serves."""
    if call.services.hub.closing:
        raise Refused("UNAVAILABLE", "the gateway is shutting down")
    if not await call.services.executor.serving():
        raise Refused("UNAVAILABLE", f"no executor serves at {call.services.settings.grpc_address}")
    return document(HealthDocument(status="ready"))


class Operations:
    """Routes that need more than a call brings with it."""

    def __init__(self, metrics: Metrics, api: dict[str, Any]) -> None:
        self._metrics = metrics
        self._api = msgspec.json.encode(api)
        self._docs = docs_page(api)

    async def metrics(self, call: Call) -> Answer:
        """Figures for Prometheus."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def api_document(self, call: Call) -> Answer:
        """This API as OpenAPI 3.1."""
        return Response(self._api, media_type="application/json")

    async def docs(self, call: Call) -> Answer:
        """This API as a page."""
        return HTMLResponse(self._docs, headers=PAGE_HEADERS)
