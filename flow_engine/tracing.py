"""Traces, as OpenTelemetry has them: gateway, executor, queue, worker and each node in one tree.

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set; then nothing of
OpenTelemetry is even imported. The other variables of its SDK work as everywhere. Contexts travel as
W3C `traceparent`: in HTTP headers, in gRPC metadata, and in an execution's first event.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

HEADER = "traceparent"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_tracer: Tracer | None = None
_NO_SPAN: AbstractContextManager[None] = nullcontext()


def configure_tracing(service: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send spans to the collector that the environment names, if it names one.

    service: `service.name` of this process, unless `OTEL_SERVICE_NAME` says otherwise. What is still
    unsent when the process ends is sent then.
    """
    if any(environment.get(name) for name in ENDPOINTS):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        name = environment.get("OTEL_SERVICE_NAME") or service
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        atexit.register(provider.shutdown)
        use(provider)


def use(provider: Any) -> None:
    """Make spans with this provider from now on; None: no more."""
    global _tracer  # noqa: PLW0603 - a process has one, as it has one log
    _tracer = None if provider is None else provider.get_tracer("flow_engine")


def enabled() -> bool:
    return _tracer is not None


def span(
    name: str, parent: str = "", *, kind: str = "internal", **attributes: str | int
) -> AbstractContextManager[Span | None]:
    """The current span inside the block. `parent`: a traceparent; without one, the span around the block.

    kind: internal, server, client, producer, consumer. An exception marks it as failed, with its reason and
    nothing of its text, which may hold what users sent; it goes on.
    """
    return _NO_SPAN if _tracer is None else _span(_tracer, name, parent, kind, attributes)


@contextmanager
def _span(
    tracer: Tracer, name: str, parent: str, kind: str, attributes: Mapping[str, str | int]
) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind

    with tracer.start_as_current_span(
        name,
        context_of(parent) if parent else None,
        SpanKind[kind.upper()],
        attributes={f"flow.{key}": value for key, value in attributes.items()},
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:
            mark_failed(current, getattr(error, "reason", "INTERNAL"))
            raise


def past_span(name: str, parent: str, start: datetime, end: datetime, **attributes: str | int) -> str:
    """A span that is over already, and its traceparent; without tracing, the parent's."""
    if _tracer is None:
        return parent
    from opentelemetry.trace import set_span_in_context

    past = _tracer.start_span(
        name,
        context_of(parent),
        attributes={f"flow.{key}": value for key, value in attributes.items()},
        start_time=_nanoseconds(start),
    )
    past.end(_nanoseconds(max(start, end)))
    return _traceparent(set_span_in_context(past))


def mark_failed(current: Span | None, code: str) -> None:
    """Say of the span that what it stands for failed."""
    if current is not None:
        from opentelemetry.trace import StatusCode

        current.set_status(StatusCode.ERROR, code)


def current_traceparent() -> str:
    """Of the span around the caller; empty where there is none."""
    return "" if _tracer is None else _traceparent(None)


def headers() -> dict[str, str]:
    """What tells another service which span a call belongs to."""
    traceparent = current_traceparent()
    return {HEADER: traceparent} if traceparent else {}


def context_of(traceparent: str) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({HEADER: traceparent})


def _traceparent(context: Context | None) -> str:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context)
    return carrier.get(HEADER, "")


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000) * 1000
