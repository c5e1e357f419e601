"""What callers ask of an execution: pause, resume, cancel, answer. PROTOCOL 7, 11 and 14."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from flow_engine import payload as json_text
from flow_engine.errors import ExecutionNotFound, NotWaiting
from flow_engine.ids import ExecutionId, Iteration
from flow_engine.interpreter.events import (
    ExecutionCancelled,
    ExecutionCancelRequested,
    ExecutionPaused,
    ExecutionPauseRequested,
    ExecutionResumed,
    SignalReceived,
    placed,
)
from flow_engine.payload import Payload
from flow_engine.workflow.queue_keys import shown
from services.executor.persistence.contract import TERMINAL, ExecutionRecord, Move, PurgeFilter
from services.executor.persistence.database import Database
from services.executor.persistence.moves import Draft
from services.executor.persistence.reading import record
from services.executor.persistence.sweep import fire_timer
from services.executor.persistence.tables import is_held, is_ready, workflow_executions
from services.executor.persistence.transaction import Transaction

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
"""A place in the queue before all others."""


class Control:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        return await self._move(execution_id, namespace, lambda draft: pause(draft, reason))

    async def resume(self, execution_id: ExecutionId, namespace: str) -> Move:
        return await self._move(execution_id, namespace, resume)

    async def cancel(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        return await self._move(execution_id, namespace, lambda draft: cancel(draft, reason))

    async def requeue(self, execution_id: ExecutionId, namespace: str, *, first: bool) -> Move:
        return await self._move(execution_id, namespace, lambda draft: requeue(draft, first=first))

    async def purge(self, where: PurgeFilter, limit: int, reason: str) -> list[ExecutionId]:
        """Cancel at most so many; those that somebody is at are left alone."""

        async def work(transaction: Transaction) -> list[ExecutionId]:
            columns = workflow_executions.c
            found = select(columns.id, columns.concurrency_key, columns.rate_key).where(*conditions(where))
            found = found.order_by(columns.created_at, columns.id).limit(limit)
            rows = await transaction.fetch(found.with_for_update(skip_locked=True, key_share=True))
            ids = [row.id for row in rows if is_meant(where, row)]
            drafts = (await transaction.lock(ids)).values() if ids else ()
            for draft in drafts:
                cancel(draft, reason)
            await transaction.write(drafts)
            return [draft.row.id for draft in drafts]

        return await self._database.write(work)

    async def would_purge(self, where: PurgeFilter) -> list[ExecutionId]:
        """All that `purge` would cancel, oldest first."""
        columns = workflow_executions.c
        found = select(columns.id, columns.concurrency_key, columns.rate_key).where(*conditions(where))
        rows = await self._database.read(found.order_by(columns.created_at, columns.id))
        return [ExecutionId(row.id) for row in rows if is_meant(where, row)]

    async def _move(self, execution_id: ExecutionId, namespace: str, decide: Callable[[Draft], None]) -> Move:
        async def work(transaction: Transaction) -> Move:
            draft = await _found(transaction, execution_id, namespace)
            decide(draft)
            await transaction.write([draft])
            return Move(await locked_record(transaction, execution_id), draft.changed)

        return await self._database.write(work)


def conditions(where: PurgeFilter) -> list[ColumnElement[bool]]:
    columns = workflow_executions.c
    found = [or_(is_ready(), is_held()), columns.namespace == where.namespace]
    if where.workflow_id:
        found.append(columns.workflow_id == where.workflow_id)
    if where.priority is not None:
        found.append(columns.priority == where.priority)
    if where.created_before is not None:
        found.append(columns.created_at < where.created_before)
    if where.key:
        ends = "/" + where.key
        of_key = (
            column.endswith(ends, autoescape=True) for column in (columns.concurrency_key, columns.rate_key)
        )
        found.append(or_(*of_key))
    return found


def is_meant(where: PurgeFilter, row: Any) -> bool:
    """A key may itself hold a slash, so that its end alone does not tell."""
    return not where.key or where.key in (shown(row.concurrency_key), shown(row.rate_key))


def requeue(draft: Draft, *, first: bool) -> None:
    """The runner is locked out; what it did not report is done again. A pending one only moves up."""
    row = draft.row
    if row.status == "running":
        place, control, reason = row.queue_order, row.pending_control, row.control_reason
        if control == "cancel":
            draft.record(ExecutionCancelled(time=draft.now, reason=reason))
            draft.move("requeue", "cancelled")
            return
        draft.promote("requeued")
        if control == "pause":
            draft.record(ExecutionPaused(time=draft.now))
            draft.move("requeue", "paused")
            return
        draft.move("requeue", "pending")
        draft.set(queue_order=place)
    if row.status == "pending" and first:
        draft.set(queue_order=FIRST)


def pause(draft: Draft, reason: str) -> None:
    row = draft.row
    requested = ExecutionPauseRequested(time=draft.now, reason=reason)
    if row.status in ("pending", "waiting"):
        draft.record(requested, ExecutionPaused(time=draft.now))
        draft.move("pause", "paused")
        draft.tell_children("pause")
    elif row.status == "running" and row.pending_control is None:
        draft.record(requested)
        draft.set(pending_control="pause", control_reason=reason)
        draft.tell_children("pause")


def resume(draft: Draft) -> None:
    row = draft.row
    resumed = ExecutionResumed(time=draft.now)
    if row.status == "running" and row.pending_control == "pause":
        draft.record(resumed)
        draft.set(pending_control=None, control_reason="")
        draft.tell_children("resume")
    elif row.status == "paused":
        draft.tell_children("resume")
        due = row.wake_at is not None and row.wake_at <= draft.now
        draft.record(resumed)
        if due:
            fire_timer(draft)
        draft.move("resume", "waiting" if row.all_waiting and not due else "pending")


def cancel(draft: Draft, reason: str) -> None:
    row = draft.row
    requested = ExecutionCancelRequested(time=draft.now, reason=reason)
    if row.status == "running" and row.pending_control != "cancel":
        draft.record(requested)
        draft.set(pending_control="cancel", control_reason=reason)
        draft.tell_children("cancel")
    elif row.status in ("pending", "waiting", "paused"):
        draft.record(requested, ExecutionCancelled(time=draft.now, reason=reason))
        draft.move("cancel", "cancelled")


def answered(draft: Draft, node_id: str, iteration: Iteration, answer: Payload) -> None:
    """A waiting execution wakes; a paused one acts when it is resumed, a leased one when its runner hears."""
    if draft.row.status in TERMINAL:
        raise NotWaiting(node_id)
    draft.record(
        SignalReceived(time=draft.now, node_id=node_id, iteration=iteration, **placed(answer, "payload"))
    )
    if not answer.inline:
        draft.payloads.append((answer.ref.hash, answer.text))
    if draft.row.status == "waiting":
        draft.move("wake", "pending")
    elif draft.row.status == "paused":
        draft.set(all_waiting=False, waits=without_wait(draft.row.waits, node_id, iteration))


def without_wait(waits: str | None, node_id: str, iteration: Iteration) -> str | None:
    if waits is None:
        return None
    left = [
        wait
        for wait in json_text.decode(waits)
        if (wait.get("nodeId"), tuple(wait.get("iteration") or ())) != (node_id, tuple(iteration))
    ]
    return json_text.encode(left).decode()


async def _found(transaction: Transaction, execution_id: ExecutionId, namespace: str) -> Draft:
    draft = (await transaction.lock([execution_id])).get(execution_id)
    if draft is None or draft.row.namespace != namespace:
        raise ExecutionNotFound(execution_id)
    return draft


async def locked_record(transaction: Transaction, execution_id: ExecutionId) -> ExecutionRecord:
    (row,) = await transaction.fetch(
        select(workflow_executions).where(workflow_executions.c.id == execution_id)
    )
    return record(row)
