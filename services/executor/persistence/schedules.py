"""Schedules and what became of their slots.

A slot is decided once: its row's key is the schedule and the instant, and it comes with a move of
`decided_until` that one of several executors makes. A due slot is started by whoever has taken it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from flow_engine import payload
from flow_engine.errors import ScheduleNotFound
from services.executor.persistence.database import Database
from services.executor.persistence.tables import schedule_slots, schedules
from services.executor.persistence.transaction import Transaction
from services.executor.triggers.planning import Plan, Slot, Timing

TAKEN = timedelta(seconds=60)
"""A slot that somebody took and did not settle is another's after this."""
KEPT = timedelta(days=90)
"""How long it is told what became of a slot."""

_s, _t = schedules.c, schedule_slots.c
_SLOT_COLUMNS = [column.name for column in schedule_slots.columns if column.name != "taken_until"]


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """What its author says of a schedule."""

    workflow_id: str
    cron: str
    workflow_version: int = 0
    time_zone: str = "UTC"
    input: str = ""
    mode: str = "auto"
    priority: int = 5
    tags: tuple[str, ...] = ()
    catch_up: int = 1
    jitter_seconds: int = 0
    overlap: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    namespace: str
    id: str
    spec: ScheduleSpec
    paused: bool
    created_at: datetime
    updated_at: datetime
    decided_until: datetime
    next_at: datetime | None

    @property
    def timing(self) -> Timing:
        spec = self.spec
        return Timing(
            self.id, spec.cron, spec.time_zone, spec.catch_up, spec.jitter_seconds, paused=self.paused
        )


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """One slot. status: due, started, skipped, failed."""

    namespace: str
    schedule_id: str
    slot_at: datetime
    fire_at: datetime
    status: str
    execution_id: str
    reason: str
    manual: bool
    tries: int
    decided_at: datetime


