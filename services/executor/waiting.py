"""Why an execution that has not ended does not run right now: one reason, the one to act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flow_engine.payload import JsonValue
from services.executor.persistence.contract import ExecutionRecord


@dataclass(frozen=True, slots=True)
class WaitingReason:
    kind: str  # queued, noWorker, person, timer, callback, retry, paused
    explanation: str
    until: datetime | None = None
    node_ids: tuple[str, ...] = ()
    queue_position: int = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """What is known of the queue when the question is asked."""

    position: int  # of this execution, from 1
    workers: int  # alive
    oldest_seconds: float = 0.0


def waiting_reason(record: ExecutionRecord, queue: Queue | None) -> WaitingReason | None:
    """None while it runs and when it has ended. queue: needed when pending."""
    match record.status:
        case "pending":
            return pending_reason(queue or Queue(0, 1))
        case "paused":
            return WaitingReason("paused", "It is paused until somebody resumes it.")
        case "waiting":
            return reason_of_waits(record.waits or [], record.wake_at)
    return None


def pending_reason(queue: Queue) -> WaitingReason:
    if not queue.workers:
        return WaitingReason(
            "noWorker",
            "No worker is alive; start one with `flow worker`.",
            queue_position=queue.position,
        )
    age = f", the oldest for {queue.oldest_seconds:.0f} s" if queue.oldest_seconds >= 1 else ""
    return WaitingReason(
        "queued",
        f"It is number {queue.position} in the queue{age}." if queue.position else "A worker is taking it.",
        queue_position=queue.position,
    )


URGENCY = ("person", "callback", "retry", "timer")
"""Of several waits the first kind here is told: it is the one that somebody can end."""

EXPLANATIONS = {
    "person": "{who} waits for a person's answer.",
    "callback": "{who} waits for an outside system.",
    "retry": "{who} failed and is tried again later.",
    "timer": "{who} waits for its time.",
}


def reason_of_waits(waits: Sequence[JsonValue], wake_at: datetime | None) -> WaitingReason:
    """waits: [{nodeId, iteration?, kind, until?}] of the open steps."""
    kinds = {str(wait.get("kind", "timer")) for wait in waits}
    kind = next((kind for kind in URGENCY if kind in kinds), "timer")
    chosen = [wait for wait in waits if str(wait.get("kind", "timer")) == kind]
    nodes = tuple(dict.fromkeys(str(wait["nodeId"]) for wait in chosen))
    times = [time for wait in chosen if (time := instant(wait.get("until"))) is not None]
    who = f"Step {nodes[0]!r}" if len(nodes) == 1 else f"{len(nodes)} steps" if nodes else "It"
    explanation = EXPLANATIONS[kind].format(who=who)
    if len(nodes) > 1:
        explanation = explanation.replace("waits", "wait").replace(" is ", " are ").replace("its", "their")
    return WaitingReason(kind, explanation, min(times) if times else timer(kind, wake_at), nodes)


def timer(kind: str, wake_at: datetime | None) -> datetime | None:
    return wake_at if kind in ("timer", "retry") else None


def instant(value: JsonValue) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        return None
    return datetime.fromisoformat(value).astimezone(UTC)
