"""JSON values as they travel and rest: numbers keep their value, large values go by content hash."""

from __future__ import annotations

from typing import Any

import msgspec

from flow_engine.ids import content_hash

JsonValue = Any  # None, bool, int, float, str, list, dict with str keys

INLINE_BYTES = 4096
"""Values whose JSON text is longer are stored once, by content hash, and referred to."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def encode(value: JsonValue) -> bytes:
    """Compact JSON text; integers of any size as they are."""
    return _encoder.encode(value)


def decode(text: bytes | str) -> JsonValue:
    """The value of JSON text that this engine wrote. Untrusted text goes through `workflow.parsing`."""
    return _decoder.decode(text)


class PayloadRef(msgspec.Struct, frozen=True, rename="camel"):
    """Names a value that is stored by its content."""

    hash: str  # SHA-256 of the JSON text, hex
    bytes: int  # length of the JSON text


class Payload(msgspec.Struct, frozen=True):
    """A JSON value beside its text, so that it is encoded once."""

    value: JsonValue
    text: bytes

    @classmethod
    def of(cls, value: JsonValue) -> Payload:
        return cls(value, encode(value))

    @property
    def inline(self) -> bool:
        return len(self.text) <= INLINE_BYTES

    @property
    def ref(self) -> PayloadRef:
        return PayloadRef(content_hash(self.text), len(self.text))