class SqlSchedules:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> datetime:
        return await self._database.time()

    async def put(
        self, namespace: str, schedule_id: str, spec: ScheduleSpec, now: datetime, next_at: datetime | None
    ) -> tuple[Schedule, bool]:
        """What is kept now, and whether it is new. Slots of another timing are not made up for."""

        async def work(transaction: Transaction) -> bool:
            await transaction.serialize(f"schedule {namespace} {schedule_id}")
            found = await transaction.fetch(select(schedules).where(_is(namespace, schedule_id)))
            values = {**asdict(spec), "tags": payload.encode(spec.tags).decode(), "updated_at": now}
            same_timing = found and (found[0].cron, found[0].time_zone) == (spec.cron, spec.time_zone)
            if not same_timing:
                values |= {"decided_until": now, "next_at": next_at}
            if found:
                await transaction.execute(update(schedules).where(_is(namespace, schedule_id)).values(values))
                return False
            row = {"namespace": namespace, "id": schedule_id, "paused": False, "created_at": now, **values}
            await transaction.execute(insert(schedules).values(row))
            return True

        created = await self._database.write(work, repeatable=False)
        return await self.get(namespace, schedule_id), created

    async def get(self, namespace: str, schedule_id: str) -> Schedule:
        """Raises ScheduleNotFound."""
        rows = await self._database.read(select(schedules).where(_is(namespace, schedule_id)))
        if not rows:
            raise ScheduleNotFound(schedule_id)
        return _schedule(rows[0])

    async def page(self, namespace: str, limit: int, after: str, workflow_id: str = "") -> list[Schedule]:
        """By id."""
        conditions = [_s.namespace == namespace, _s.id > after]
        if workflow_id:
            conditions.append(_s.workflow_id == workflow_id)
        statement = select(schedules).where(*conditions).order_by(_s.id).limit(limit)
        return [_schedule(row) for row in await self._database.read(statement)]

    async def delete(self, namespace: str, schedule_id: str) -> None:
        """With what became of its slots; executions stay. Raises ScheduleNotFound."""

        async def work(transaction: Transaction) -> None:
            there = await transaction.fetch(select(_s.id).where(_is(namespace, schedule_id)))
            if not there:
                raise ScheduleNotFound(schedule_id)
            await transaction.execute(
                delete(schedule_slots).where(_t.namespace == namespace, _t.schedule_id == schedule_id)
            )
            await transaction.execute(delete(schedules).where(_is(namespace, schedule_id)))

        await self._database.write(work, repeatable=False)

    async def set_paused(self, namespace: str, schedule_id: str, *, paused: bool) -> Schedule:
        """Raises ScheduleNotFound."""
        await self.get(namespace, schedule_id)

        async def work(transaction: Transaction) -> None:
            changing = {"paused": paused, "updated_at": await transaction.now()}
            await transaction.execute(update(schedules).where(_is(namespace, schedule_id)).values(changing))

        await self._database.write(work)
        return await self.get(namespace, schedule_id)

    async def slots(
        self, namespace: str, schedule_id: str, limit: int, before: datetime | None
    ) -> list[SlotRecord]:
        """Newest first. Raises ScheduleNotFound."""
        await self.get(namespace, schedule_id)
        conditions = [_t.namespace == namespace, _t.schedule_id == schedule_id]
        if before is not None:
            conditions.append(_t.slot_at < before)
        statement = select(schedule_slots).where(*conditions).order_by(_t.slot_at.desc()).limit(limit)
        return [_slot(row) for row in await self._database.read(statement)]

    async def newest_slots(self, namespace: str, schedule_ids: Sequence[str]) -> dict[str, SlotRecord]:
        """By schedule; those that had no slot yet are left out."""
        newest = (
            select(func.max(_t.slot_at))
            .where(_t.namespace == _s.namespace, _t.schedule_id == _s.id)
            .correlate(schedules)
            .scalar_subquery()
        )
        same = and_(_t.namespace == _s.namespace, _t.schedule_id == _s.id, _t.slot_at == newest)
        statement = (
            select(schedule_slots)
            .select_from(schedules.join(schedule_slots, same))
            .where(_s.namespace == namespace, _s.id.in_(schedule_ids))
        )
        return {row.schedule_id: _slot(row) for row in await self._database.read(statement)}

    # The scheduler's ---------------------------------------------------------------------------

    async def to_plan(self, now: datetime, limit: int) -> list[Schedule]:
        """Schedules with slots that have come."""
        statement = select(schedules).where(_s.next_at <= now).order_by(_s.next_at).limit(limit)
        return [_schedule(row) for row in await self._database.read(statement)]

    async def record(self, schedule: Schedule, plan: Plan, now: datetime) -> bool:
        """Write what was decided, unless another has, or the schedule was changed meanwhile."""
        unchanged = and_(
            _is(schedule.namespace, schedule.id),
            _s.decided_until == schedule.decided_until,
            _s.updated_at == schedule.updated_at,
        )

        async def work(transaction: Transaction) -> bool:
            moved = (
                update(schedules)
                .where(unchanged)
                .values(decided_until=plan.decided_until, next_at=plan.next_at)
                .returning(_s.id)
            )
            if not await transaction.fetch(moved):
                return False
            rows = [_new_slot(schedule, slot, now) for slot in plan.slots]
            await transaction.insert(schedule_slots, _SLOT_COLUMNS, rows, "ON CONFLICT DO NOTHING")
            old = and_(_t.slot_at < now - KEPT, _t.status != "due")
            mine = and_(_t.namespace == schedule.namespace, _t.schedule_id == schedule.id)
            await transaction.execute(delete(schedule_slots).where(mine, old))
            return True

        return await self._database.write(work)

    async def take_due(self, now: datetime, limit: int) -> list[SlotRecord]:
        """Slots to start now; nobody else is given them for a while."""

        async def work(transaction: Transaction) -> list[SlotRecord]:
            free = or_(_t.taken_until.is_(None), _t.taken_until <= now)
            statement = (
                select(schedule_slots)
                .where(_t.status == sqlalchemy.literal_column("'due'"), _t.fire_at <= now, free)
                .order_by(_t.fire_at)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            taken = [_slot(row) for row in await transaction.fetch(statement)]
            for slot in taken:
                changing = {"taken_until": now + TAKEN, "tries": slot.tries + 1}
                await transaction.execute(update(schedule_slots).where(_is_slot(slot)).values(changing))
            return taken

        return await self._database.write(work, repeatable=False)

    async def settle(
        self, slot: SlotRecord, status: str, now: datetime, *, execution_id: str = "", reason: str = ""
    ) -> None:
        """started, skipped or failed; once."""
        await self._change(slot, status=status, execution_id=execution_id, reason=reason, decided_at=now)

    async def put_off(self, slot: SlotRecord, until: datetime, reason: str) -> None:
        """It could not be started now."""
        await self._change(slot, fire_at=until, taken_until=None, reason=reason)

    async def add_manual(self, schedule: Schedule, now: datetime) -> SlotRecord:
        """A slot that somebody asked for, due now."""
        slot = SlotRecord(
            namespace=schedule.namespace,
            schedule_id=schedule.id,
            slot_at=now,
            fire_at=now,
            status="due",
            execution_id="",
            reason="",
            manual=True,
            tries=0,
            decided_at=now,
        )

        async def work(transaction: Transaction) -> None:
            row: Mapping[str, Any] = {**asdict(slot), "taken_until": now + TAKEN, "tries": 1}
            await transaction.execute(insert(schedule_slots).values(row))

        await self._database.write(work, repeatable=False)
        return slot

    async def _change(self, slot: SlotRecord, **values: Any) -> None:
        async def work(transaction: Transaction) -> None:
            still_due = and_(_is_slot(slot), _t.status == "due")
            await transaction.execute(update(schedule_slots).where(still_due).values(values))

        await self._database.write(work)


def _is(namespace: str, schedule_id: str) -> ColumnElement[bool]:
    return and_(_s.namespace == namespace, _s.id == schedule_id)


def _is_slot(slot: SlotRecord) -> ColumnElement[bool]:
    return and_(
        _t.namespace == slot.namespace, _t.schedule_id == slot.schedule_id, _t.slot_at == slot.slot_at
    )


def _new_slot(schedule: Schedule, slot: Slot, now: datetime) -> Sequence[Any]:
    status = "skipped" if slot.skipped else "due"
    row = {
        "namespace": schedule.namespace,
        "schedule_id": schedule.id,
        "slot_at": slot.at,
        "fire_at": slot.fire_at,
        "status": status,
        "execution_id": "",
        "reason": slot.skipped,
        "manual": False,
        "tries": 0,
        "decided_at": now,
    }
    return [row[name] for name in _SLOT_COLUMNS]


def _schedule(row: sqlalchemy.Row[Any]) -> Schedule:
    spec = ScheduleSpec(
        workflow_id=row.workflow_id,
        workflow_version=row.workflow_version,
        cron=row.cron,
        time_zone=row.time_zone,
        input=row.input,
        mode=row.mode,
        priority=row.priority,
        tags=tuple(payload.decode(row.tags)),
        catch_up=row.catch_up,
        jitter_seconds=row.jitter_seconds,
        overlap=row.overlap,
    )
    return Schedule(
        row.namespace,
        row.id,
        spec,
        row.paused,
        row.created_at,
        row.updated_at,
        row.decided_until,
        row.next_at,
    )


def _slot(row: sqlalchemy.Row[Any]) -> SlotRecord:
    return SlotRecord(
        namespace=row.namespace,
        schedule_id=row.schedule_id,
        slot_at=row.slot_at,
        fire_at=row.fire_at,
        status=row.status,
        execution_id=row.execution_id,
        reason=row.reason,
        manual=row.manual,
        tries=row.tries,
        decided_at=row.decided_at,
    )
