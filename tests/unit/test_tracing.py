"""What a span tells, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, ParentBased, Sampler, TraceIdRatioBased

from flow_engine import tracing
from flow_engine.errors import InvalidRequest, Problem
from flow_engine.otlp import SdkRecorder
from flow_engine.otlp_bytes import request_bytes, resource_bytes, spans_bytes

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED_CALLER = CALLER[:-1] + "0"


class OneSpan(NamedTuple):
    described: tracing.Described
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start_time: int
    end_time: int
    failure: str

    @property
    def name(self) -> str:
        return self.described.name


@pytest.fixture
def spans() -> Iterator[list[OneSpan]]:
    yield from recorded(DEFAULT_ON)


def as_sent(spans: Sequence[OneSpan]) -> bytes:
    return spans_bytes(
        (one.trace_id, one.parent_id, one.span_id, [(one.described, *one[4:])]) for one in spans
    )


def recorded(sampler: Sampler) -> Iterator[list[OneSpan]]:
    found: list[OneSpan] = []

    def on_end(told: tracing.Told) -> None:
        trace_id, parent_id, ids, spans = told
        for number, (described, start, end, failure) in enumerate(spans):
            span_id = ids[8 * number : 8 * number + 8]
            found.append(OneSpan(described, trace_id, span_id, parent_id, start, end, failure))

    tracing.use(SdkRecorder(sampler, on_end))
    yield found
    tracing.use(None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidRequest([Problem("/input", "INVALID_VALUE", "not hunter2")]), "INVALID_REQUEST"),
        (ValueError("hunter2"), "INTERNAL"),
    ],
)
def test_a_failure_is_told_by_its_reason_and_never_by_its_text(
    spans: list[OneSpan], error: Exception, told: str
) -> None:
    with pytest.raises(type(error)), tracing.span("call"):
        raise error
    (span,) = spans
    assert span.failure == told
    assert b"hunter2" not in as_sent(spans)


def test_a_cancelled_block_has_not_failed(spans: list[OneSpan]) -> None:
    with pytest.raises(GeneratorExit), tracing.span("call"):
        raise GeneratorExit
    assert [span.failure for span in spans] == [""]


def test_spans_stand_below_the_one_around_them(spans: list[OneSpan]) -> None:
    with tracing.span("outer", CALLER), tracing.span("inner"):
        assert tracing.headers()[tracing.HEADER] == tracing.current_traceparent()
        inside = tracing.current_traceparent()
    inner, outer = spans
    assert tracing.current_traceparent() == ""
    assert inside == f"00-{outer.trace_id.hex()}-{inner.span_id.hex()}-01"
    assert (inner.parent_id, outer.parent_id.hex()) == (outer.span_id, "b7ad6b7169203331")
    assert {span.trace_id.hex() for span in spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert outer.start_time <= inner.start_time <= inner.end_time <= outer.end_time


def test_what_is_over_stands_below_the_span_around_it(spans: list[OneSpan]) -> None:
    node = tracing.Described("node a", "internal", {"attempt": 1})
    with tracing.span("run", CALLER):
        tracing.tell([(node, 1, 2, ""), (node, 3, 4, "NOPE")])
    tracing.tell([(node, 5, 6, "ALONE")])
    first, second, run, alone = spans
    assert [(span.parent_id, span.trace_id) for span in (first, second)] == 2 * [(run.span_id, run.trace_id)]
    assert (alone.parent_id, alone.trace_id == run.trace_id) == (b"", False)
    assert len({span.span_id for span in spans}) == 4
    assert [span.failure for span in (first, second, alone)] == ["", "NOPE", "ALONE"]
    assert [(span.start_time, span.end_time) for span in (first, second, alone)] == [(1, 2), (3, 4), (5, 6)]


def test_a_time_that_is_over_becomes_a_span_below_its_caller(spans: list[OneSpan]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    told = tracing.past_span("queue", CALLER, start, start + timedelta(seconds=2))
    with tracing.span("run", told):
        pass
    queue, run = spans
    assert queue.end_time - queue.start_time == 2_000_000_000
    assert queue.start_time == 1_767_225_600_000_000_000
    assert run.parent_id == queue.span_id


def test_where_nothing_is_traced_nothing_is_told() -> None:
    with tracing.span("call") as span:
        assert span is None
    tracing.tell([(tracing.Described("node a", "internal", {}), 0, 1, "")])
    assert (tracing.headers(), tracing.current_traceparent(), tracing.enabled()) == ({}, "", False)
    assert tracing.past_span("queue", CALLER, datetime.now(UTC), datetime.now(UTC)) == CALLER


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (CALLER, True),
        (UNSAMPLED_CALLER, True),
        (f"01{CALLER[2:]}-more", True),
        (f"01{CALLER[2:]}", True),
        (f"01{CALLER[2:]}more", False),
        (f"{CALLER}-more", False),
        (f"{CALLER}\n", False),
        (f"{CALLER}0", False),
        (f"ff{CALLER[2:]}", False),
        (CALLER.upper(), False),
        (CALLER.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), False),
        (CALLER.replace("b7ad6b7169203331", "0" * 16), False),
        ("", False),
        ("00-x", False),
    ],
)
def test_a_traceparent_is_read_as_w3c_says(given: str, understood: bool) -> None:
    place = tracing.place_of(given)
    assert (place is not None) is understood
    if place is not None and given.startswith("00"):
        assert tracing.traceparent_of(place) == given


@pytest.mark.parametrize(
    ("sampler", "parent", "sent"),
    [
        (DEFAULT_ON, "", True),
        (DEFAULT_ON, "nonsense", True),
        (DEFAULT_ON, UNSAMPLED_CALLER, False),
        (ALWAYS_OFF, CALLER, False),
        (TraceIdRatioBased(0.0), CALLER, False),
        (ParentBased(TraceIdRatioBased(0.0)), "", False),
        (ParentBased(TraceIdRatioBased(0.0)), CALLER, True),
        (ParentBased(TraceIdRatioBased(1.0)), UNSAMPLED_CALLER, False),
    ],
)
def test_the_sampler_decides_for_a_whole_trace(sampler: Sampler, parent: str, sent: bool) -> None:
    for found in recorded(sampler):
        with tracing.span("outer", parent), tracing.span("inner"):
            assert tracing.current_traceparent().endswith("-01" if sent else "-00")
        assert [span.name for span in found] == (["inner", "outer"] if sent else [])


def test_what_is_sent_reads_as_otlp(spans: list[OneSpan]) -> None:
    call = tracing.span("POST /räume", CALLER, kind="server", request_id="r" * 300, attempt=2**40)
    with call, tracing.span("node") as node:
        tracing.mark_failed(node, "NOPE")
    resource = {"service.name": "flow", "n": 3, "big": True, "ratio": 0.5, "list": ("a", "b"), "less": -1}
    request = ExportTraceServiceRequest.FromString(request_bytes(resource_bytes(resource), as_sent(spans)))

    (group,) = request.resource_spans
    told = {one.key: one.value for one in group.resource.attributes}
    assert (told["service.name"].string_value, told["n"].int_value) == ("flow", 3)
    assert told["big"].bool_value
    assert (told["ratio"].double_value, told["less"].int_value) == (0.5, -1)
    assert [each.string_value for each in told["list"].array_value.values] == ["a", "b"]
    (scope,) = group.scope_spans
    assert scope.scope.name == "flow_engine"
    inner, outer = scope.spans
    assert (outer.name, outer.kind) == ("POST /räume", OtlpSpan.SPAN_KIND_SERVER)
    assert outer.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert (outer.parent_span_id.hex(), inner.parent_span_id) == ("b7ad6b7169203331", outer.span_id)
    assert (outer.start_time_unix_nano, outer.end_time_unix_nano) == (spans[1].start_time, spans[1].end_time)
    given = {one.key: one.value.string_value or one.value.int_value for one in outer.attributes}
    assert given == {"flow.request_id": "r" * 300, "flow.attempt": 2**40}
    assert (inner.kind, inner.status.code, inner.status.message) == (
        OtlpSpan.SPAN_KIND_INTERNAL,
        Status.STATUS_CODE_ERROR,
        "NOPE",
    )
