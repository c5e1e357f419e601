# ruff: noqa: S608 - the parts of statements are ours, values are always parameters
"""Limits by key: who holds a slot, who counts against a rate, who waits in which line for them.

A slot is a column of the row that holds it, and goes when the row leaves the status that it was for; a
rate is counted from the rows that began. Nothing is counted up or down, so nothing can be lost: whatever
dies, the next look tells the truth.

Those who wait stand in lines, one for each pair of keys, outside of the index that claims read: a line of
any length costs a claim nothing. Whoever has a key's lock may take slots of it. Key locks come before row
locks, and rows of a line are taken only where nobody else has them, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import and_, func, or_, select, text

from flow_engine.errors import RateExceeded, SlotsTaken
from flow_engine.ids import ExecutionId
from flow_engine.workflow.queue_keys import shown
from services.executor.persistence.contract import NewExecution, RatePolicy, SlotPolicy
from services.executor.persistence.control import cancel
from services.executor.persistence.database import Database
from services.executor.persistence.depth import SqlDepth
from services.executor.persistence.row import Line
from services.executor.persistence.tables import HELD, holds_slot, is_held, wants_rate, workflow_executions
from services.executor.persistence.transaction import Transaction

BATCH = 200
"""Executions that one transaction admits."""

_e = workflow_executions.c


@dataclass(frozen=True, slots=True)
class Admittance:
    """What a start is told: whether it is within its limits, and if not, what keeps it."""

    admitted: bool = True
    reason: str = ""  # concurrency, rateLimit
    replaced: tuple[ExecutionId, ...] = ()  # told to cancel


@dataclass(frozen=True, slots=True)
class Admitted:
    execution_ids: Sequence[ExecutionId] = ()
    next_in_seconds: float | None = None  # when the rate allows the next; None: not before something happens


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands. taken: slots, or starts within the last period."""

    taken: int
    ahead: int  # its place in the line, from 1; MOST_AHEAD + 1: that or later
    due_at: datetime | None = None  # when the rate allows the next


class SqlAdmission:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._depth = SqlDepth(database)

    async def admit(self, line: Line) -> Admitted:
        """Let those at the head of a line in, as far as the limits of its keys allow."""
        assert line.rate is not None

        async def work(transaction: Transaction) -> Admitted:
            await _lock_keys(transaction, line.namespace, line.slot, line.rate or "")
            return await _admit(transaction, line)

        return await self._database.write(work)

    async def lines_of(self, namespace: str, slot: str) -> list[Line]:
        """Those who wait for this slot, by the rates that they wait for too."""
        values = {"namespace": namespace, "slot": slot, "most": BATCH}
        rows = await self._database.read(text(_RATES).bindparams(**values))
        return [Line(namespace, slot, row.rate) for row in rows]

    async def lines_with_room(self, after: Line, limit: int) -> tuple[list[Line], Line | None]:
        """Of the `limit` lines after one, in order, those whose keys have room.

        Also the last that was looked at; None at the end of all lines.
        """
        values = {"namespace": after.namespace, "slot_wanted": after.slot, "rate_wanted": after.rate or ""}
        rows = await self._database.read(text(_LINES).bindparams(**values, most=limit))
        now = await self._database.time()
        lines = []
        for row in rows:
            line = Line(row.namespace, row.slot_wanted, row.rate_wanted)
            free = not line.slot or row.taken < row.concurrency_limit
            if free and line.rate:
                since = now - timedelta(milliseconds=row.rate_period_ms)
                (begun,) = await self._database.read(begun_since(line.namespace, line.rate, since))
                free = begun.number < row.rate_limit
            if free:
                lines.append(line)
        if len(rows) < limit:
            return lines, None
        return lines, Line(rows[-1].namespace, rows[-1].slot_wanted, rows[-1].rate_wanted)

    async def slot_standing(self, execution_id: str, namespace: str, key: str) -> Standing:
        """How the slots of a key stand for one of those who wait for them."""
        (taken,) = await self._database.read(slots_taken(namespace, key))
        return Standing(taken.number, await self._depth.slot_place(execution_id, namespace, key))

    async def rate_standing(
        self, execution_id: str, namespace: str, key: str, limit: int, period_ms: int
    ) -> Standing:
        period = timedelta(milliseconds=period_ms)
        since = await self._database.time() - period
        (begun,) = await self._database.read(begun_since(namespace, key, since))
        rows = await self._database.read(_begun_before_last(namespace, key, since, limit))
        ahead = await self._depth.rate_place(execution_id, namespace, key)
        return Standing(begun.number, ahead, rows[0].rated_at + period if rows else None)


# A start ------------------------------------------------------------------------------------------


def asks_at_once(new: NewExecution, *, immediate: bool) -> bool:
    """Whether its limits must be known before it is committed. Others are committed into their line."""
    slot, rate = new.slot, new.rate
    if slot is None and rate is None:
        return False
    others = {policy.on_limit for policy in (slot, rate) if policy is not None} - {"queue"}
    return immediate or bool(others)


