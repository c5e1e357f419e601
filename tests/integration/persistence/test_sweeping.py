"""PROTOCOL 3, 4, 17 and 19: what time brings."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from flow_engine.interpreter.events import ExecutionPromoted, TimerFired
from services.executor.persistence import sweep
from services.executor.persistence.contract import Bell, ReportOutcome
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import START, Stage


async def test_a_lost_lease_goes_back_to_the_queue(stage: Stage) -> None:
    runner = await stage.claimed()
    stage.pass_time(29.9)
    assert await stage.store.expire_leases() == []
    stage.pass_time(0.1)
    assert await stage.store.expire_leases(grace_seconds=5) == []
    assert await stage.store.expire_leases() == [runner.id]
    assert await stage.store.expire_leases() == []
    record = await stage.record(runner.id)
    assert (record.status, record.epoch, record.pending_since) == ("pending", 2, stage.now)
    assert stage.bells() == {runner.id}


async def test_a_lost_immediate_run_is_promoted(stage: Stage) -> None:
    runner = await stage.immediate()
    stage.pass_time(10)
    assert await stage.store.expire_leases() == [runner.id]
    record = await stage.record(runner.id)
    assert (record.status, record.mode, record.epoch) == ("pending", "queued", 2)
    last = (await stage.history(runner.id))[-1]
    assert isinstance(last, ExecutionPromoted)
    assert last.reason == "executorLost"


@pytest.mark.parametrize(("control", "status"), [("cancel", "cancelled"), ("pause", "paused")])
async def test_a_runner_lost_under_control_leaves_what_was_asked(
    stage: Stage, control: str, status: str
) -> None:
    runner = await stage.immediate()
    await getattr(stage.store, control)(runner.id, "because")
    stage.pass_time(11)
    await stage.store.expire_leases()
    assert await stage.status(runner.id) == status
    assert (await stage.types(runner.id))[-1] == f"execution.{status}"
    assert (await runner.step()).outcome is ReportOutcome.LEASE_LOST


async def test_renewed_in_time_it_stays(stage: Stage) -> None:
    runner = await stage.claimed()
    stage.pass_time(29)
    await stage.store.renew_leases("worker:1", [(runner.id, 1)])
    stage.pass_time(29)
    assert await stage.store.expire_leases() == []


async def test_two_sweepers_do_nothing_twice(stage: Stage, second_store: SqlExecutionPersistence) -> None:
    ids = {(await stage.claimed()).id for _ in range(20)}
    stage.pass_time(31)
    swept = await asyncio.gather(
        *((stage.store if n % 2 else second_store).expire_leases() for n in range(6))
    )
    found = [execution_id for ids in swept for execution_id in ids]
    assert sorted(found) == sorted(ids)


async def test_a_timer_wakes_once(stage: Stage) -> None:
    execution_id = await stage.waiting(wake_in=3600)
    stage.pass_time(3599)
    assert await stage.store.wake_due() == []
    stage.pass_time(1)
    assert await stage.store.wake_due() == [execution_id]
    assert await stage.store.wake_due() == []
    record = await stage.record(execution_id)
    assert (record.status, record.wake_at, record.waits) == ("pending", None, None)
    fired = (await stage.history(execution_id))[-1]
    assert isinstance(fired, TimerFired)
    assert (fired.timer_id, fired.time) == ("ask#1", stage.now)
    (claimed,) = await stage.claim()
    assert claimed.execution_id == execution_id


async def test_a_deadline_ends_what_nobody_runs_at_once(stage: Stage) -> None:
    pending = await stage.queued(timeout_ms=5000)
    paused = await stage.queued(timeout_ms=5000)
    await stage.store.pause(paused, "")
    in_time = await stage.queued(timeout_ms=6000)
    stage.pass_time(5)
    assert set(await stage.store.fail_overdue()) == {pending, paused}
    record = await stage.record(pending)
    assert (record.status, record.error["code"], record.completed_at) == ("failed", "TIMEOUT", stage.now)
    assert stage.bells() == {in_time}


async def test_a_deadline_leaves_a_runner_five_seconds(stage: Stage) -> None:
    runner = await stage.claimed(timeout_ms=5000)
    stage.pass_time(9.9)
    assert await stage.store.fail_overdue() == []
    stage.pass_time(0.1)
    assert await stage.store.fail_overdue() == [runner.id]
    record = await stage.record(runner.id)
    assert (record.status, record.epoch, record.lease_owner) == ("failed", 2, "")
    assert (await runner.complete()).outcome is ReportOutcome.LEASE_LOST


async def test_a_deadline_under_cancel_ends_as_cancelled(stage: Stage) -> None:
    runner = await stage.claimed(timeout_ms=5000)
    await stage.store.cancel(runner.id, "enough")
    stage.pass_time(10)
    await stage.store.fail_overdue()
    assert await stage.status(runner.id) == "cancelled"


async def test_a_bell_is_taken_by_one_dispatcher_and_gone_when_rung(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    ids = {await stage.queued(priority=3) for _ in range(5)}
    taken = await asyncio.gather(stage.store.take_bells(3), second_store.take_bells(10))
    bells = [bell for some in taken for bell in some]
    assert sorted((bell.execution_id, bell.priority) for bell in bells) == sorted((id_, 3) for id_ in ids)
    await stage.store.bells_rung(bells[:2])
    await stage.store.bells_rung([])
    assert stage.bells() == {bell.execution_id for bell in bells[2:]}
    assert await stage.store.take_bells(10) == []
    stage.pass_time(11)  # whoever took them died
    assert len(await stage.store.take_bells(10)) == 3


async def test_a_bell_that_came_back_is_not_silenced_by_the_old_one(stage: Stage) -> None:
    execution_id = await stage.queued()
    bells = await stage.store.take_bells(1)
    (claimed,) = await stage.claim()
    await stage.store.release("worker:1", [(execution_id, claimed.epoch)])
    await stage.store.bells_rung(bells)
    assert stage.bells() == {execution_id}


async def test_who_commits_is_told_to_ring_and_others_let_him(stage: Stage) -> None:
    told: list[Bell] = []
    stage.store.database.due = told.extend
    execution_id = await stage.queued(priority=3)
    assert [(bell.execution_id, bell.priority) for bell in told] == [(execution_id, 3)]
    assert await stage.store.take_bells(10) == []
    stage.pass_time(1)
    (claimed,) = await stage.claim()
    await stage.store.release("worker:1", [(execution_id, claimed.epoch)])
    await stage.store.bells_rung(told[:1])
    assert stage.bells() == {execution_id}, "it came back, and that is another bell"
    await stage.store.bells_rung(told[1:])
    assert stage.bells() == set()
    another = await stage.queued()
    stage.pass_time(11)  # whoever was told died
    assert [bell.execution_id for bell in await stage.store.take_bells(10)] == [another]


async def test_there_is_one_bell_at_most(stage: Stage) -> None:
    execution_id = await stage.queued()
    for _ in range(3):
        await stage.store.pause(execution_id, "")
        await stage.store.resume(execution_id)
    assert [bell[:2] for bell in await stage.store.take_bells(10)] == [(execution_id, 5)]


async def test_the_queue_knows_its_length_and_oldest(stage: Stage) -> None:
    state = await stage.store.queue_state(1000)
    assert (state.pending, state.oldest_pending_seconds) == (0, 0.0)
    await stage.queued()
    stage.pass_time(7)
    await stage.queued()
    state = await stage.store.queue_state(1000)
    assert (state.pending, state.oldest_pending_seconds) == (2, 7.0)


async def test_on_sqlite_a_new_executor_takes_over_at_once(stage: Stage) -> None:
    old, mine = await stage.immediate("executor:old"), await stage.immediate("executor:new")
    claimed = await stage.claimed()
    expired = await stage.store.expire_executor_leases("executor:new")
    if not stage.is_sqlite:
        assert expired == 0  # there the other one may live
        return
    assert expired == 1
    assert await stage.status(old.id) == "pending"
    assert await stage.status(mine.id) == await stage.status(claimed.id) == "running"


async def test_ten_thousand_seconds_of_leases_go_by_the_databases_clock(stage: Stage) -> None:
    assert await stage.store.ping() == START
    stage.pass_time(10_000)
    assert await stage.store.ping() == START + timedelta(seconds=10_000)


async def test_many_expire_in_chunks(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(*(stage.immediate() for _ in range(60)))
    stage.pass_time(11)
    monkeypatch.setattr(sweep, "CHUNK", 25)
    assert len(await stage.store.expire_leases()) == 60
    assert stage.execute("SELECT count(*) FROM outbox") == [(60,)]
