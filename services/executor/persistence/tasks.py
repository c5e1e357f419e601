"""Tasks of `task.external` steps: offered, leased to one taker at a time, settled once.

A row appears and goes out of use in the very transaction that records why, so it needs no second opinion:
an `open` or `leased` task is one whose step waits for it. Rows of ended tasks stay a while, to tell those
who come late what happened.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, literal_column, or_, select, tuple_, update

from flow_engine.errors import (
    ExecutionNotFound,
    TaskEnded,
    TaskLeaseLost,
    TaskNotFound,
    TaskSettled,
)
from flow_engine.ids import ExecutionId, Iteration
from flow_engine.nodes.signals import task_error
from flow_engine.payload import Payload
from services.executor.persistence.control import answered
from services.executor.persistence.database import Database
from services.executor.persistence.moves import Draft
from services.executor.persistence.tables import tasks, workflow_executions
from services.executor.persistence.transaction import Transaction

HOPELESS_AFTER = 5
"""Leases of one attempt lost, after which the attempt fails with TASK_LOST."""
REMEMBERED = timedelta(hours=1)
"""How long the end of a task can be told."""
CHUNK = 500

QueueName = tuple[str, str]
"""Namespace and queue."""

_t = tasks.c
_e = workflow_executions.c


@dataclass(frozen=True, slots=True)
class LeasedTask:
    """A task, and the token that proves whose it is."""

    token: str
    queue: str
    execution_id: ExecutionId
    workflow_id: str
    node_id: str
    iteration: Iteration
    attempt: int
    offer: int
    input: bytes | None  # JSON text; None: fetched by `input_hash`
    input_hash: str
    step_key: str
    created_at: datetime
    lease_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """lease_expires_at: None when the result is not wanted any more; `reason` may tell why."""

    lease_expires_at: datetime | None
    lease_seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Taker:
    """Who takes tasks of which queue."""

    namespace: str
    queue: str
    worker_id: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What an answer did. changed: False when it was known already."""

    execution_id: ExecutionId
    status: str
    taker: Taker
    changed: bool