async def admittance(transaction: Transaction, new: NewExecution) -> Admittance:
    """What becomes of a start that has keys. Others of its keys wait until this transaction is over.

    Raises SlotsTaken, RateExceeded.
    """
    slot, rate = new.slot, new.rate
    await _lock_keys(transaction, new.namespace, slot.key if slot else "", rate.key if rate else "")
    if rate is not None and not await _rate_has_room(transaction, new.namespace, rate):
        return Admittance(admitted=False, reason="rateLimit")
    if slot is None:
        return Admittance()
    free = await _slot_is_free(transaction, new, slot)
    replaced: tuple[ExecutionId, ...] = ()
    if not free and slot.on_limit == "reject":
        raise SlotsTaken(shown(slot.key), slot.limit)
    if not free and slot.on_limit == "cancel_oldest":
        replaced = await _cancel_oldest(transaction, new, slot)
        free = await _slot_is_free(transaction, new, slot)
    return Admittance(free, "" if free else "concurrency", replaced)


async def _slot_is_free(transaction: Transaction, new: NewExecution, slot: SlotPolicy) -> bool:
    """Nobody overtakes those who wait already."""
    (taken,) = await transaction.fetch(slots_taken(new.namespace, slot.key))
    waiting = select(_e.id).where(is_held(), _e.namespace == new.namespace, _e.slot_wanted == slot.key)
    room = slot.limit - int(taken.number)
    return room > 0 and len(await transaction.fetch(waiting.limit(room))) < room


