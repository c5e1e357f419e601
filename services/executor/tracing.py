"""One span for each call that starts or changes something, below that of whoever called."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import grpc

from flow_engine import tracing

INTERNAL = ("/flow_engine.v1.WorkerService/", "/grpc.")
"""Calls that come by the second and tell nothing about one execution."""


def span_of_call(call: grpc.HandlerCallDetails) -> AbstractContextManager[tracing.Span | None]:
    """Streams that follow what happens have no end to wait for; a start that is watched is a start."""
    if not tracing.enabled() or call.method.startswith(INTERNAL):
        return tracing.NO_SPAN
    parent = next((value for name, value in call.invocation_metadata or () if name == tracing.HEADER), "")
    return tracing.span_of(_described(call.method), str(parent))


@cache
def _described(method: str) -> tracing.Described:
    return tracing.Described(method.removeprefix("/"), "server", {})