class TaskStore:
    """Each change is one transaction with one conditional write. Raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, taker: Taker, lease: timedelta, *, most_open: int = 0) -> LeasedTask | None:
        """Lease the next task. Nothing of executions that are paused or about to be cancelled.

        most_open: nothing either while the taker has so many leased; 0: no matter how many.
        """

        async def work(transaction: Transaction) -> LeasedTask | None:
            now = await transaction.now()
            if most_open and await _held_by(transaction, taker) >= most_open:
                return None
            rows = await transaction.fetch(_next(taker))
            if not rows:
                return None
            (task,) = rows
            secret = secrets.token_urlsafe(16)
            leased = update(tasks).where(_t.id == task.id, _t.state == "open")
            await transaction.execute(
                leased.values(
                    state="leased",
                    token_hash=_hash(secret),
                    worker_id=taker.worker_id,
                    lease_seconds=lease.total_seconds(),
                    lease_expires_at=now + lease,
                    offers=task.offers + 1,
                    changed_at=now,
                )
            )
            return _leased(task, secret, now + lease)

        # A lost commit may have leased a task to nobody: its lease lapses.
        return await self._database.write(work, repeatable=False)

    async def heartbeat(self, token: str, namespace: str) -> Heartbeat:
        """Raises TaskNotFound, TaskLeaseLost, TaskSettled."""
        id_, secret = _parts(token)

        async def work(transaction: Transaction) -> Heartbeat:
            now = await transaction.now()
            task = await _locked(transaction, id_, namespace)
            if task.state == "void":
                return Heartbeat(None, reason=await _why(transaction, task.execution_id))
            _must_hold(task, secret)
            (execution,) = await transaction.fetch(
                select(_e.pending_control, _e.control_reason).where(_e.id == task.execution_id)
            )
            if execution.pending_control == "cancel":
                return Heartbeat(None, reason=execution.control_reason or "the execution is being cancelled")
            until = now + timedelta(seconds=task.lease_seconds)
            await transaction.execute(update(tasks).where(_t.id == id_).values(lease_expires_at=until))
            return Heartbeat(until, task.lease_seconds)

        return await self._database.write(work)

    async def settle(self, token: str, answer: Payload, namespace: str) -> Settled:
        """The answer of whoever holds the lease; the same again changes nothing.

        Raises TaskNotFound, TaskLeaseLost, TaskSettled, TaskEnded.
        """
        id_, secret = _parts(token)

        async def work(transaction: Transaction) -> Settled:
            execution_id = (await _found(transaction, id_, namespace)).execution_id
            draft = (await transaction.lock([execution_id])).get(execution_id)
            if draft is None:
                raise ExecutionNotFound(execution_id)
            task = await _locked(transaction, id_, namespace)
            if task.state == "settled" and _is_holder(task, secret):
                if task.answer_hash != answer.ref.hash:
                    raise TaskSettled(task.node_id)
                return Settled(execution_id, draft.row.status, _taker(task), changed=False)
            if task.state == "void":
                raise TaskEnded(task.node_id, await _why(transaction, execution_id))
            _must_hold(task, secret)
            await _answer(transaction, draft, task, answer)
            return Settled(execution_id, draft.row.status, _taker(task), changed=True)

        return await self._database.write(work)

    async def lapse(self) -> list[Settled]:
        """Offer tasks anew whose lease is over; those that were lost too often fail: the answers to them."""

        async def offer_anew(transaction: Transaction) -> list[tuple[str, str]]:
            now = await transaction.now()
            over = (_is("leased"), _t.lease_expires_at <= now)
            statement = select(_t.id, _t.execution_id, _t.namespace, _t.queue, _t.offers).where(*over)
            rows = await transaction.fetch(statement.limit(CHUNK).with_for_update(skip_locked=True))
            again = [row for row in rows if row.offers < HOPELESS_AFTER]
            if again:
                opened = update(tasks).where(_t.id.in_([row.id for row in again]), *over)
                await transaction.execute(
                    opened.values(
                        state="open", token_hash="", worker_id="", lease_expires_at=None, changed_at=now
                    )
                )
                transaction.offered.update((row.namespace, row.queue) for row in again)
            return [(row.id, row.execution_id) for row in rows if row.offers >= HOPELESS_AFTER]

        lost = await self._database.write(offer_anew)
        return [done for one in lost if (done := await self._give_up(*one)) is not None]

    async def _give_up(self, id_: str, execution_id: str) -> Settled | None:
        async def work(transaction: Transaction) -> Settled | None:
            draft = (await transaction.lock([execution_id])).get(execution_id)
            now = await transaction.now()
            still = select(tasks).where(_t.id == id_, _is("leased"), _t.lease_expires_at <= now)
            rows = await transaction.fetch(still.with_for_update())
            if draft is None or not rows:
                return None
            message = f"its lease was lost {rows[0].offers} times"
            await _answer(
                transaction, draft, rows[0], Payload.of(task_error("TASK_LOST", message, retryable=True))
            )
            return Settled(draft.row.id, draft.row.status, _taker(rows[0]), changed=True)

        return await self._database.write(work)

    async def forget(self) -> None:
        """Drop tasks that ended long ago."""

        async def work(transaction: Transaction) -> None:
            now = await transaction.now()
            old = and_(or_(_is("settled"), _is("void")), _t.changed_at <= now - REMEMBERED)
            ids = [row.id for row in await transaction.fetch(select(_t.id).where(old).limit(CHUNK))]
            if ids:
                await transaction.execute(delete(tasks).where(_t.id.in_(ids)))

        await self._database.write(work)

    async def offered(self, queues: Collection[QueueName]) -> dict[QueueName, int]:
        """How many tasks each of these queues has to offer."""
        if not queues:
            return {}
        statement = (
            select(_t.namespace, _t.queue, func.count().label("tasks"))
            .where(_is("open"), tuple_(_t.namespace, _t.queue).in_(list(queues)))
            .group_by(_t.namespace, _t.queue)
        )
        return {(row.namespace, row.queue): row.tasks for row in await self._database.read(statement)}


# Rows --------------------------------------------------------------------------------------------


def _next(taker: Taker) -> Any:
    running = and_(_e.status != "paused", _e.pending_control.is_(None))
    return (
        select(tasks, _e.workflow_id)
        .join(workflow_executions, _e.id == _t.execution_id)
        .where(_is("open"), _t.namespace == taker.namespace, _t.queue == taker.queue, running)
        .order_by(_t.priority, _t.created_at, _t.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=tasks)
    )


async def _held_by(transaction: Transaction, taker: Taker) -> int:
    theirs = (
        _t.namespace == taker.namespace,
        _t.queue == taker.queue,
        _t.worker_id == taker.worker_id,
    )
    (row,) = await transaction.fetch(select(func.count().label("tasks")).where(_is("leased"), *theirs))
    return int(row.tasks)


async def _found(transaction: Transaction, id_: str, namespace: str, *, lock: bool = False) -> Row[Any]:
    statement = select(tasks).where(_t.id == id_, _t.namespace == namespace)
    rows = await transaction.fetch(statement.with_for_update() if lock else statement)
    if not rows:
        raise TaskNotFound
    return rows[0]


async def _locked(transaction: Transaction, id_: str, namespace: str) -> Row[Any]:
    return await _found(transaction, id_, namespace, lock=True)


def _must_hold(task: Row[Any], secret: str) -> None:
    """Raises TaskLeaseLost, TaskSettled. A lease that is over and nobody else's still counts."""
    if not _is_holder(task, secret):
        raise TaskLeaseLost(task.node_id)
    if task.state == "settled":
        raise TaskSettled(task.node_id)


