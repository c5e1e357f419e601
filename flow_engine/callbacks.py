"""URLs by which outside systems report back to a `wait.callback`, known before the step waits.

A token names execution, node and iteration, and proves by a MAC of 128 bits that we made it: nothing about
it is stored. Whoever runs an execution holds a key for that one only; the executor derives it from its
secret. A token is spent when its step has an answer, and dies with its wait.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass

import msgspec

from flow_engine.ids import Iteration
from flow_engine.payload import JsonValue

MAC_BYTES = 16
ID_BYTES = 16
LONGEST_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Makes the URLs of one execution. prefix: what each begins with, up to the token."""

    prefix: str
    execution_id: str
    key: bytes

    def url(self, node_id: str, iteration: Iteration) -> str:
        return self.prefix + token(self.key, self.execution_id, node_id, iteration)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a token says. Believe it only if `proven`."""

    execution_id: str
    node_id: str
    iteration: Iteration
    text: str

    def proven(self, key: bytes) -> bool:
        ours = token(key, self.execution_id, self.node_id, self.iteration)
        return hmac.compare_digest(ours.encode(), self.text.encode())


def execution_key(secret: bytes, execution_id: str) -> bytes:
    return hmac.digest(secret, b"callbacks of " + execution_id.encode(), hashlib.sha256)


def token(key: bytes, execution_id: str, node_id: str, iteration: Iteration) -> str:
    """URL-safe: id of the execution, MAC, then node and iteration as JSON."""
    place = msgspec.json.encode([node_id, *iteration])
    mac = hmac.digest(key, place, hashlib.sha256)[:MAC_BYTES]
    return base64.urlsafe_b64encode(uuid.UUID(execution_id).bytes + mac + place).decode().rstrip("=")


def read(text: str) -> Claimed | None:
    """None for what cannot be a token of ours."""
    if len(text) > LONGEST_TOKEN:
        return None
    try:
        data = base64.b64decode((text + "=" * (-len(text) % 4)).encode("ascii"), b"-_", validate=True)
        execution_id = uuid.UUID(bytes=data[:ID_BYTES])
        node_id, *iteration = msgspec.json.decode(data[ID_BYTES + MAC_BYTES :], type=list[str | int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    if not isinstance(node_id, str) or not all(isinstance(index, int) for index in iteration):
        return None
    return Claimed(str(execution_id), node_id, tuple(map(int, iteration)), text)


def hidden(value: JsonValue, prefix: str) -> JsonValue:
    """The value without any token: histories show where something was sent, not how to answer there."""
    return _without(value, re.compile(f"(?<={re.escape(prefix)})[A-Za-z0-9_-]+"))


def _without(value: JsonValue, tokens: re.Pattern[str]) -> JsonValue:
    match value:
        case str():
            return tokens.sub("…", value)
        case list():
            return [_without(item, tokens) for item in value]
        case dict():
            return {key: _without(item, tokens) for key, item in value.items()}
    return value
