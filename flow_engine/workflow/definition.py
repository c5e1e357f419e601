"""A definition as it is stored: the document as sent, without its white space, named by its content."""

from __future__ import annotations

from flow_engine import payload
from flow_engine.ids import content_hash
from flow_engine.payload import JsonValue


def canonical(document: JsonValue) -> bytes:
    """Compact JSON. Keys keep their order: it is the order of the objects that `data.set` builds."""
    return payload.encode(document)


def definition_hash(document: JsonValue) -> str:
    return content_hash(canonical(document))