def _is_holder(task: Row[Any], secret: str) -> bool:
    return secrets.compare_digest(str(task.token_hash), _hash(secret))


async def _answer(transaction: Transaction, draft: Draft, task: Row[Any], answer: Payload) -> None:
    """The history learns of it, and the task is over."""
    answered(draft, task.node_id, tuple(json.loads(task.iteration)), answer)
    settled = update(tasks).where(_t.id == task.id, _is("leased"))
    await transaction.execute(
        settled.values(
            state="settled", lease_expires_at=None, answer_hash=answer.ref.hash, changed_at=draft.now
        )
    )
    await transaction.write([draft])


async def _why(transaction: Transaction, execution_id: str) -> str:
    rows = await transaction.fetch(select(_e.status).where(_e.id == execution_id))
    status = rows[0].status if rows else "gone"
    live = status not in ("completed", "failed", "cancelled", "gone")
    return "the step waits no more" if live else f"the execution is {status}"


def _taker(row: Row[Any]) -> Taker:
    return Taker(row.namespace, row.queue, row.worker_id)


def _is(state: str) -> ColumnElement[bool]:
    """Written out: a partial index is of no use where the state is a parameter."""
    return _t.state == literal_column(f"'{state}'")


def _leased(row: Row[Any], secret: str, until: datetime) -> LeasedTask:
    return LeasedTask(
        token=f"{row.id}.{secret}",
        queue=row.queue,
        execution_id=ExecutionId(row.execution_id),
        workflow_id=row.workflow_id,
        node_id=row.node_id,
        iteration=tuple(json.loads(row.iteration)),
        attempt=row.attempt,
        offer=row.offers + 1,
        input=None if row.input is None else row.input.encode(),
        input_hash=row.input_hash,
        step_key=row.step_key,
        created_at=row.created_at,
        lease_expires_at=until,
    )


def _parts(token: str) -> tuple[str, str]:
    """Raises TaskNotFound for what cannot be a token of ours."""
    id_, _, secret = token.partition(".")
    if not id_ or not secret or len(token) > 200 or not token.isascii() or "\0" in token:
        raise TaskNotFound
    return id_, secret


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
