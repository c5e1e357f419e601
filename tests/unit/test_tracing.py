"""What a span tells, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flow_engine import tracing
from flow_engine.errors import InvalidRequest, Problem

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidRequest([Problem("/input", "INVALID_VALUE", "not hunter2")]), "INVALID_REQUEST"),
        (ValueError("hunter2"), "INTERNAL"),
    ],
)
def test_a_failure_is_told_by_its_reason_and_never_by_its_text(
    spans: InMemorySpanExporter, error: Exception, told: str
) -> None:
    with pytest.raises(type(error)), tracing.span("call"):
        raise error
    (span,) = spans.get_finished_spans()
    assert span.status.description == told
    assert "hunter2" not in span.to_json()


def test_a_time_that_is_over_becomes_a_span_below_its_caller(spans: InMemorySpanExporter) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    told = tracing.past_span("queue", CALLER, start, start + timedelta(seconds=2))
    with tracing.span("run", told):
        assert tracing.headers()[tracing.HEADER] == tracing.current_traceparent()
    queue, run = spans.get_finished_spans()
    assert queue.end_time is not None
    assert queue.start_time is not None
    assert queue.end_time - queue.start_time == 2_000_000_000
    assert run.parent is not None
    assert queue.context is not None
    assert run.parent.span_id == queue.context.span_id


def test_where_nothing_is_traced_nothing_is_told() -> None:
    with tracing.span("call") as span:
        assert span is None
    assert (tracing.headers(), tracing.current_traceparent(), tracing.enabled()) == ({}, "", False)
    assert tracing.past_span("queue", CALLER, datetime.now(UTC), datetime.now(UTC)) == CALLER
