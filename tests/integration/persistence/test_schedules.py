"""Schedules on a clock that is moved by hand: each slot once, whoever looks, whoever dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow_engine.errors import Busy, InvalidInput, Problem, ScheduleNotFound, WorkflowRunning
from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import ExecutionFilter
from services.executor.persistence.schedules import Schedule, ScheduleSpec
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.starts import StartRequest
from services.executor.triggers.cron import slots_after
from services.executor.triggers.scheduler import Scheduler
from tests.integration.persistence.stage import CLOCK, Stage


@dataclass
class Starter:
    """Starts real executions; `refuse` is raised instead, `die_after` kills the caller afterwards."""

    stage: Stage
    store: SqlExecutionPersistence
    refuse: Exception | None = None
    die_after: bool = False
    requests: list[StartRequest] = field(default_factory=list)

    async def __call__(self, request: StartRequest) -> ExecutionId:
        self.requests.append(request)
        if self.refuse is not None:
            raise self.refuse
        new = self.stage.new(
            tags=request.tags,
            workflow_id=request.workflow_id,
            request_id=request.request_id,
            request_hash=request.request_hash,
        )
        started = await self.store.create(new)
        if self.die_after:
            raise asyncio.CancelledError
        return started.execution_id

    async def find(self, where: ExecutionFilter) -> ExecutionId | None:
        found = await self.store.list(where, 1)
        return found[0].id if found else None


class Bench:
    def __init__(self, stage: Stage, store: SqlExecutionPersistence) -> None:
        self.stage = stage
        self.start = Starter(stage, store)
        self.schedules = store.schedules
        self.scheduler = Scheduler(store.schedules, self.start, self.start.find, 1.0)

    async def put(self, cron: str = "0 * * * *", schedule_id: str = "s", **more: Any) -> Schedule:
        spec = ScheduleSpec(workflow_id="orders", cron=cron, **more)
        next_at = next(slots_after(cron, spec.time_zone, self.stage.now))
        schedule, _ = await self.schedules.put("default", schedule_id, spec, self.stage.now, next_at)
        return schedule

    async def slots(self, schedule_id: str = "s") -> list[tuple[datetime, str]]:
        found = await self.schedules.slots("default", schedule_id, 1000, None)
        return [(slot.slot_at, slot.status) for slot in reversed(found)]


@pytest.fixture
def bench(stage: Stage) -> Bench:
    return Bench(stage, stage.store)


@pytest.fixture
def other(stage: Stage, second_store: SqlExecutionPersistence) -> Bench:
    return Bench(stage, second_store)


def move_to(stage: Stage, instant: datetime) -> None:
    stage.pass_time((instant - stage.now).total_seconds())


async def started_slots(stage: Stage) -> Counter[str]:
    records = await stage.store.list(ExecutionFilter(), 1000)
    return Counter(tag for record in records for tag in record.tags if tag.startswith("slot:"))


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, 20, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 24, 20, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 12, tzinfo=UTC)),
        ("America/Santiago", datetime(2026, 9, 6, 0, tzinfo=UTC)),
    ],
)
async def test_two_executors_over_a_change_of_the_clock_start_each_slot_once(
    stage: Stage, bench: Bench, other: Bench, zone: str, day: datetime
) -> None:
    move_to(stage, day)
    await bench.put("*/30 * * * *", "half-hours", time_zone=zone, jitter_seconds=90)
    await bench.put("30 2 * * *", "nightly", time_zone=zone)
    await bench.put("15 0 * * *", "midnight", time_zone=zone)
    for _ in range(60):
        stage.pass_time(600)
        await asyncio.gather(bench.scheduler.turn(), other.scheduler.turn())
    expected = Counter[str]()
    for cron, name in (("*/30 * * * *", "half-hours"), ("30 2 * * *", "nightly"), ("15 0 * * *", "midnight")):
        wanted = _until(cron, zone, day, stage.now)
        found = await bench.slots(name)
        assert [at for at, _ in found] == wanted
        assert {status for at, status in found if at < stage.now - timedelta(seconds=90)} <= {"started"}
        expected.update(at.isoformat().replace("+00:00", "Z") for at, status in found if status == "started")
    assert await started_slots(stage) == Counter({f"slot:{at}": n for at, n in expected.items()})


def _until(cron: str, zone: str, since: datetime, until: datetime) -> list[datetime]:
    found = []
    for slot in slots_after(cron, zone, since):
        if slot > until:
            break
        found.append(slot)
    return found


async def test_who_dies_between_starting_and_recording_leaves_nothing_doubled(
    stage: Stage, bench: Bench, other: Bench
) -> None:
    await bench.put()
    stage.pass_time(3600)
    bench.start.die_after = True
    with pytest.raises(asyncio.CancelledError):
        await bench.scheduler.turn()
    assert [status for _, status in await bench.slots()] == ["due"]
    await other.scheduler.turn()
    assert other.start.requests == []  # it is taken, for a while
    stage.pass_time(61)
    await other.scheduler.turn()
    assert [status for _, status in await bench.slots()] == ["started"]
    assert set((await started_slots(stage)).values()) == {1}


async def test_even_when_request_ids_are_forgotten_the_execution_is_found(
    stage: Stage, bench: Bench, other: Bench
) -> None:
    await bench.put("0 0 1 * *")
    move_to(stage, datetime(2026, 2, 1, tzinfo=UTC))
    bench.start.die_after = True
    with pytest.raises(asyncio.CancelledError):
        await bench.scheduler.turn()
    stage.pass_time(2 * 86_400)
    await stage.store.forget_requests()
    await other.scheduler.turn()
    (slot,) = await bench.schedules.slots("default", "s", 9, None)
    assert slot.status == "started"
    assert slot.execution_id
    assert set((await started_slots(stage)).values()) == {1}


async def test_slots_missed_while_nothing_ran_are_caught_up_or_recorded(
    stage: Stage, bench: Bench, second_store: SqlExecutionPersistence
) -> None:
    await bench.put(schedule_id="skip", catch_up=0)
    await bench.put(schedule_id="last", catch_up=1)
    await bench.put(schedule_id="all", catch_up=100)
    stage.pass_time(5 * 3600 + 1800)
    restarted = SqlExecutionPersistence(stage.url, now=CLOCK) if not stage.is_sqlite else stage.store
    if restarted is not stage.store:
        await restarted.start()
    await Bench(stage, restarted).scheduler.turn()
    if restarted is not stage.store:
        await restarted.stop()
    found = {name: [status for _, status in await bench.slots(name)] for name in ("skip", "last", "all")}
    assert found == {
        "skip": ["skipped"] * 5,
        "last": ["skipped"] * 4 + ["started"],
        "all": ["started"] * 5,
    }
    (record, *_) = await bench.schedules.slots("default", "skip", 1, None)
    assert record.reason.startswith("missed")


async def test_a_paused_schedule_starts_nothing_and_goes_on_when_resumed(stage: Stage, bench: Bench) -> None:
    await bench.put(catch_up=100)
    await bench.schedules.set_paused("default", "s", paused=True)
    stage.pass_time(2 * 3600)
    await bench.scheduler.turn()
    await bench.schedules.set_paused("default", "s", paused=False)
    stage.pass_time(3600)
    await bench.scheduler.turn()
    found = await bench.schedules.slots("default", "s", 9, None)
    assert [(slot.status, slot.reason) for slot in found] == [
        ("started", ""),
        ("skipped", "the schedule is paused"),
        ("skipped", "the schedule is paused"),
    ]


async def test_what_cannot_start_says_why(stage: Stage, bench: Bench) -> None:
    await bench.put(overlap="reject")
    reasons = []
    for refusal in (
        WorkflowRunning("orders", "e1"),
        InvalidInput([Problem("/n", "WRONG_TYPE", "is no number")]),
        Busy("no room"),
    ):
        bench.start.refuse = refusal
        stage.pass_time(3600)
        await bench.scheduler.turn()
        (slot, *_) = await bench.schedules.slots("default", "s", 1, None)
        reasons.append((slot.status, slot.reason))
    assert [status for status, _ in reasons] == ["skipped", "failed", "due"]
    assert "e1" in reasons[0][1]
    assert "INVALID_INPUT" in reasons[1][1]
    bench.start.refuse = None
    stage.pass_time(5)
    await bench.scheduler.turn()
    (slot, *_) = await bench.schedules.slots("default", "s", 1, None)
    assert slot.status == "started"
    assert bench.start.requests[-1].on_conflict == "reject"


async def test_a_schedule_that_is_changed_keeps_its_slots_and_looks_ahead_only(
    stage: Stage, bench: Bench
) -> None:
    await bench.put()
    stage.pass_time(3600)
    await bench.scheduler.turn()
    stage.pass_time(1800)
    changed = await bench.put("*/15 * * * *")
    assert changed.next_at == stage.now + timedelta(minutes=15)
    stage.pass_time(900)
    await bench.scheduler.turn()
    assert [status for _, status in await bench.slots()] == ["started", "started"]
    await bench.schedules.delete("default", "s")
    with pytest.raises(ScheduleNotFound):
        await bench.schedules.get("default", "s")
    stage.pass_time(3600)
    await bench.scheduler.turn()
    assert len(bench.start.requests) == 2
