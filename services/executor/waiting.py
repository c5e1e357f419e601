"""Why an execution that has not ended does not run right now: one reason, the one to act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flow_engine.payload import JsonValue
from flow_engine.workflow.queue_keys import shown
from services.executor.persistence.admission import Standing
from services.executor.persistence.contract import MOST_AHEAD, ExecutionRecord


@dataclass(frozen=True, slots=True)
class WaitingReason:
    kind: str  # queued, noWorker, concurrency, rateLimit, person, timer, callback, retry, paused
    explanation: str
    until: datetime | None = None
    node_ids: tuple[str, ...] = ()
    queue_position: int = 0
    queue_oldest_seconds: float | None = None
    key: str = ""
    limit: int = 0
    period_ms: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """What is known of the queue when the question is asked."""

    position: (
        int | None
    )  # of this execution, from 1, to MOST_AHEAD + 1; 0: it has just left; None: nobody counted
    workers: int  # alive, and taking work
    oldest_seconds: float | None = None
    missing: tuple[str, ...] = ()  # what each of them lacks to run it, told of the one that lacks least
    standing: Standing | None = None  # of the key that it waits for; None: nobody counted


def waiting_reason(record: ExecutionRecord, queue: Queue | None) -> WaitingReason | None:
    """None while it runs and when it has ended. queue: needed when pending."""
    match record.status:
        case "pending":
            return pending_reason(record, queue or Queue(None, 1))
        case "paused":
            return WaitingReason("paused", "It is paused until somebody resumes it.")
        case "waiting":
            return reason_of_waits(record.waits or [], record.wake_at)
    return None


def pending_reason(record: ExecutionRecord, queue: Queue) -> WaitingReason:
    """Without a worker nothing else matters; then what its keys allow; then its place."""
    kind, explanation = "queued", queued_text(queue)
    if not queue.workers:
        kind, explanation = "noWorker", "No worker is alive; start one with `flow worker`."
    elif queue.missing:
        kind = "noWorker"
        explanation = f"No worker that is alive can run {', '.join(queue.missing)}; start one that can."
    elif record.rate_wanted:
        return rate_reason(record, queue.standing)
    elif record.slot_wanted:
        return slot_reason(record, queue.standing)
    if kind == "noWorker" and queue.position:
        explanation = f"{explanation} {queued_text(queue)}"
    return WaitingReason(
        kind,
        explanation,
        queue_position=queue.position or 0,
        queue_oldest_seconds=queue.oldest_seconds,
        missing=queue.missing,
    )


def slot_reason(record: ExecutionRecord, standing: Standing | None) -> WaitingReason:
    key, limit = shown(record.slot_wanted), record.slot_limit
    slots = "the only slot" if limit == 1 else f"one of {limit:,} slots"
    explanation = f"It waits for {slots} of concurrency key {key!r}."
    if standing is not None:
        explanation = (
            f"{explanation[:-1]}: {standing.taken:,} taken, {place_text(standing.ahead)} in its line."
        )
    position = standing.ahead if standing else 0
    return WaitingReason("concurrency", explanation, queue_position=position, key=key, limit=limit)


def rate_reason(record: ExecutionRecord, standing: Standing | None) -> WaitingReason:
    key, limit, period_ms = shown(record.rate_wanted), record.rate_limit, record.rate_period_ms
    rate = f"{limit:,} in {period_ms / 1000:,g} s"
    explanation = f"It waits for the rate of key {key!r}: at most {rate} begin."
    if standing is not None:
        explanation = f"{explanation[:-1]}; {place_text(standing.ahead)} in its line."
    return WaitingReason(
        "rateLimit",
        explanation,
        until=standing.due_at if standing else None,
        queue_position=standing.ahead if standing else 0,
        key=key,
        limit=limit,
        period_ms=period_ms,
    )


def queued_text(queue: Queue) -> str:
    if queue.position is None:
        return "It is in the queue."
    if not queue.position:
        return "A worker is taking it."
    oldest = queue.oldest_seconds or 0
    age = f", the oldest for {oldest:.0f} s" if oldest >= 1 else ""
    return f"It is {place_text(queue.position)} in the queue{age}."


def place_text(position: int) -> str:
    return f"number {position:,}{' or later' if position > MOST_AHEAD else ''}"


URGENCY = ("person", "callback", "task", "child", "retry", "timer")
"""Of several waits the first kind here is told: it is the one that somebody can end."""

EXPLANATIONS = {
    "person": "{who} waits for a person's answer.",
    "callback": "{who} waits for an outside system.",
    "child": "{who} waits for a child execution.",
    "task": "{who} waits for a program to do its task.",
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
    if kind == "person" and len(nodes) == 1 and (assignee := chosen[0].get("assignee")):
        explanation = f"{who} waits for an answer from {assignee}."
    if kind == "task" and len(queues := {str(wait.get("queue", "")) for wait in chosen}) == 1:
        explanation = explanation.replace("a program", f"a program of queue {queues.pop()!r}")
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
