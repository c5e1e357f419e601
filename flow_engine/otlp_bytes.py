"""Spans as OTLP has them: the bytes of opentelemetry/proto/collector/trace/v1/trace_service.proto.

Making messages of them would cost more than everything else about a span. A tag is the number of the field
× 8 + the kind of its value, and what has no fixed size is preceded by its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from flow_engine.tracing import KINDS, Described, Told

SCOPE = "flow_engine"

_OWN = Struct("<H8sBQBQ")
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


def spans_bytes(told: Iterable[Told]) -> bytes:
    """As they stand in a request; those of two calls may be joined."""
    parts: list[bytes] = []
    for trace_id, parent_id, ids, spans in told:
        trace = b"\x0a\x10" + trace_id
        if parent_id:
            trace += b"\x22\x08" + parent_id
        first = 0
        for described, start, end, failure in spans:
            if failure or not parent_id:
                head = written(described) + (failed(failure) if failure else b"")
                head = b"\x12" + varint(len(head) + len(trace) + _OWN.size) + head
            else:
                head = described.written or write(described)
            parts += head, trace, _own(0x0812, ids[first : first + 8], 0x39, start, 0x41, end)
            first += 8
    return b"".join(parts)


def write(described: Described) -> bytes:
    """The beginning of a span that has a parent and did not fail, up to what its trace tells."""
    told = written(described)
    described.written = b"\x12" + varint(len(told) + _BELOW + _OWN.size) + told
    return described.written


def written(described: Described) -> bytes:
    attributes = described.attributes
    own = map(flow_attribute, attributes, attributes.values())
    return name_and_kind(described.name, described.kind) + b"".join(own)


@lru_cache(4096)
def name_and_kind(name: str, kind: str) -> bytes:
    return sized(0x2A, name.encode(errors="replace")) + bytes((0x30, KINDS[kind]))


def flow_attribute(key: str, value: str | int) -> bytes:
    """Field 9 of a span."""
    if isinstance(value, str):
        text = value.encode(errors="replace")
        return before_text(key, len(text)) + text
    return sized(0x4A, flow_key(key) + sized(0x12, any_value(value)))


@lru_cache(4096)
def before_text(key: str, length: int) -> bytes:
    """A flow attribute up to its text of so many bytes: each run has one of its own, of the same length."""
    value = b"\x0a" + varint(length)
    content = flow_key(key) + b"\x12" + varint(len(value) + length) + value
    return b"\x4a" + varint(len(content) + length) + content


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


@lru_cache(4096)
def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
