"""Ids: executions (UUIDv7), content hashes, step keys."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Sequence
from typing import NewType

ExecutionId = NewType("ExecutionId", str)
NodeId = NewType("NodeId", str)
Iteration = tuple[int, ...]  # indexes of the loops around a step, outermost first

DEFAULT_NAMESPACE = "default"

MADE_FOR_ONE_CALL = "gateway:"
"""What request ids begin with that the gateway makes where a client gave none: hardly ever used twice."""


def new_execution_id() -> ExecutionId:
    """A UUIDv7 (RFC 9562): sorts by the millisecond it was made in."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return ExecutionId(str(uuid.UUID(int=value)))


def content_hash(data: bytes) -> str:
    """SHA-256 in hex: the name of a definition or a payload."""
    return hashlib.sha256(data).hexdigest()


def step_key(root_id: str, node_id: str, iteration: Sequence[int], generation: int) -> str:
    """The same for every attempt of a step and whoever runs it; outside systems deduplicate by it.

    Source: docs/protocol.md, "Step key".
    """
    path = ".".join(map(str, iteration))
    return content_hash(f"{root_id}\n{node_id}\n{path}\n{generation}".encode())[:32]


def child_id(key_root: str, node_id: str, iteration: Sequence[int], generation: int) -> ExecutionId:
    """The execution that a step starts: the same whoever starts it, and however often.

    key_root: what the step keys of the parent are derived from; a UUID.
    Source: docs/protocol.md, "Children".
    """
    path = ".".join(map(str, iteration))
    return ExecutionId(str(uuid.uuid5(uuid.UUID(key_root), f"{node_id}\n{path}\n{generation}")))
