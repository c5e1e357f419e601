"""Sends spans to an OTLP collector: sampled, batched and sent by OpenTelemetry's SDK, but written here.

The variables of the SDK work as everywhere: `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`, `OTEL_EXPORTER_OTLP_…`,
`OTEL_RESOURCE_ATTRIBUTES`. The bytes are those of opentelemetry/proto/trace/v1/trace.proto; making messages
of them would cost more than everything else about a span.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from flow_engine.tracing import KINDS, Place, Span

SCOPE = "flow_engine"


def recorder(service: str) -> SdkRecorder:
    """What is still unsent when the process ends is sent then."""
    # The provider reads sampler and resource from the environment; it is asked for no tracer.
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    processor = BatchSpanProcessor(Exporter(provider.resource.attributes))
    atexit.register(processor.shutdown)
    return SdkRecorder(provider.sampler, processor.on_end)


class SdkRecorder:
    """A trace is sampled where it enters the process, so that there it is whole or not at all."""

    def __init__(self, sampler: Sampler, on_end: Callable[[Any], None]) -> None:
        self._sampler = None if sampler is DEFAULT_ON else sampler
        self.on_end = on_end

    def samples(self, trace_id: bytes, name: str, above: Place | None) -> bool:
        if self._sampler is None:
            return above is None or above.trace_flags.sampled
        context = None
        if above is not None:
            flags = TraceFlags(TraceFlags.SAMPLED if above.trace_flags.sampled else TraceFlags.DEFAULT)
            parent = SpanContext(number(trace_id), number(above.span_id), is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(parent))
        decision = self._sampler.should_sample(context, number(trace_id), name).decision
        return decision is Decision.RECORD_AND_SAMPLE


def number(some_id: bytes) -> int:
    return int.from_bytes(some_id, "big")


class Exporter(OTLPSpanExporter):
    """The SDK's, for our spans."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        super().__init__()
        self._resource = resource

    def _translate_data(self, data: Sequence[Any]) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest.FromString(request_bytes(self._resource, data))


# The bytes: a tag (number of the field × 8 + kind of value), and for what has no fixed size its length. ----


def request_bytes(resource: Mapping[str, Any], spans: Iterable[Span]) -> bytes:
    """An ExportTraceServiceRequest."""
    described = sized(0x0A, b"".join(map(attribute, resource, resource.values())))
    scope = sized(0x0A, sized(0x0A, SCOPE.encode(errors="replace")))
    scope_spans = scope + b"".join(sized(0x12, span_bytes(span)) for span in spans)
    return sized(0x0A, described + sized(0x12, scope_spans))


_IDS = Struct("<2s16s2s8s")
_TIMES = Struct("<BQBQ")


def span_bytes(span: Span) -> bytes:
    place = span.context
    parts = [
        _IDS.pack(b"\x0a\x10", place.trace_id, b"\x12\x08", place.span_id),
        b"\x22\x08" + span.parent_id if span.parent_id else b"",
        name_and_kind(span.name, span.kind),
        _TIMES.pack(0x39, span.start_time, 0x41, span.end_time),
        *[b"\x4a" + flow_attribute(key, value) for key, value in span.attributes.items()],
        failed(span.failure) if span.failure else b"",
    ]
    return b"".join(parts)


@lru_cache(4096)
def name_and_kind(name: str, kind: str) -> bytes:
    return sized(0x2A, name.encode(errors="replace")) + bytes((0x30, KINDS[kind]))


@lru_cache(4096)
def flow_attribute(key: str, value: str | int) -> bytes:
    return attribute(f"flow.{key}", value)[1:]


@lru_cache(256)
def failed(code: str) -> bytes:
    """The status ERROR with a message."""
    return sized(0x7A, sized(0x12, code.encode(errors="replace")) + b"\x18\x02")


def attribute(key: str, value: Any) -> bytes:
    """A KeyValue, as field 1 of whatever holds it."""
    return sized(0x0A, sized(0x0A, key.encode(errors="replace")) + sized(0x12, any_value(value)))


def any_value(value: Any) -> bytes:
    match value:
        case bool():
            return bytes((0x10, value))
        case int():
            return b"\x18" + varint(value % (1 << 64))
        case float():
            return b"\x21" + Struct("<d").pack(value)
        case str():
            return sized(0x0A, value.encode(errors="replace"))
        case _:
            return sized(0x2A, b"".join(sized(0x0A, any_value(each)) for each in value))


def sized(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
