"""What nodes send and receive over HTTP, counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from flow_engine.metering import called


class MeteredTransport(httpx.AsyncBaseTransport):
    """Counts requests, and what goes out and comes in, head and body."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        called(calls=1, bytes_out=_head_bytes(request.headers) + _length(request.headers))
        response = await self._inner.handle_async_request(request)
        called(bytes_in=_head_bytes(response.headers))
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Counted(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._inner:
            called(bytes_in=len(part))
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def _head_bytes(headers: httpx.Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.raw)


def _length(headers: httpx.Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0
