"""Signals between parents and children, applied: each in one transaction with its own removal. PROTOCOL 20.

Starts and control over the children of one parent wait for one another (`of_children`): so a child is told
of a control that came before its start, and none that came after is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy
from msgspec import UNSET, Raw, UnsetType
from sqlalchemy import ColumnElement, and_, delete, func, or_, select, text, update
from sqlalchemy.sql import Executable

from flow_engine import payload
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import ChildFinished, Failure
from flow_engine.payload import PayloadRef
from services.executor.persistence.contract import TERMINAL, ExecutionRecord, NewExecution, Signal
from services.executor.persistence.control import cancel, locked_record, pause, resume, without_wait
from services.executor.persistence.database import Database
from services.executor.persistence.moves import Draft
from services.executor.persistence.relatives import CONTROL, FINISHED, START
from services.executor.persistence.sweep import skipping_locked
from services.executor.persistence.tables import outbox_signals, workflow_executions
from services.executor.persistence.transaction import Transaction

TAKEN_SECONDS = 10
PAGE = 100
"""Children that one transaction controls."""

_e, _s = workflow_executions.c, outbox_signals.c
_DUE = select(outbox_signals).where(text("NOT outbox_signals.held"))  # as the index says it


def _signal(row: sqlalchemy.Row[Any]) -> Signal:
    return Signal(row.source, row.target, row.kind, row.body, row.namespace)


class Children:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_signals(self, limit: int) -> list[Signal]:
        async def work(transaction: Transaction) -> list[Signal]:
            now = await transaction.now()
            free = or_(_s.taken_until.is_(None), _s.taken_until <= now)
            oldest = _DUE.where(free).order_by(_s.created_at, _s.place).limit(limit)
            rows = await transaction.fetch(skipping_locked(oldest))
            if rows:
                keys = [(row.source, row.target, row.kind) for row in rows]
                these = sqlalchemy.tuple_(_s.source, _s.target, _s.kind).in_(keys)
                until = now + timedelta(seconds=TAKEN_SECONDS)
                await transaction.execute(update(outbox_signals).where(these).values(taken_until=until))
            return [_signal(row) for row in rows]

        # Most of the time there is nothing, and on SQLite nobody shall wait for that.
        return await self._database.write(work) if await self._database.read(_DUE.limit(1)) else []

    async def due_starts(self, parent_id: ExecutionId) -> list[Signal]:
        release = select(outbox_signals).where(
            _s.source == parent_id, _s.kind == CONTROL, _s.body == "release"
        )
        for row in await self._database.read(release):
            await self.control(_signal(row))
        statement = _DUE.where(_s.source == parent_id, _s.kind == START).order_by(_s.place)
        return [_signal(row) for row in await self._database.read(statement)]

    async def forget_signals(self, signals: Collection[Signal]) -> None:
        async def work(transaction: Transaction) -> None:
            keys = [(signal.source, signal.target, signal.kind) for signal in signals]
            these = sqlalchemy.tuple_(_s.source, _s.target, _s.kind).in_(keys)
            await transaction.execute(delete(outbox_signals).where(these))

        await self._database.write(work)

    # Ends -------------------------------------------------------------------------------------

    async def finish(
        self, parent_id: ExecutionId, child_ids: Collection[ExecutionId]
    ) -> ExecutionRecord | None:
        async def work(transaction: Transaction) -> ExecutionRecord | None:
            await transaction.serialize(of_children(parent_id))
            parent = (await transaction.lock([parent_id])).get(parent_id)
            these = and_(_s.kind == FINISHED, _s.target == parent_id, _s.source.in_(child_ids))
            told = [row.source for row in await transaction.fetch(select(_s.source).where(these))]
            if not told:
                return None
            await transaction.execute(delete(outbox_signals).where(these))
            if parent is None or parent.row.status in TERMINAL:
                return None
            await _tell_all(transaction, parent, await _ended(transaction, told))
            await transaction.write([parent])
            return await locked_record(transaction, parent_id)

        return await self._database.write(work)

    # Control ----------------------------------------------------------------------------------

    async def control(self, signal: Signal) -> list[ExecutionRecord]:
        changed: list[ExecutionRecord] = []
        after: str | None = ""
        while after is not None:
            page = _Page(signal, after)
            after = await self._database.write(page.write)
            changed += page.changed
        return changed


class _Page:
    """Children of a parent, in the order of their ids after one of them, to which a control is passed on."""

    def __init__(self, signal: Signal, after: str) -> None:
        self.signal = signal
        self.after = after
        self.changed: list[ExecutionRecord] = []

    async def write(self, transaction: Transaction) -> str | None:
        """The last id, or None when these were all.

        Nothing happens when the signal is gone, or another took its place.
        """
        signal, self.changed = self.signal, []
        await transaction.serialize(of_children(signal.source))
        this = and_(_s.source == signal.source, _s.target == signal.target, _s.kind == CONTROL)
        unchanged = select(_s.body).where(this, _s.body == signal.body).with_for_update()
        if not await transaction.fetch(unchanged):
            return None
        if signal.body == "release":
            transaction.signalled = await _release(transaction, signal.source, signal.target)
            await transaction.execute(delete(outbox_signals).where(this))
            return None
        found = await transaction.fetch(self._children())
        drafts = list((await transaction.lock([row.id for row in found])).values()) if found else []
        for draft in drafts:
            CONTROLS[signal.body](draft)
        await transaction.write(drafts)
        self.changed = [await locked_record(transaction, one.row.id) for one in drafts if one.changed]
        if len(found) == PAGE:
            return str(found[-1].id)
        if signal.target:  # nobody waits for what the step has not even begun
            never = and_(_s.source == signal.source, _s.kind == START, _s.step == signal.target)
            await transaction.execute(delete(outbox_signals).where(never))
        await transaction.execute(delete(outbox_signals).where(this))
        return None

    def _children(self) -> Executable:
        where = [_e.parent_id == self.signal.source, _e.completed_at.is_(None), _e.id > self.after]
        if self.signal.target:
            where.append(_e.parent_step == self.signal.target)
        if self.signal.body == "end":
            where.append(_e.parent_waits != "")
        return select(_e.id).where(*where).order_by(_e.id).limit(PAGE)


REASON = "parent"
CONTROLS: dict[str, Callable[[Draft], None]] = {
    "pause": lambda draft: pause(draft, REASON),
    "resume": resume,
    "cancel": lambda draft: cancel(draft, REASON),
    "end": lambda draft: cancel(draft, REASON),
}


# Starts


def of_children(parent_id: str) -> str:
    """Names what changes the children of one parent, for `Transaction.serialize`."""
    return f"children {parent_id}"


async def fates_of(transaction: Transaction, starts: Sequence[NewExecution]) -> dict[ExecutionId, str]:
    """What is to become of children that are about to start: run, paused, or none.

    None: its start was called off, or there is nobody any more who would wait for it.
    """
    if not starts:
        return {}
    ids, parents = [new.id for new in starts], {new.parent_id for new in starts}
    wanted = select(_s.target).where(_s.kind == START, _s.target.in_(ids))
    due = {row.target for row in await transaction.fetch(wanted)}
    statement = select(_e.id, _e.status, _e.pending_control).where(_e.id.in_(parents))
    found = {row.id: row for row in await transaction.fetch(statement)}
    return {new.id: _fate(new, found.get(new.parent_id)) if new.id in due else "none" for new in starts}


def _fate(new: NewExecution, parent: sqlalchemy.Row[Any] | None) -> str:
    if parent is None:
        return "none"
    if "cancel" in (parent.pending_control or "") or parent.status == "cancelled":
        return "none"
    if parent.status in TERMINAL and new.parent_waits:
        return "none"
    return "paused" if "pause" in (parent.pending_control or "") or parent.status == "paused" else "run"


async def forget_starts(transaction: Transaction, child_ids: Collection[str]) -> None:
    if child_ids:
        these = and_(_s.kind == START, _s.target.in_(child_ids))
        await transaction.execute(delete(outbox_signals).where(these))


# Ends


class _Output(msgspec.Struct, rename="camel"):
    """What a parent wants to know of the `result` of its child."""

    output: Raw | UnsetType = UNSET
    output_ref: PayloadRef | None = None


_output = msgspec.json.Decoder(_Output)
_failure = msgspec.json.Decoder(Failure)


async def _ended(transaction: Transaction, ids: Collection[str]) -> Sequence[sqlalchemy.Row[Any]]:
    columns: list[ColumnElement[Any]] = [
        *(_e.id, _e.status, _e.result, _e.error),
        *(_e.parent_step, _e.parent_index, _e.parent_waits),
    ]
    return await transaction.fetch(select(*columns).where(_e.id.in_(ids)).order_by(_e.completed_at, _e.id))


async def _tell_all(transaction: Transaction, parent: Draft, ended: Sequence[sqlalchemy.Row[Any]]) -> None:
    """Record the ends, let held starts go, and wake the parent where that is wanted."""
    wakes = False
    for child in ended:
        _tell(parent, child)
        wakes |= child.parent_waits == "each" or (
            child.parent_waits == "failed" and child.status != "completed"
        )
    for step in {child.parent_step for child in ended if child.parent_waits in ("failed", "last", "each")}:
        if any(child.parent_step == step and child.parent_index is not None for child in ended):
            transaction.signalled |= await _release(transaction, parent.row.id, step)
            wakes = wakes or not await _goes_on(transaction, parent.row.id, step)
    if parent.row.status == "waiting" and wakes:
        parent.move("wake", "pending")
    elif parent.row.status == "paused":
        parent.set(all_waiting=False)
        for child in ended:
            node_id, *iteration = payload.decode(child.parent_step)
            parent.set(waits=without_wait(parent.row.waits, node_id, tuple(iteration)))


async def _release(transaction: Transaction, parent_id: str, step: str) -> bool:
    """Let starts of a step go, as many as there is room for. True: some were."""
    starts = and_(_s.source == parent_id, _s.step == step, _s.kind == START)
    first = select(_s.at_once).where(starts, _s.held).order_by(_s.place).limit(1)
    if not (found := await transaction.fetch(first)):
        return False
    at_once = found[0].at_once
    live = select(func.count()).where(
        _e.parent_id == parent_id, _e.parent_step == step, _e.completed_at.is_(None)
    )
    due = select(func.count()).where(starts, ~_s.held)
    busy = sum([(await transaction.fetch(count))[0][0] for count in (live, due)])
    if busy >= at_once:
        return False
    next_ones = select(_s.target).where(starts, _s.held).order_by(_s.place).limit(at_once - busy)
    targets = [row.target for row in await transaction.fetch(next_ones)]
    these = and_(starts, _s.target.in_(targets))
    await transaction.execute(update(outbox_signals).where(these).values(held=False))
    return bool(targets)


async def _goes_on(transaction: Transaction, parent_id: str, step: str) -> bool:
    """Whether children of a step are still to end, or to be told of."""
    starts = select(_s.target).where(_s.source == parent_id, _s.step == step, _s.kind == START)
    ends = select(_s.source).where(_s.target == parent_id, _s.step == step, _s.kind == FINISHED)
    live = select(_e.id).where(_e.parent_id == parent_id, _e.parent_step == step, _e.completed_at.is_(None))
    for statement in (starts, ends, live):
        if await transaction.fetch(statement.limit(1)):
            return True
    return False


def _tell(parent: Draft, child: sqlalchemy.Row[Any]) -> None:
    node_id, *iteration = payload.decode(child.parent_step)
    output: Any = UNSET
    ref = None
    if child.status == "completed" and child.result is not None:
        result = _output.decode(child.result)
        ref = result.output_ref
        output = UNSET if result.output is UNSET else payload.decode(bytes(result.output))
    parent.record(
        ChildFinished(
            time=parent.now,
            node_id=node_id,
            iteration=tuple(iteration),
            child_id=child.id,
            index=child.parent_index,
            status=child.status,
            output=output,
            output_ref=ref,
            error=None if child.error is None else _failure.decode(child.error),
        )
    )