async def _rate_has_room(transaction: Transaction, namespace: str, rate: RatePolicy) -> bool:
    period = timedelta(milliseconds=rate.period_ms)
    now = await transaction.now()
    (begun,) = await transaction.fetch(begun_since(namespace, rate.key, now - period))
    waiting = select(_e.id).where(wants_rate(), _e.namespace == namespace, _e.rate_wanted == rate.key)
    room = rate.limit - int(begun.number)
    if room > 0 and len(await transaction.fetch(waiting.limit(room))) < room:
        return True
    if rate.on_limit == "reject":
        rows = await transaction.fetch(_begun_before_last(namespace, rate.key, now - period, rate.limit))
        seconds = (rows[0].rated_at + period - now).total_seconds() if rows else 1.0
        raise RateExceeded(shown(rate.key), rate.limit, rate.period_ms, max(1, -int(-seconds // 1)))
    return False


async def _cancel_oldest(
    transaction: Transaction, new: NewExecution, slot: SlotPolicy
) -> tuple[ExecutionId, ...]:
    """As many of the same key as make room for one more. The slots of those that run come free later."""
    same_key = or_(and_(holds_slot(), _e.slot_key == slot.key), and_(is_held(), _e.slot_wanted == slot.key))
    live = select(_e.id).where(
        same_key, _e.namespace == new.namespace, func.coalesce(_e.pending_control, "") != "cancel"
    )
    rows = await transaction.fetch(live.order_by(_e.created_at, _e.id))
    surplus = [ExecutionId(row.id) for row in rows[: max(0, len(rows) - slot.limit + 1)]]
    if not surplus:
        return ()
    drafts = (await transaction.lock(sorted(surplus))).values()
    for draft in drafts:
        cancel(draft, f"replaced by {new.id}")
    await transaction.write(drafts)
    return tuple(draft.row.id for draft in drafts if draft.changed)


# A line -------------------------------------------------------------------------------------------


async def _admit(transaction: Transaction, line: Line) -> Admitted:
    here = and_(
        is_held(),
        _e.namespace == line.namespace,
        _e.slot_wanted == line.slot,
        _e.rate_wanted == line.rate,
    )
    first = select(_e.concurrency_limit, _e.rate_limit, _e.rate_period_ms).where(here)
    heads = await transaction.fetch(first.order_by(_e.queue_order, _e.id).limit(1))
    if not heads:
        return Admitted()
    (head,) = heads
    now = await transaction.now()
    since = now - timedelta(milliseconds=head.rate_period_ms)
    taken = begun = 0
    room = BATCH
    if line.slot:
        taken = int((await transaction.fetch(slots_taken(line.namespace, line.slot)))[0].number)
        room = min(room, head.concurrency_limit - taken)
    if line.rate:
        begun = int((await transaction.fetch(begun_since(line.namespace, line.rate, since)))[0].number)
        room = min(room, head.rate_limit - begun)
    if room <= 0:
        return Admitted(next_in_seconds=await _pause(transaction, line, head, begun, since))
    # Two or more, because the next one may bring a higher limit: then there is another look.
    candidates = await transaction.fetch(
        select(_e.id, _e.concurrency_limit, _e.rate_limit, _e.rate_period_ms)
        .where(here)
        .order_by(_e.queue_order, _e.id)
        .limit(room + 1)
        .with_for_update(skip_locked=True, key_share=True)
    )
    ids = within_limits(candidates[:BATCH], line, taken, begun)
    drafts = await transaction.lock(ids) if ids else {}
    for draft in drafts.values():
        draft.admit()
    await transaction.write(drafts.values())
    admitted = [draft.row.id for draft in drafts.values()]
    if len(ids) == len(candidates):
        return Admitted(admitted, 0.0 if len(candidates) > room else None)
    following = candidates[len(ids)]
    pause = await _pause(transaction, line, following, begun + len(ids), since)
    return Admitted(admitted, 0.0 if len(ids) == BATCH else pause)


async def _pause(
    transaction: Transaction, line: Line, following: Any, begun: int, since: datetime
) -> float | None:
    """Seconds until the rate of a line lets the following one in; None where something else keeps it.

    since: when the period of the last of them began.
    """
    if not line.rate or begun < following.rate_limit:
        return None
    rows = await transaction.fetch(_begun_before_last(line.namespace, line.rate, since, following.rate_limit))
    return max(0.0, (rows[0].rated_at - since).total_seconds()) if rows else 0.0


def within_limits(candidates: Sequence[Any], line: Line, taken: int, begun: int) -> list[str]:
    """Ids of those at the head that may begin: each by the limits that its own definition gave it.

    candidates: rows with id, concurrency_limit and rate_limit, in the order of the queue. taken: slots that
    are held. begun: starts within the last period.
    """
    ids: list[str] = []
    for row in candidates:
        if line.slot and taken + len(ids) >= row.concurrency_limit:
            break
        if line.rate and begun + len(ids) >= row.rate_limit:
            break
        ids.append(row.id)
    return ids


async def _lock_keys(transaction: Transaction, namespace: str, slot: str, rate: str) -> None:
    """Always in this order, each at most once in a transaction."""
    if slot:
        await transaction.serialize(f"slots {namespace} {slot}")
    if rate:
        await transaction.serialize(f"rate {namespace} {rate}")


def slots_taken(namespace: str, key: str) -> sqlalchemy.Select[Any]:
    return select(func.count().label("number")).where(
        holds_slot(), _e.namespace == namespace, _e.slot_key == key
    )


def begun_since(namespace: str, key: str, since: datetime) -> sqlalchemy.Select[Any]:
    return select(func.count().label("number")).where(
        _e.namespace == namespace, _e.rate_key == key, _e.rated_at > since
    )


def _begun_before_last(namespace: str, key: str, since: datetime, limit: int) -> sqlalchemy.Select[Any]:
    """The start that must leave the period before the next may come: the `limit`th from the newest."""
    return (
        select(_e.rated_at)
        .where(_e.namespace == namespace, _e.rate_key == key, _e.rated_at > since)
        .order_by(_e.rated_at.desc())
        .offset(limit - 1)
        .limit(1)
    )


_RATES = f"""
WITH RECURSIVE rates (rate) AS (
    SELECT min(rate_wanted) FROM workflow_executions
    WHERE {HELD} AND namespace = :namespace AND slot_wanted = :slot
    UNION ALL
    SELECT (
        SELECT min(rate_wanted) FROM workflow_executions
        WHERE {HELD} AND namespace = :namespace AND slot_wanted = :slot AND rate_wanted > rates.rate
    )
    FROM rates WHERE rates.rate IS NOT NULL
)
SELECT rate FROM rates WHERE rate IS NOT NULL LIMIT :most
"""
"""Of the lines of a slot the rates, from one to the next by the index."""

_NEXT_LINE = """COALESCE(
    (
        SELECT id FROM workflow_executions WHERE {held}
            AND namespace = {here}namespace AND slot_wanted = {here}slot_wanted
            AND rate_wanted > {here}rate_wanted
        ORDER BY rate_wanted, queue_order, id LIMIT 1
    ),
    (
        SELECT id FROM workflow_executions WHERE {held}
            AND namespace = {here}namespace AND slot_wanted > {here}slot_wanted
        ORDER BY slot_wanted, rate_wanted, queue_order, id LIMIT 1
    ),
    (
        SELECT id FROM workflow_executions WHERE {held} AND namespace > {here}namespace
        ORDER BY namespace, slot_wanted, rate_wanted, queue_order, id LIMIT 1
    )
)"""
"""The first of the next line. Tuples would be compared by their first part only, on SQLite."""

_LINES = f"""
WITH RECURSIVE heads (at) AS (
    SELECT {_NEXT_LINE.format(held=HELD, here=":")}
    UNION ALL
    SELECT {_NEXT_LINE.format(held=HELD, here="here.")}
    FROM heads JOIN workflow_executions AS here ON here.id = heads.at
)
SELECT head.namespace, head.slot_wanted, head.rate_wanted,
    head.concurrency_limit, head.rate_limit, head.rate_period_ms,
    (
        SELECT count(*) FROM workflow_executions AS holder
        WHERE holder.slot_key <> '' AND holder.namespace = head.namespace
            AND holder.slot_key = head.slot_wanted
    ) AS taken
FROM (SELECT at FROM heads WHERE at IS NOT NULL LIMIT :most) AS found
JOIN workflow_executions AS head ON head.id = found.at
ORDER BY head.namespace, head.slot_wanted, head.rate_wanted
"""
"""The first of each line: from one to the next by the index, however long each is."""
