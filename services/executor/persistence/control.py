"""What callers ask of an execution: pause, resume, cancel, answer. PROTOCOL 7, 11 and 14."""

from __future__ import annotations

import json
from collections.abc import Callable

from sqlalchemy import select

from flow_engine import payload as json_text
from flow_engine.errors import AlreadyAnswered, ExecutionNotFound, NotWaiting
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
from services.executor.persistence.contract import TERMINAL, ExecutionRecord, Move
from services.executor.persistence.database import Database
from services.executor.persistence.moves import Draft
from services.executor.persistence.reading import record
from services.executor.persistence.sweep import fire_timer
from services.executor.persistence.tables import signals, workflow_executions
from services.executor.persistence.transaction import Transaction


class Control:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        return await self._move(execution_id, namespace, lambda draft: pause(draft, reason))

    async def resume(self, execution_id: ExecutionId, namespace: str) -> Move:
        return await self._move(execution_id, namespace, resume)

    async def cancel(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        return await self._move(execution_id, namespace, lambda draft: cancel(draft, reason))

    async def _move(self, execution_id: ExecutionId, namespace: str, decide: Callable[[Draft], None]) -> Move:
        async def work(transaction: Transaction) -> Move:
            draft = await _found(transaction, execution_id, namespace)
            decide(draft)
            await transaction.write([draft])
            return Move(await locked_record(transaction, execution_id), draft.changed)

        return await self._database.write(work)

    async def signal(
        self,
        execution_id: ExecutionId,
        node_id: str,
        iteration: Iteration,
        attempt: int,
        payload: Payload,
        expected_sequence: int,
        namespace: str,
    ) -> ExecutionRecord | None:
        """Answers one instance of a step once; a repetition is known by the hash of its answer."""
        instance = (execution_id, node_id, json.dumps(list(iteration)), attempt)

        async def work(transaction: Transaction) -> ExecutionRecord | None:
            draft = await _found(transaction, execution_id, namespace)
            answer = await _answer(transaction, instance)
            if answer is not None and answer != payload.ref.hash:
                raise AlreadyAnswered(node_id)
            if answer is None:
                if draft.row.last_sequence != expected_sequence:
                    return None
                answered(draft, node_id, iteration, payload)
                await transaction.write([draft])
                row = (*instance, namespace, payload.ref.hash, draft.row.last_sequence)
                await transaction.insert(signals, [column.name for column in signals.columns], [row])
            return await locked_record(transaction, execution_id)

        return await self._database.write(work)


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


async def _answer(transaction: Transaction, instance: tuple[str, str, str, int]) -> str | None:
    """The hash of the answer that this instance of a step has already."""
    execution_id, node_id, iteration, attempt = instance
    columns = signals.c
    statement = select(columns.payload_hash).where(
        columns.execution_id == execution_id,
        columns.node_id == node_id,
        columns.iteration == iteration,
        columns.attempt == attempt,
    )
    rows = await transaction.fetch(statement)
    return rows[0].payload_hash if rows else None


async def locked_record(transaction: Transaction, execution_id: ExecutionId) -> ExecutionRecord:
    (row,) = await transaction.fetch(
        select(workflow_executions).where(workflow_executions.c.id == execution_id)
    )
    return record(row)
