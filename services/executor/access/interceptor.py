"""Finds out who calls before anything of the call is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from services.executor.access.caller import LOCAL, set_caller


class CallerInterceptor(grpc.aio.ServerInterceptor):
    """Each RPC runs in a task of its own, so the caller that is set here is that of this call alone."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        set_caller(LOCAL)
        return await continuation(handler_call_details)
