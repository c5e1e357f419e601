"""Spans as OTLP has them: the bytes of opentelemetry/proto/collector/trace/v1/trace_service.proto.

Making messages of them would cost more than everything else about a span. A tag is the number of the field
× 8 + the kind of its value, and what has no fixed size is preceded by its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct, unpack
from typing import Any

from flow_engine.tracing import KINDS, Described, Ended

SCOPE = "flow_engine"

_OWN = Struct("<HQBQBQ")
"""Of a span its id and times, each behind its tag."""
_own = _OWN.pack
_BELOW = 28
"""Bytes of the ids of trace and parent, with their tags."""


def request_bytes(resource: bytes, spans: bytes) -> bytes:
    """An ExportTraceServiceRequest. resource: of `resource_bytes`. spans: of `spans_bytes`."""
    scope = sized(0x0A, sized(0x0A, SCOPE.encode(errors="replace")))
    return sized(0x0A, resource + sized(0x12, scope + spans))


def resource_bytes(attributes: Mapping[str, Any]) -> bytes:
    return sized(0x0A, b"".join(map(attribute, attributes, attributes.values())))


def spans_bytes(trace_id: bytes, parent_id: bytes, ids: bytes, spans: Sequence[Ended]) -> bytes:
    """As they stand in a request; those of two calls may be joined.

    parent_id: empty at a root. ids: their own, one after the other.
    """
    parts: list[bytes] = []
    trace = b"\x0a\x10" + trace_id
    if parent_id:
        trace += b"\x22\x08" + parent_id
    for span_id, (described, start, end, failure) in zip(_numbers(ids), spans, strict=True):
        if failure or not parent_id:
            told = written(described) + (failed(failure) if failure else b"")
            told = b"\x12" + varint(len(told) + len(trace) + _OWN.size) + told
        else:
            told = described.written or write(described)
        parts += told, trace, _own(0x0812, span_id, 0x39, start, 0x41, end)
    return b"".join(parts)


def _numbers(ids: bytes) -> tuple[int, ...]:
    return unpack(f"<{len(ids) // 8}Q", ids)


def write(described: Described) -> bytes:
    """The beginning of a span that has a parent and did not fail, up to what its trace tells."""
    told = written(described)
    described.written = b"\x12" + varint(len(told) + _BELOW + _OWN.size) + told
    return described.written


def written(described: Described) -> bytes:
    attributes = [flow_attribute(key, value) for key, value in described.attributes.items()]
    return name_and_kind(described.name, described.kind) + b"".join(attributes)


@lru_cache(4096)
def name_and_kind(name: str, kind: str) -> bytes:
    return sized(0x2A, name.encode(errors="replace")) + bytes((0x30, KINDS[kind]))


def flow_attribute(key: str, value: str | int) -> bytes:
    """Field 9 of a span."""
    name = flow_key(key)
    if isinstance(value, str):
        text = value.encode(errors="replace")
        length = len(text)
        if (rest := len(name) + 4 + length) < 0x80:  # as below, at half the cost: each run has one of its own
            return b"%c%c%b\x12%c\x0a%c%b" % (0x4A, rest, name, 2 + length, length, text)
    return sized(0x4A, name + sized(0x12, any_value(value)))


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
