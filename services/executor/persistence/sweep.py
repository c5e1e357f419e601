"""What time brings: lost leases, timers, deadlines, bells left over. PROTOCOL 3, 4, 11, 14, 17 and 19.

Any number of executors may sweep at once: each skips the rows that another has locked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select, tuple_, update

from flow_engine import payload
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import (
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionPaused,
    Failure,
    TimerFired,
)
from flow_engine.interpreter.state import parse_timer_id
from services.executor.persistence.contract import Bell
from services.executor.persistence.database import Database
from services.executor.persistence.moves import Draft
from services.executor.persistence.tables import idempotency_keys, is_status, outbox, workflow_executions
from services.executor.persistence.transaction import BELL_SPAN, Transaction

CHUNK = 500
OVERDUE_GRACE = timedelta(seconds=5)
"""A leased runner keeps the deadline itself; after this the sweeper does."""

HOPELESS_AFTER = 5
"""Leases lost in a row, without a step outcome, after which an execution fails whoever was to blame."""

_e = workflow_executions.c


class Sweep:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def expire_leases(self, grace_seconds: float) -> list[ExecutionId]:
        grace = timedelta(seconds=grace_seconds)
        return await self._expire(lambda now: _e.lease_expires_at <= now - grace)

    async def expire_executor_leases(self, except_owner: str) -> list[ExecutionId]:
        of_others = and_(_e.lease_owner.startswith("executor:"), _e.lease_owner != except_owner)
        return await self._expire(lambda now: of_others)

    async def _expire(self, which: Callable[[datetime], ColumnElement[bool]]) -> list[ExecutionId]:
        expired: list[ExecutionId] = []
        while some := await self._sweep(lambda now: and_(is_status("running"), which(now)), expire, CHUNK):
            expired += some
        return expired

    async def wake_due(self, limit: int) -> list[ExecutionId]:
        # A paused execution stays so; its timer is recorded, and acts when it is resumed.
        return await self._sweep(lambda now: _e.wake_at <= now, wake, limit)

    async def fail_overdue(self, limit: int) -> list[ExecutionId]:
        def overdue(now: datetime) -> ColumnElement[bool]:
            live, unleased = _e.completed_at.is_(None), _e.status != "running"
            return and_(live, _e.deadline_at <= now, or_(unleased, _e.deadline_at <= now - OVERDUE_GRACE))

        return await self._sweep(overdue, fail_overdue, limit)

    async def _sweep(
        self, which: Callable[[datetime], ColumnElement[bool]], move: Callable[[Draft], None], limit: int
    ) -> list[ExecutionId]:
        """Make the move for each execution of which `which(database's time)` is true, in one transaction."""

        async def work(transaction: Transaction) -> list[ExecutionId]:
            now = await transaction.now()
            statement = select(_e.id).where(which(now)).limit(limit)
            ids = [row.id for row in await transaction.fetch(skipping_locked(statement))]
            if not ids:
                return []
            drafts = list((await transaction.lock(ids)).values())
            for draft in drafts:
                move(draft)
            await transaction.write(drafts)
            return [draft.row.id for draft in drafts]

        return await self._database.write(work)

    # Bells ------------------------------------------------------------------------------------

    async def take_bells(self, limit: int) -> list[Bell]:
        async def work(transaction: Transaction) -> list[Bell]:
            now = await transaction.now()
            columns = outbox.c
            free = or_(columns.taken_until.is_(None), columns.taken_until <= now)
            oldest = select(columns.execution_id).where(free).order_by(columns.created_at).limit(limit)
            taken = (
                update(outbox)
                .where(columns.execution_id.in_(skipping_locked(oldest)))
                .values(taken_until=now + BELL_SPAN)
                .returning(columns.created_at, columns.execution_id, columns.priority)
            )
            rows = sorted(map(tuple, await transaction.fetch(taken)))
            return [Bell(ExecutionId(id_), priority, now + BELL_SPAN) for _, id_, priority in rows]

        return await self._database.write(work)

    async def bells_rung(self, bells: Collection[Bell]) -> None:
        place = tuple_(outbox.c.execution_id, outbox.c.taken_until)

        async def work(transaction: Transaction) -> None:
            # A bell that a claim is removing need not be waited for.
            for start in range(0, len(taken), CHUNK):
                rung = select(outbox.c.execution_id).where(place.in_(taken[start : start + CHUNK]))
                those = outbox.c.execution_id.in_(skipping_locked(rung))
                await transaction.execute(delete(outbox).where(those))

        taken = [(bell.execution_id, bell.taken_until) for bell in bells]
        if taken:
            await self._database.write(work)

    async def forget_requests(self) -> int:
        key = (idempotency_keys.c.namespace, idempotency_keys.c.request_id)

        async def work(transaction: Transaction) -> int:
            over = idempotency_keys.c.expires_at <= await transaction.now()
            some = select(*key).where(over).order_by(idempotency_keys.c.expires_at).limit(CHUNK)
            these = tuple_(*key).in_(some.with_for_update(skip_locked=True))
            gone = delete(idempotency_keys).where(these).returning(idempotency_keys.c.request_id)
            return len(await transaction.fetch(gone))

        return await self._database.write(work)


def expire(draft: Draft, *, guilty: bool = False) -> None:
    """The runner is lost: → pending, unless something else was asked for, or it lost too many.

    guilty: it ran with nothing else in its process, and that process died. A quarantined lease that
    merely ran out may have gone down with its worker, by the fault of another.
    """
    row = draft.row
    lost_leases = row.lost_leases + 1
    if row.pending_control == "cancel":
        draft.record(ExecutionCancelled(time=draft.now, reason=row.control_reason))
        draft.move("expire", "cancelled")
    elif guilty or lost_leases >= HOPELESS_AFTER:
        _fail(
            draft, "expire", Failure(code="WORKER_LOST", message=f"its runner was lost {lost_leases} times")
        )
    else:
        draft.promote("executorLost")
        if row.pending_control == "pause":
            draft.record(ExecutionPaused(time=draft.now))
            draft.move("expire", "paused")
        else:
            draft.move("expire", "pending")
    draft.set(lost_leases=lost_leases)


def wake(draft: Draft) -> None:
    fire_timer(draft)
    if draft.row.status == "waiting":
        draft.move("wake", "pending")
    else:
        draft.set(wake_at=None, wake_timer="", all_waiting=False)


def fire_timer(draft: Draft) -> None:
    """The time of a step has come: whoever works on its task comes too late."""
    timer_id = draft.row.wake_timer
    node_id, iteration = parse_timer_id(timer_id)
    draft.record(TimerFired(time=draft.now, timer_id=timer_id, node_id=node_id, iteration=iteration))
    draft.ended_tasks.add((node_id, iteration))


def fail_overdue(draft: Draft) -> None:
    if draft.row.pending_control == "cancel":
        draft.record(ExecutionCancelled(time=draft.now, reason=draft.row.control_reason))
        draft.move("deadline", "cancelled")
    else:
        _fail(draft, "deadline", Failure(code="TIMEOUT", message="the execution's time was over"))


def _fail(draft: Draft, kind: str, error: Failure) -> None:
    draft.record(ExecutionFailed(time=draft.now, error=error))
    draft.set(error=payload.encode(error).decode())
    draft.move(kind, "failed")


def skipping_locked(statement: Select[*tuple[object, ...]]) -> Select[*tuple[object, ...]]:
    return statement.with_for_update(skip_locked=True, key_share=True)
