"""Starts executions when their time has come. Every executor does; each slot is started once.

First what has come is recorded, by one conditional write a schedule; then what is recorded as due is taken,
started under a request id of its own, and settled. Who dies in between leaves a slot that the next one
takes, and the request id finds what was started; after the hours for which request ids are kept, its tag.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from flow_engine.errors import Busy, FlowEngineError, ScheduleNotFound, Unavailable, WorkflowRunning
from flow_engine.ids import ExecutionId, content_hash
from flow_engine.looping import Looping
from flow_engine.payload import encode
from services.executor.persistence.contract import ExecutionFilter
from services.executor.persistence.schedules import Schedule, SlotRecord, SqlSchedules
from services.executor.starts import StartRequest
from services.executor.triggers.planning import plan

log = structlog.get_logger()

PAGE = 100
PUT_OFF = timedelta(seconds=5)
"""Until the next try of a slot that finds no room."""


Start = Callable[[StartRequest], Awaitable[ExecutionId]]
Find = Callable[[ExecutionFilter], Awaitable[ExecutionId | None]]


class Scheduler(Looping):
    """start: what answers a start, new or not. find: the newest execution that a filter finds."""

    def __init__(self, schedules: SqlSchedules, start: Start, find: Find, interval_seconds: float) -> None:
        super().__init__(interval_seconds)
        self._schedules = schedules
        self._start = start
        self._find = find

    async def turn(self) -> None:
        now = await self.decide()
        while taken := await self._schedules.take_due(now, PAGE):
            for slot in taken:
                await self.fire(slot, now)

    async def decide(self) -> datetime:
        """Record what has come up to now, which is returned."""
        now = await self._schedules.now()
        while await self._plan(now):
            pass
        return now

    async def _plan(self, now: datetime) -> bool:
        """Whether there may be more to decide."""
        found = await self._schedules.to_plan(now, PAGE)
        for schedule in found:
            await self._schedules.record(schedule, plan(schedule.timing, schedule.decided_until, now), now)
        return len(found) == PAGE or any(
            schedule.decided_until < now - timedelta(hours=1) for schedule in found
        )

    async def fire(self, slot: SlotRecord, now: datetime) -> None:
        """Start what a taken slot is for, and record what became of it."""
        try:
            schedule = await self._schedules.get(slot.namespace, slot.schedule_id)
            started = await self._find_started(slot)
            if started is None:
                started = await self._start(start_request(schedule, slot))
            await self._schedules.settle(slot, "started", now, execution_id=started)
        except ScheduleNotFound:
            return
        except WorkflowRunning as error:
            reason = f"overlap: {error.message}"
            await self._schedules.settle(slot, "skipped", now, reason=reason)
        except (Busy, Unavailable) as error:
            await self._schedules.put_off(slot, now + PUT_OFF, error.message)
        except FlowEngineError as error:
            log.warning("schedule.failed", schedule_id=slot.schedule_id, reason=error.reason)
            await self._schedules.settle(slot, "failed", now, reason=f"{error.reason}: {error.message}")

    async def _find_started(self, slot: SlotRecord) -> ExecutionId | None:
        """What an earlier try started, when it was so long ago that its request id may be forgotten."""
        if not slot.tries:
            return None
        tags = (schedule_tag(slot.schedule_id), slot_tag(slot.slot_at))
        return await self._find(ExecutionFilter(tags=tags, namespace=slot.namespace))


def start_request(schedule: Schedule, slot: SlotRecord) -> StartRequest:
    """The same for the same slot, for as long as the schedule is the same."""
    spec, instant = schedule.spec, timestamp(slot.slot_at)
    default = encode({"scheduleId": schedule.id, "slotTime": instant}).decode()
    request_id = f"schedule:{content_hash(schedule.id.encode())[:32]}:{instant}"
    return StartRequest(
        workflow_id=spec.workflow_id,
        workflow_version=spec.workflow_version,
        input_json=spec.input or default,
        mode=spec.mode,
        priority=spec.priority,
        tags=(*spec.tags, schedule_tag(schedule.id), slot_tag(slot.slot_at)),
        on_conflict=spec.overlap,
        request_id=request_id,
        # Not of the body: a schedule that was changed between two tries is still the same slot.
        request_hash=content_hash(request_id.encode()),
        namespace=schedule.namespace,
    )


def schedule_tag(schedule_id: str) -> str:
    return f"schedule:{schedule_id}"


def slot_tag(instant: datetime) -> str:
    return f"slot:{timestamp(instant)}"


def timestamp(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
