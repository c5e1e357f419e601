"""What operators are told: workers with heartbeats, the queue by its parts."""

from __future__ import annotations

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
