"""What is left when the database fails at any statement: everything or nothing, and it heals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy

from flow_engine.errors import Unavailable
from flow_engine.interpreter.events import ExecutionPromoted, ExecutionWaiting, StepCompleted
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import Payload
from services.executor.persistence.contract import ImmediateRun, ReportOutcome
from services.executor.persistence.migrating import migrate
from services.executor.persistence.sqlite import SqliteTransaction
from services.executor.persistence.store import SqlExecutionPersistence
from tests.infra.postgres import PostgresCluster
from tests.integration.persistence.faults import Faults
from tests.integration.persistence.stage import TABLES, Stage, completed

Operation = Callable[[Stage], Awaitable[Callable[[], Awaitable[None]]]]
"""Prepares, and gives what is to be done under faults. It checks its own outcome."""


async def create_queued(stage: Stage) -> Callable[[], Awaitable[None]]:
    new = stage.new(request_id="r", request_hash="h", value="x" * 5000)

    async def run() -> None:
        started = await stage.store.create(new)
        assert started.execution_id == new.id
        assert await stage.types(new.id) == ["execution.created"]
        assert stage.bells() == {new.id}

    return run


async def create_immediate(stage: Stage) -> Callable[[], Awaitable[None]]:
    entry = Entry([StepCompleted(time=stage.now, node_id="a")], snapshot=b"state")
    new = stage.new("immediate")

    async def run() -> None:
        started = await stage.store.create(new, ImmediateRun("executor:1", entry))
        assert (started.created, started.first_sequence) == (True, 2)
        assert await stage.types(new.id) == ["execution.created", "step.completed"]

    return run


async def report_step(stage: Stage) -> Callable[[], Awaitable[None]]:
    runner = await stage.claimed()

    async def run() -> None:
        reply = await runner.step()
        assert (reply.outcome, reply.first_sequence) == (ReportOutcome.OK, 3)
        assert len(await stage.history(runner.id)) == 4

    return run


async def give_up_waiting(stage: Stage) -> Callable[[], Awaitable[None]]:
    runner = await stage.claimed()

    async def run() -> None:
        reply = await runner.give_up(
            GiveUp("waiting", all_waiting=True), ExecutionWaiting(time=stage.now), snapshot=b"state"
        )
        assert reply.outcome is ReportOutcome.OK
        assert await stage.status(runner.id) == "waiting"

    return run


async def promote(stage: Stage) -> Callable[[], Awaitable[None]]:
    runner = await stage.immediate()

    async def run() -> None:
        reply = await runner.give_up(GiveUp("pending"), ExecutionPromoted(time=stage.now, reason="budget"))
        assert reply.outcome is ReportOutcome.OK
        assert stage.bells() == {runner.id}
        assert (await stage.types(runner.id)).count("execution.promoted") == 1

    return run


async def claim(stage: Stage) -> Callable[[], Awaitable[None]]:
    ids = {await stage.queued(), await stage.queued()}
    await stage.queued()

    async def run() -> None:
        claimed = await stage.claim(slots=2, claim_id="c")
        assert {execution.execution_id for execution in claimed} == ids
        assert {execution.epoch for execution in claimed} == {1}
        assert (await stage.store.queue_state(1000)).pending == 1

    return run


async def cancel(stage: Stage) -> Callable[[], Awaitable[None]]:
    execution_id = await stage.waiting()

    async def run() -> None:
        move = await stage.store.cancel(execution_id, "")
        assert move.record.status == "cancelled"
        assert (await stage.types(execution_id)).count("execution.cancelled") == 1

    return run


async def answer(stage: Stage) -> Callable[[], Awaitable[None]]:
    execution_id = await stage.waiting()
    sequence = (await stage.record(execution_id)).last_sequence

    async def run() -> None:
        record = await stage.store.signal(execution_id, "ask", (), 1, Payload.of(1), sequence)
        assert record is not None
        assert record.status == "pending"
        assert stage.bells() == {execution_id}
        assert (await stage.types(execution_id)).count("signal.received") == 1

    return run


async def swept(stage: Stage, sweep: Callable[[], Awaitable[object]]) -> None:
    """A turn passes by what a lost transaction holds until the server has noticed; the one after finds it."""
    if not await sweep() and not stage.is_sqlite:
        stage.execute("SELECT FROM workflow_executions FOR UPDATE")  # waits until it has
        await sweep()


async def expire(stage: Stage) -> Callable[[], Awaitable[None]]:
    runner = await stage.immediate()
    stage.pass_time(11)

    async def run() -> None:
        await swept(stage, stage.store.expire_leases)
        record = await stage.record(runner.id)
        assert (record.status, record.epoch) == ("pending", 2)
        assert (await stage.types(runner.id)).count("execution.promoted") == 1

    return run


async def wake(stage: Stage) -> Callable[[], Awaitable[None]]:
    execution_id = await stage.waiting(wake_in=1)
    stage.pass_time(1)

    async def run() -> None:
        await swept(stage, stage.store.wake_due)
        assert await stage.status(execution_id) == "pending"
        assert (await stage.types(execution_id)).count("timer.fired") == 1

    return run


async def order_child(stage: Stage) -> Callable[[], Awaitable[None]]:
    parent = await stage.claimed()
    child = stage.child(parent)

    async def run() -> None:
        reply = await parent.report(stage.child_started(child))
        assert reply.outcome is ReportOutcome.OK
        assert (await stage.types(parent.id)).count("child.started") == 1
        assert stage.signals() == {("start", "")}

    return run


async def start_child(stage: Stage) -> Callable[[], Awaitable[None]]:
    parent = await stage.claimed()
    child = stage.child(parent)
    await parent.report(stage.child_started(child))

    async def run() -> None:
        assert (await stage.store.create(child)).created
        assert await stage.types(child.id) == ["execution.created"]
        assert stage.bells() == {child.id}
        assert stage.signals() == set()

    return run


async def end_child(stage: Stage) -> Callable[[], Awaitable[None]]:
    _, child = await stage.with_child()
    (claimed,) = await stage.claim()
    runner = stage.runner(claimed)

    async def run() -> None:
        assert (await runner.complete()).outcome is ReportOutcome.OK
        assert await stage.status(child.id) == "completed"
        assert stage.signals() == {("finished", "")}

    return run


async def tell_parent(stage: Stage) -> Callable[[], Awaitable[None]]:
    parent, child = await stage.with_child()
    await stage.ended(child.id)

    async def run() -> None:
        await stage.store.finish_children(parent.id, [child.id])
        assert await stage.status(parent.id) == "pending"
        assert (await stage.types(parent.id)).count("child.finished") == 1
        assert stage.bells() == {parent.id}
        assert stage.signals() == set()

    return run


async def cancel_parent(stage: Stage) -> Callable[[], Awaitable[None]]:
    parent, _ = await stage.with_child()

    async def run() -> None:
        assert (await stage.store.cancel(parent.id, "")).record.status == "cancelled"
        assert stage.signals() == {("control", "cancel")}

    return run


async def cancel_child(stage: Stage) -> Callable[[], Awaitable[None]]:
    parent, child = await stage.with_child()
    await stage.store.cancel(parent.id, "")
    (signal,) = await stage.store.take_signals(10)

    async def run() -> None:
        await stage.store.control_children(signal)
        assert await stage.status(child.id) == "cancelled"
        assert (await stage.types(child.id)).count("execution.cancelled") == 1
        assert stage.signals() == {("finished", "")}

    return run


async def release_items(stage: Stage) -> Callable[[], Awaitable[None]]:
    parent = await stage.claimed()
    await parent.report(*(stage.item_started(stage.item(parent, n, "failed"), 2, "failed") for n in range(4)))
    (release,) = await stage.store.take_signals(10)

    async def run() -> None:
        await stage.store.control_children(release)
        rows = stage.execute("SELECT place FROM outbox_signals WHERE NOT held ORDER BY 1")
        assert rows == [(0,), (1,)]

    return run


async def end_item(stage: Stage) -> Callable[[], Awaitable[None]]:
    parent = await stage.claimed()
    children = [stage.item(parent, n, "failed") for n in range(4)]
    await parent.report(*(stage.item_started(child, 1, "failed") for child in children))
    await parent.give_up(GiveUp("waiting", all_waiting=True), ExecutionWaiting(time=stage.now))
    await stage.relayed()
    await stage.store.create(children[0])
    await stage.ended(children[0].id)

    async def run() -> None:
        await stage.store.finish_children(parent.id, [children[0].id])
        assert (await stage.types(parent.id)).count("child.finished") == 1
        assert await stage.status(parent.id) == "waiting"
        rows = stage.execute("SELECT place FROM outbox_signals WHERE NOT held ORDER BY 1")
        assert rows == [(1,)]

    return run


OPERATIONS: list[Operation] = [
    create_queued,
    create_immediate,
    report_step,
    give_up_waiting,
    promote,
    claim,
    cancel,
    answer,
    expire,
    wake,
    order_child,
    start_child,
    end_child,
    tell_parent,
    cancel_parent,
    cancel_child,
    release_items,
    end_item,
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_fault_at_any_statement_is_repaired_by_repeating(
    stage: Stage, operation: Operation, after: bool
) -> None:
    at = 0
    while True:
        run = await operation(stage)
        with Faults(at, after=after).injected() as faults:
            await run()
        if not faults.happened:
            break
        stage.audit()
        stage.clear()
        at += 1
    assert at >= 4


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_a_database_that_stays_away_is_unavailable_and_nothing_happened(
    stage: Stage, operation: Operation
) -> None:
    run = await operation(stage)
    before = _tables(stage)
    with Faults(2, after=True, times=1000).injected(), pytest.raises(Unavailable):
        await run()
    assert _tables(stage) == before
    await run()


async def test_terminated_connections_are_replaced(stage: Stage) -> None:
    if stage.is_sqlite:
        return
    runner = await stage.claimed()
    for _ in range(3):
        _terminate(stage)
        assert (await runner.step()).outcome is ReportOutcome.OK
        _terminate(stage)
        assert await stage.status(runner.id) == "running"


async def test_connections_terminated_under_load_lose_and_double_nothing(stage: Stage) -> None:
    if stage.is_sqlite:
        return
    runners = [await stage.immediate() for _ in range(8)]
    progress = asyncio.Semaphore(0)

    async def terminate() -> None:
        while True:
            for _ in range(5):
                await progress.acquire()
            await asyncio.to_thread(_terminate, stage)

    async def work(number: int) -> None:
        runner = runners[number]
        for step in range(8):
            report = runner.next_report(StepCompleted(time=stage.now, node_id=f"s{step}"))
            while True:
                try:
                    reply = await runner.send(report)
                    break
                except Unavailable:
                    continue
            assert (reply.outcome, reply.first_sequence) == (ReportOutcome.OK, step + 2)
            progress.release()

    killer = asyncio.create_task(terminate())
    try:
        await asyncio.gather(*(work(number) for number in range(8)))
    finally:
        killer.cancel()
    for runner in runners:
        assert len(await stage.history(runner.id)) == 9


async def test_a_crashed_server_is_unavailable_and_back_without_a_restart_of_ours() -> None:
    cluster = PostgresCluster(durable=True)
    try:
        await asyncio.to_thread(cluster.start)
        url = cluster.create_database()
        migrate(url)
        store = SqlExecutionPersistence(url)
        await store.start()
        stage = Stage(url, store)
        stage.now = await store.ping()
        runner = await stage.immediate()
        await runner.step()
        await asyncio.to_thread(cluster.crash)
        with pytest.raises(Unavailable):
            await runner.step("b")
        with pytest.raises(Unavailable):
            await store.ping()
        await asyncio.to_thread(cluster.start)
        assert (await runner.step("b")).first_sequence == 4
        assert (await runner.give_up(completed())).outcome is ReportOutcome.OK
        await store.stop()
    finally:
        await asyncio.to_thread(cluster.remove)


async def test_a_full_sqlite_disk_is_unavailable_and_leaves_no_half_event(stage: Stage) -> None:
    if not stage.is_sqlite:
        return
    runner = await stage.claimed()
    ((pages,),) = stage.execute("PRAGMA page_count")
    event = StepCompleted(time=stage.now, node_id="a", output="x" * 200_000)
    with _pages_limited(stage, pages), pytest.raises(Unavailable, match="full"):
        await runner.report(event)
    assert len(await stage.history(runner.id)) == 2
    assert (await runner.report(event)).outcome is ReportOutcome.OK


@contextmanager
def _pages_limited(stage: Stage, pages: int) -> Iterator[None]:
    """A disk that is full: for every connection from its first transaction on."""
    begin = SqliteTransaction.begin

    async def limited(transaction: SqliteTransaction) -> None:
        await transaction.execute(sqlalchemy.text(f"PRAGMA max_page_count = {pages}"))
        await begin(transaction)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteTransaction, "begin", limited)
        yield


def _tables(stage: Stage) -> list[list[tuple[Any, ...]]]:
    return [sorted(stage.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES]


def _terminate(stage: Stage) -> None:
    stage.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
