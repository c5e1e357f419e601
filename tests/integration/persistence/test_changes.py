"""The stream over all executions: one order, and nothing ever appears behind a reader."""

from __future__ import annotations

import asyncio
from typing import Any

from flow_engine.interpreter.events import StepSkipped
from services.executor.persistence.contract import Change, ChangeFilter, Place
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.persistence.tables import definitions
from services.executor.persistence.transaction import Transaction
from tests.integration.persistence.stage import Stage

BEGINNING = Place(0, "", 0)


async def changes(store: SqlExecutionPersistence, after: Place = BEGINNING, **where: Any) -> list[Change]:
    """All that follow, by small pages."""
    found: list[Change] = []
    while True:
        page = await store.changes(after, ChangeFilter(**where), 2)
        assert page.reached >= after
        found += page.changes
        after = page.reached
        if not page.more:
            return found


async def test_a_change_tells_how_its_execution_stands_after_it(stage: Stage) -> None:
    head = await stage.store.change_head()
    runner = await stage.claimed()
    await runner.report(*stage.step_events("a"), StepSkipped(time=stage.now, node_id="b"))
    await runner.complete()
    found = await changes(stage.store, head)
    assert [(change.status, change.last_sequence, change.finished_steps) for change in found] == [
        ("pending", 1, 0),
        ("running", 2, 0),
        ("running", 5, 2),
        ("completed", 6, 2),
    ]
    assert {(change.workflow_id, change.mode, change.node_count) for change in found} == {
        ("orders", "queued", 1)
    }
    assert [change.place for change in found] == sorted(change.place for change in found)
    assert await changes(stage.store, await stage.store.change_head()) == []


async def test_filters_choose_by_execution_and_by_how_it_stands(stage: Stage) -> None:
    runner = await stage.claimed(workflow_id="a", tags=("x",))
    await runner.complete()
    immediate = await stage.immediate(workflow_id="b", tags=("x", "y"))
    await stage.store.create(stage.new(namespace="other"))

    async def found(**where: Any) -> list[tuple[str, str]]:
        return [(change.workflow_id, change.status) for change in await changes(stage.store, **where)]

    of_a = [("a", "pending"), ("a", "running"), ("a", "completed")]
    assert await found() == [*of_a, ("b", "running")]
    assert await found(workflow_id="a") == of_a
    assert await found(statuses=("completed", "pending")) == [of_a[0], of_a[2]]
    assert await found(mode="immediate", tags=("x",)) == [("b", "running")]
    assert await found(tags=("y", "x")) == [("b", "running")]
    assert await found(namespace="other") == [("orders", "pending")]
    assert immediate.id


async def test_many_writers_at_once_and_a_reader_from_place_to_place_misses_nothing(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    total = 60
    seen: list[Place] = []

    async def read() -> None:
        place = BEGINNING
        while len(seen) < total:
            page = await stage.store.changes(place, ChangeFilter(), 7)
            place = page.reached
            seen.extend(change.place for change in page.changes)
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    stores = (stage.store, second_store)
    await asyncio.gather(*(stores[n % 2].create(stage.new()) for n in range(total)))
    async with asyncio.timeout(20):
        await reader
    assert len(set(seen)) == total
    assert seen == sorted(seen)
    assert seen == [change.place for change in await changes(stage.store)]


async def test_what_commits_late_still_comes_after_what_was_read(stage: Stage) -> None:
    """A transaction that began first and commits last holds back those that began after it."""
    if stage.is_sqlite:
        return  # one transaction at a time
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(transaction: Transaction) -> None:
        await transaction.serialize("slow")
        rows = [("default", "x", b"x")]
        await transaction.insert(definitions, ("namespace", "hash", "definition"), rows)
        await transaction.flush()
        begun.set()
        await go_on.wait()

    writing = asyncio.create_task(stage.store.database.write(slow))
    await begun.wait()
    quick = await stage.queued()
    page = await stage.store.changes(BEGINNING, ChangeFilter(), 10)
    assert (page.changes, page.unsettled) == ([], True)
    go_on.set()
    await writing
    assert [change.place.execution_id for change in await changes(stage.store)] == [quick]


async def test_a_place_is_not_given_again_after_the_newest_was_deleted(stage: Stage) -> None:
    await stage.queued()
    head = await stage.store.change_head()
    stage.clear()
    later = await stage.queued()
    assert [change.place.execution_id for change in await changes(stage.store, head)] == [later]
