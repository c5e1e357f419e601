"""Reading what is committed."""

from __future__ import annotations

import pytest

from flow_engine.errors import ExecutionNotFound, ValueNotFound
from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import ExecutionFilter
from tests.integration.persistence.stage import START, Stage


async def test_the_list_is_newest_first_and_pages_without_gap_or_double(stage: Stage) -> None:
    ids = []
    for n in range(7):
        if n % 2:
            stage.pass_time(1)  # some were created in the same instant
        ids.append(await stage.queued())
    everything = [record.id for record in await stage.store.list(ExecutionFilter(), 100)]
    assert sorted(everything) == sorted(ids)
    paged: list[ExecutionId] = []
    before = None
    while page := await stage.store.list(ExecutionFilter(), 2, before):
        paged.extend(record.id for record in page)
        before = (page[-1].created_at, page[-1].id)
    assert paged == everything
    created = [record.created_at for record in await stage.store.list(ExecutionFilter(), 100)]
    assert created == sorted(created, reverse=True)


async def test_the_list_filters(stage: Stage) -> None:
    runner = await stage.claimed(workflow_id="a", tags=("x", "y"))
    await runner.complete()
    stage.pass_time(10)
    pending = await stage.queued(workflow_id="b", tags=("y", "q\"uo'te%"))
    immediate = (await stage.immediate(workflow_id="b")).id
    elsewhere = stage.new(namespace="other")
    await stage.store.create(elsewhere)

    async def found(**where: object) -> set[str]:
        return {record.id for record in await stage.store.list(ExecutionFilter(**where), 100)}  # type: ignore[arg-type]

    assert await found() == {runner.id, pending, immediate}
    assert await found(namespace="other") == {elsewhere.id}
    assert await found(workflow_id="b") == {pending, immediate}
    assert await found(statuses=("completed", "pending")) == {runner.id, pending}
    assert await found(mode="immediate") == {immediate}
    assert await found(tags=("y",)) == {runner.id, pending}
    assert await found(tags=("y", "x")) == {runner.id}
    assert await found(tags=("q\"uo'te%",)) == {pending}
    assert await found(tags=("%",)) == set()
    assert await found(created_after=START) == {pending, immediate}
    assert await found(created_before=stage.now) == {runner.id}


async def test_the_list_leaves_results_out(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.complete()
    (listed,) = await stage.store.list(ExecutionFilter(), 10)
    assert listed.result is None
    assert (await stage.record(runner.id)).result == b'{"output":1,"steps":[]}'


async def test_events_come_in_whole_batches_from_the_cursor_on(stage: Stage) -> None:
    runner = await stage.claimed()
    for _ in range(5):
        await runner.step()  # two events each, from 3 on

    async def bounds(after: int, limit: int = 1000) -> list[tuple[int, int]]:
        batches = await stage.store.events(runner.id, after, limit)
        return [(batch.first_sequence, batch.last_sequence) for batch in batches]

    assert await bounds(0) == [(1, 1), (2, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)]
    assert await bounds(5) == [(5, 6), (7, 8), (9, 10), (11, 12)]
    assert await bounds(2, limit=3) == [(3, 4), (5, 6)]
    assert await bounds(2, limit=1) == [(3, 4)]
    assert await bounds(12) == []
    cursor, seen = 0, []
    while page := await bounds(cursor, 2):
        seen.extend(page)
        cursor = page[-1][1]
    assert seen == await bounds(0)


async def test_last_sequences_of_many_are_one_question(stage: Stage) -> None:
    runner = await stage.claimed()
    pending = await stage.queued()
    unknown = ExecutionId("unknown")
    assert await stage.store.last_sequences([runner.id, pending, unknown]) == {
        runner.id: (2, "running"),
        pending: (1, "pending"),
    }
    assert await stage.store.last_sequences([]) == {}


async def test_what_is_not_there_says_so(stage: Stage) -> None:
    with pytest.raises(ExecutionNotFound):
        await stage.record(ExecutionId("unknown"))
    for read in (stage.store.definition("unknown"), stage.store.payload("unknown")):
        with pytest.raises(ValueNotFound):
            await read
    assert await stage.store.events(ExecutionId("unknown"), 0) == []
    assert await stage.store.queue_position(ExecutionId("unknown")) == 0
