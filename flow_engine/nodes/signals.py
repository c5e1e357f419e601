"""Steps that wait for an answer from outside: what they ask for, and what they make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Answered, ChildEnded, Completed, NodeError, TimedOut, Wake
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


def task_signal(queue: str, step_key: str) -> dict[str, JsonValue]:
    """What a step tells of itself that waits for a program to take its task."""
    return {"kind": "task", "queue": queue, "stepKey": step_key}


def task_output(output: JsonValue) -> JsonValue:
    """The answer that a completed task leaves in the history."""
    return {"output": output}


def task_error(
    code: str, message: str, *, retryable: bool, retry_after_ms: int | None = None, details: JsonValue = None
) -> JsonValue:
    """The answer that a failed task leaves in the history; `task_failure` reads it."""
    told = {"code": code, "message": message, "retryable": retryable}
    more = {"retryAfterMs": retry_after_ms, "details": details}
    return {"error": {**told, **{name: value for name, value in more.items() if value is not None}}}


def task_failure(error: Mapping[str, JsonValue]) -> tuple[Failure, int | None]:
    """What a program reported, and how long it wants to be left alone, in milliseconds."""
    details = error.get("details")
    failure = Failure(
        code=error["code"],
        message=error["message"],
        retryable=bool(error["retryable"]),
        details=details if isinstance(details, dict) else {} if details is None else {"details": details},
    )
    return failure, error.get("retryAfterMs")


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
        case ChildEnded():
            raise LookupError("it started no child execution")
