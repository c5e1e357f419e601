"""Steps that wait for an answer from outside: what they ask for, and what they make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from flow_engine.nodes.contract import Answered, Completed, NodeError, TimedOut, Wake
from flow_engine.payload import JsonValue
from flow_engine.workflow.json_schemas import value_problems

TIMEOUT_HANDLE = "timeout"


def signal(
    kind: Literal["person", "callback"],
    title: str,
    description: str,
    assignee: str | None,
    schema: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """What a waiting step tells of itself; empty parts are left out."""
    told: dict[str, JsonValue] = {
        "kind": kind,
        "title": title,
        "description": description,
        "assignee": assignee,
        "schema": dict(schema),
    }
    return {name: value for name, value in told.items() if value not in ("", None)}


def answered(wake: Wake, schema: Mapping[str, JsonValue], handle: str) -> Completed:
    """Goes on at `handle` with the answer, or at `timeout` with null.

    Raises NodeError INVALID_ANSWER: answers are checked where they arrive, but schema and answer may both be
    old.
    """
    match wake:
        case TimedOut():
            return Completed(None, TIMEOUT_HANDLE)
        case Answered(payload):
            if problems := value_problems(schema, payload):
                first = problems[0]
                raise NodeError("INVALID_ANSWER", f"{first.path or '/'}: {first.message}")
            return Completed(payload, handle)
