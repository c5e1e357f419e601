"""What operators are told: workers with heartbeats, the queue by its parts."""

from __future__ import annotations

import pytest

from flow_engine.errors import WorkerNotFound
from services.executor.persistence.contract import PurgeFilter, RatePolicy, ReportOutcome, SlotPolicy
from services.executor.persistence.migrating import needed_revision
from services.executor.persistence.operations import SILENT_SECONDS, WorkerWord
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import Stage


async def live(store: SqlExecutionPersistence) -> dict[str, str]:
    """Executor by worker."""
    return {live.word.worker_id: live.executor_id for live in await store.operations.live_workers()}


async def test_workers_are_seen_whichever_executor_they_talk_to(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    word = WorkerWord("worker:a", "host", 7, "1.2.3", 16, 3, ("flow.noop",))
    await stage.store.operations.heartbeat("executor:1", [word])
    stage.pass_time(5)
    await second_store.operations.heartbeat("executor:2", [WorkerWord("worker:b")])
    first, second = await stage.store.operations.live_workers()
    assert (first.word, first.executor_id, first.draining) == (word, "executor:1", False)
    assert (second.word.worker_id, second.started_at) == ("worker:b", stage.now)


async def test_a_worker_that_changes_its_executor_is_there_once(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    word = WorkerWord("worker:a")
    await stage.store.operations.heartbeat("executor:1", [word])
    stage.pass_time(5)
    await second_store.operations.heartbeat("executor:2", [word])
    await stage.store.operations.heartbeat("executor:1", [])
    (worker,) = await stage.store.operations.live_workers()
    assert (worker.executor_id, worker.seen_at) == ("executor:2", stage.now)
    assert worker.started_at < worker.seen_at


async def test_who_hung_up_or_is_silent_is_not_alive(stage: Stage) -> None:
    operations = stage.store.operations
    await operations.heartbeat("executor:1", [WorkerWord("worker:a"), WorkerWord("worker:b")])
    await operations.heartbeat("executor:1", [WorkerWord("worker:b")])
    assert await live(stage.store) == {"worker:b": "executor:1"}
    stage.pass_time(SILENT_SECONDS)
    assert await live(stage.store) == {}
    stage.pass_time(3600)
    await operations.heartbeat("executor:2", [])
    assert stage.execute("SELECT count(*) FROM workers") == [(0,)]


async def test_what_a_deep_queue_is_made_of_is_told_of_its_oldest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.executor.persistence.operations.MOST_COUNTED", 2)
    for number in range(2):
        await stage.queued(workflow_id=f"w{number}")
        stage.pass_time(10)
    assert not (await stage.store.operations.queue("default", every_namespace=True)).partial
    await stage.queued(workflow_id="late")
    for every_namespace in (True, False):
        queue = await stage.store.operations.queue("default", every_namespace=every_namespace)
        assert (queue.pending, queue.ready, queue.partial) == (3, 3, True)
        assert {depth.name: depth.pending for depth in queue.workflows} == {"w0": 1, "w1": 1}
        assert [depth.pending for depth in queue.namespaces] == [2]


async def test_the_queue_is_told_by_priority_namespace_and_workflow(stage: Stage) -> None:
    await stage.queued(priority=0, workflow_id="a")
    stage.pass_time(10)
    await stage.queued(priority=9, workflow_id="b")
    await stage.queued(priority=9, workflow_id="b", namespace="other")
    runner = (await stage.claim("worker:7"))[0]
    await stage.immediate()
    queue = await stage.store.operations.queue("default", every_namespace=True)
    assert (queue.pending, queue.ready, queue.running) == (2, 2, 2)
    assert queue.oldest_pending_seconds == 0.0
    assert [(depth.name, depth.pending) for depth in queue.priorities] == [("9", 2)]
    assert {depth.name: depth.pending for depth in queue.namespaces} == {"default": 1, "other": 1}
    assert [(depth.name, depth.pending) for depth in queue.workflows] == [("b", 1)]
    mine = await stage.store.operations.queue("default", every_namespace=False)
    assert (mine.pending, [depth.name for depth in mine.namespaces]) == (1, ["default"])
    (leased,) = await stage.store.operations.leased("default")
    assert (leased.execution_id, leased.owner, leased.workflow_id) == (runner.execution_id, "worker:7", "a")
    assert await stage.store.operations.leased("other") == []
    assert await stage.store.operations.lease_counts() == {"worker:7": 1, "executor:1": 1}


async def test_who_drains_finishes_and_gets_nothing(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    """Whichever executor was told, and also after the worker has hung up for a while."""
    word = WorkerWord("worker:1")
    await stage.store.operations.heartbeat("executor:1", [word])
    runner = await stage.claimed()
    await second_store.operations.drain("worker:1", draining=True)
    await stage.store.operations.heartbeat("executor:1", [])
    await second_store.operations.heartbeat("executor:2", [word])
    waiting = await stage.queued()
    assert await stage.claim("worker:1", slots=5) == []
    await runner.complete()
    assert await stage.status(runner.id) == "completed"
    assert (await stage.store.operations.live_workers())[0].draining
    assert not (await stage.store.operations.drain("worker:1", draining=False)).draining
    assert [one.execution_id for one in await stage.claim("worker:1")] == [waiting]
    with pytest.raises(WorkerNotFound):
        await stage.store.operations.drain("worker:2", draining=True)


async def test_requeueing_locks_the_runner_out_and_keeps_the_place(stage: Stage) -> None:
    runner = await stage.claimed()
    later = await stage.queued()
    move = await stage.store.requeue(runner.id)
    assert (move.changed, move.record.status, move.record.epoch) == (True, "pending", runner.epoch + 1)
    assert (await runner.step()).outcome is ReportOutcome.LEASE_LOST
    assert runner.id in stage.bells()
    assert [one.execution_id for one in await stage.claim("worker:2", slots=2)] == [runner.id, later]


async def test_requeueing_moves_who_is_pending_to_the_front_only_when_told(stage: Stage) -> None:
    urgent = await stage.queued(priority=0)
    low = await stage.queued(priority=9)
    assert not (await stage.store.requeue(low)).changed
    assert (await stage.store.requeue(low, first=True)).changed
    assert [one.execution_id for one in await stage.claim(slots=2)] == [low, urgent]


async def test_requeueing_does_what_control_asked_for(stage: Stage) -> None:
    paused, cancelled = await stage.claimed(), await stage.claimed()
    immediate = await stage.immediate()
    await stage.store.pause(paused.id, "")
    await stage.store.cancel(cancelled.id, "")
    for runner, status in ((paused, "paused"), (cancelled, "cancelled"), (immediate, "pending")):
        assert (await stage.store.requeue(runner.id)).record.status == status
    assert await stage.types(immediate.id) == ["execution.created", "execution.promoted"]
    assert not (await stage.store.requeue(cancelled.id)).changed


async def test_purging_cancels_what_the_conditions_find_and_nothing_else(stage: Stage) -> None:
    running = await stage.claimed(workflow_id="a")
    kept = await stage.queued(workflow_id="b", priority=1)
    elsewhere = await stage.queued(workflow_id="a", namespace="other")
    slash = await stage.queued(workflow_id="b", slot=SlotPolicy("b/x/k", 1))
    gone = [await stage.queued(workflow_id="a") for _ in range(3)]
    gone.append(await stage.queued(workflow_id="b", slot=SlotPolicy("b/k", 1)))
    of_a, of_key = PurgeFilter(workflow_id="a"), PurgeFilter(key="k")
    assert await stage.store.would_purge(of_a) == gone[:3]
    assert await stage.store.purge(of_a, 2, "wrong input") == gone[:2]
    assert await stage.store.purge(of_a, 2, "wrong input") == gone[2:3]
    assert await stage.store.purge(of_key, 9, "") == gone[3:]
    assert await stage.types(gone[0]) == [
        "execution.created", "execution.cancelRequested", "execution.cancelled",
    ]  # fmt: skip
    for execution_id in (kept, elsewhere, slash):
        assert (await stage.store.namespace_of(execution_id)) in ("default", "other")
    left = stage.execute("SELECT id FROM workflow_executions WHERE status = 'pending'")
    assert {row[0] for row in left} == {kept, elsewhere, slash}
    assert await stage.status(running.id) == "running"
    assert await stage.store.purge(PurgeFilter(priority=1), 9, "") == [kept]
    stage.pass_time(10)
    late = await stage.queued()
    assert await stage.store.would_purge(PurgeFilter(created_before=stage.now)) == [slash]
    assert late in await stage.store.would_purge(PurgeFilter())


async def test_the_queue_tells_which_keys_are_waited_for(stage: Stage) -> None:
    slot, rate = SlotPolicy("orders/acme", 1), RatePolicy("orders/mails", 2, 60_000)
    await stage.immediate(slot=slot)
    for _ in range(3):
        await stage.queued(slot=slot)
    await stage.immediate(rate=rate)
    await stage.queued(rate=rate)
    await stage.queued()
    queue = await stage.store.operations.queue("default", every_namespace=False)
    assert (queue.pending, queue.ready) == (5, 1)
    assert [(key.kind, key.key, key.limit, key.taken, key.waiting) for key in queue.keys] == [
        ("concurrency", "acme", 1, 1, 3),
        ("rateLimit", "mails", 2, 1, 1),
    ]
    assert queue.keys[1].period_ms == 60_000


async def test_what_nobody_noticed_is_found(stage: Stage) -> None:
    await stage.claimed()
    stage.pass_time(89)
    assert await stage.store.operations.overdue_leases() == 0
    stage.pass_time(2)
    assert await stage.store.operations.overdue_leases() == 1
    await stage.queued(needs=("acme.crm",))
    assert await stage.store.operations.needs_of_ready() == [("acme.crm",)]
    assert await stage.store.operations.schema() == needed_revision()
