"""Spans as OTLP has them: the bytes of opentelemetry/proto/collector/trace/v1/trace_service.proto.

Making messages of them would cost more than everything else about a span. A tag is the number of the field
× 8 + the kind of its value, and what has no fixed size is preceded by its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from flow_engine.tracing import KINDS, Described, Ended

SCOPE = "flow_engine"

_ROOT = Struct("<2s16s2s8ssQsQ").pack
_BELOW = Struct("<2s16s2s8ssQsQ2s8s").pack


def request_bytes(resource: bytes, spans: bytes) -> bytes:
    """An ExportTraceServiceRequest. resource: of `resource_bytes`. spans: of `spans_bytes`."""
    scope = sized(0x0A, sized(0x0A, SCOPE.encode(errors="replace")))
    return sized(0x0A, resource + sized(0x12, scope + spans))


def resource_bytes(attributes: Mapping[str, Any]) -> bytes:
    return sized(0x0A, b"".join(map(attribute, attributes, attributes.values())))


def spans_bytes(spans: Iterable[Ended]) -> bytes:
    """As they stand in a request; those of two calls may be joined."""
    parts: list[bytes] = []
    for described, trace_id, span_id, parent_id, start, end, failure in spans:
        told = described.written or write(described)
        if failure:
            told += failed(failure)
        ids = b"\x0a\x10", trace_id, b"\x12\x08", span_id
        if parent_id:
            placed = _BELOW(*ids, b"\x39", start, b"\x41", end, b"\x22\x08", parent_id)
        else:
            placed = _ROOT(*ids, b"\x39", start, b"\x41", end)
        parts += head(len(placed) + len(told)), placed, told
    return b"".join(parts)


@lru_cache(4096)
def head(length: int) -> bytes:
    """Of a span of so many bytes, as field 2 of what holds it."""
    return b"\x12" + varint(length)


def write(described: Described) -> bytes:
    attributes = [flow_attribute(key, value) for key, value in described.attributes.items()]
    described.written = name_and_kind(described.name, described.kind) + b"".join(attributes)
    return described.written


@lru_cache(4096)
def name_and_kind(name: str, kind: str) -> bytes:
    return sized(0x2A, name.encode(errors="replace")) + bytes((0x30, KINDS[kind]))


def flow_attribute(key: str, value: str | int) -> bytes:
    """Field 9 of a span."""
    return sized(0x4A, flow_key(key) + sized(0x12, any_value(value)))


@lru_cache(256)
def flow_key(key: str) -> bytes:
    return sized(0x0A, f"flow.{key}".encode())


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
    length = len(content)
    return (bytes((tag, length)) if length < 0x80 else bytes((tag,)) + varint(length)) + content


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
