"""One span for each call that starts or changes something, below that of whoever called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import grpc

from flow_engine import tracing

INTERNAL = ("/flow_engine.v1.WorkerService/", "/grpc.")
"""Calls that come by the second and tell nothing about one execution."""


class TracingInterceptor(grpc.aio.ServerInterceptor):
    """Streams that follow what happens have no end to wait for; a start that is watched is a start."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not tracing.enabled() or method.startswith(INTERNAL):
            return handler
        metadata = dict(handler_call_details.invocation_metadata or ())
        parent = str(metadata.get(tracing.HEADER, ""))
        return _traced(handler, lambda: tracing.span(method.removeprefix("/"), parent, kind="server"))


def _traced(
    handler: grpc.RpcMethodHandler[Any, Any], span: Callable[[], AbstractContextManager[Any]]
) -> grpc.RpcMethodHandler[Any, Any]:
    decode, encode = handler.request_deserializer, handler.response_serializer
    inner: Any = handler.unary_unary or handler.stream_unary
    if inner:

        async def call(request: Any, context: Any) -> Any:
            with span():
                return await inner(request, context)

        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(call, decode, encode)
        return grpc.stream_unary_rpc_method_handler(call, decode, encode)
    stream: Any = handler.unary_stream or handler.stream_stream
    if stream:

        async def calls(request: Any, context: Any) -> AsyncIterator[Any]:
            with span():
                async for message in stream(request, context):
                    yield message

        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(calls, decode, encode)
        return grpc.stream_stream_rpc_method_handler(calls, decode, encode)
    return handler
