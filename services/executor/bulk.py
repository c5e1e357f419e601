"""Pause, resume, cancel or retry what a filter finds: the same calls as for one, a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flow_engine.errors import FlowEngineError, IllegalTransition, Unavailable
from services.executor.manager import ExecutionManager
from services.executor.persistence.contract import TERMINAL, ExecutionFilter, ExecutionRecord, Move

GOALS = {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "retry": "retried"}
OPEN_TO: Mapping[str, Sequence[str]] = {
    "pause": ("pending", "running", "waiting"),
    "resume": ("paused", "running"),  # a pause of a running one may be under way
    "cancel": ("pending", "running", "waiting", "paused"),
    "retry": ("failed", "cancelled"),
}
"""Statuses that an action is meant for, where the filter names none."""


@dataclass(frozen=True, slots=True)
class Controlled:
    """What an action did to one execution, or would do."""

    execution_id: str
    status: str  # afterwards; in a dry run as it is
    effect: str  # done, accepted, refused
    refusal: FlowEngineError | None = None
    retry_id: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    controlled: Sequence[Controlled]
    last: ExecutionRecord | None  # where the next page begins; None: there is none


async def control(
    manager: ExecutionManager,
    action: str,
    where: ExecutionFilter,
    reason: str,
    limit: int,
    before: tuple[datetime, str] | None,
    *,
    dry_run: bool,
) -> Page:
    """At most `limit` executions, newest first. What one refuses is told beside the others.

    Raises Unavailable; then the same page may be asked for again.
    """
    if not where.statuses:
        where = replace(where, statuses=OPEN_TO[action])
    found = await manager.list(where, limit + 1, before)
    page = found[:limit]
    carry_out = CARRY_OUT[action]
    controlled = [
        forecast(action, record) if dry_run else await _attempt(carry_out, manager, record, reason)
        for record in page
    ]
    return Page(controlled, page[-1] if len(found) > limit else None)


def forecast(action: str, record: ExecutionRecord) -> Controlled:
    """What the action would do to an execution that stays as it is until then."""
    status = record.status
    if action == "retry":
        legal = status in ("failed", "cancelled")
    elif action == "cancel":
        legal = status not in ("completed", "failed")
    else:
        legal = status not in TERMINAL and record.pending_control != "cancel"
    if not legal:
        cancelling = record.pending_control == "cancel"
        return _refused(record, IllegalTransition(status, GOALS[action], cancelling=cancelling))
    asked = status == "running" and action in ("pause", "cancel") and record.pending_control != action
    return Controlled(record.id, status, "accepted" if asked or action == "retry" else "done")


CarryOut = Callable[[ExecutionManager, ExecutionRecord, str], Awaitable[Controlled]]


async def _attempt(
    carry_out: CarryOut, manager: ExecutionManager, record: ExecutionRecord, reason: str
) -> Controlled:
    try:
        return await carry_out(manager, record, reason)
    except Unavailable:
        raise
    except FlowEngineError as error:
        return _refused(record, error)


async def _pause(manager: ExecutionManager, record: ExecutionRecord, reason: str) -> Controlled:
    return _moved(await manager.pause(record.id, reason, record.namespace), "paused")


async def _resume(manager: ExecutionManager, record: ExecutionRecord, reason: str) -> Controlled:
    move = await manager.resume(record.id, record.namespace)
    return Controlled(move.record.id, move.record.status, "done")


async def _cancel(manager: ExecutionManager, record: ExecutionRecord, reason: str) -> Controlled:
    return _moved(await manager.cancel(record.id, reason, record.namespace), "cancelled")


async def _retry(manager: ExecutionManager, record: ExecutionRecord, reason: str) -> Controlled:
    new = await manager.retry(record.id, "", record.namespace)
    return Controlled(record.id, record.status, "accepted", retry_id=new.id)


CARRY_OUT: Mapping[str, CarryOut] = {"pause": _pause, "resume": _resume, "cancel": _cancel, "retry": _retry}


def is_done(move: Move, goal: str) -> bool:
    """Whether there is nothing left to accept: the goal is reached, or was asked for before."""
    return not move.changed or move.record.status == goal


def _moved(move: Move, goal: str) -> Controlled:
    effect = "done" if is_done(move, goal) else "accepted"
    return Controlled(move.record.id, move.record.status, effect)


def _refused(record: ExecutionRecord, error: FlowEngineError) -> Controlled:
    return Controlled(record.id, record.status, "refused", refusal=error)
