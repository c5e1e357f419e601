"""Reading what is committed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flow_engine.errors import ExecutionNotFound, ValueNotFound
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import ExecutionFailed, Failure
from flow_engine.interpreter.journal import GiveUp
from flow_engine.payload import encode
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


async def test_many_look_at_once_and_each_sees_its_own(stage: Stage) -> None:
    ids = [await stage.waiting() for _ in range(3)]
    elsewhere = stage.new(namespace="other")
    await stage.store.create(elsewhere)
    *found, refused, other = await asyncio.gather(
        *(stage.store.look(execution_id) for execution_id in ids),
        stage.store.look(elsewhere.id),
        stage.store.look(elsewhere.id, "other"),
        return_exceptions=True,
    )
    assert isinstance(refused, ExecutionNotFound)
    for execution_id, seen in zip([*ids, elsewhere.id], [*found, other], strict=True):
        assert not isinstance(seen, BaseException)
        record, batches = seen
        assert record == await stage.store.get(execution_id, record.namespace)
        assert batches == await stage.store.events(execution_id, 0, 100, record.namespace)


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


async def test_executions_are_found_by_how_they_ended(stage: Stage) -> None:
    async def ended(seconds: float, failure: Failure | None = None, **more: Any) -> ExecutionId:
        runner = await stage.claimed(**more)
        stage.pass_time(seconds)
        if failure is None:
            await runner.complete()
        else:
            give_up = GiveUp("failed", error=encode(failure))
            await runner.give_up(give_up, ExecutionFailed(time=stage.now, error=failure))
        return runner.id

    quick = await ended(0.0)
    short = await ended(0.5, tags=("x",))
    broken = await ended(3, Failure("BROKEN", "Connection to 10%_\\host refused"), tags=("x", "y"))
    long = await ended(7200, Failure("TIMEOUT", "took too long"))
    await stage.store.cancel(await stage.queued(), "never began")

    async def found(**where: Any) -> set[str]:
        records = await stage.store.list(ExecutionFilter(**where), 100)
        assert await stage.store.count(ExecutionFilter(**where), 100) == len(records)
        return {record.id for record in records}

    assert await found(max_duration_ms=0) == {quick}
    assert await found(min_duration_ms=0) == {quick, short, broken, long}
    assert await found(min_duration_ms=500, max_duration_ms=3000) == {short, broken}
    assert await found(min_duration_ms=501, max_duration_ms=2999) == set()
    assert await found(min_duration_ms=3001) == {long}
    assert await found(error_code="BROKEN") == {broken}
    assert await found(error_text="connection TO 10%_\\") == {broken}
    assert await found(error_text="_", error_code="TIMEOUT") == set()
    assert await found(error_text="too long", min_duration_ms=7200_000, workflow_id="orders") == {long}
    assert await found(tags=("x",), error_code="BROKEN") == {broken}
    assert await found(tags=("x",), max_duration_ms=500, statuses=("completed",)) == {short}
    assert await found(tags=("y",), error_text="refused", statuses=("failed",), mode="queued") == {broken}
    assert await found(tags=("y", "x"), min_duration_ms=3000, workflow_id="orders") == {broken}
    assert await found(tags=("y",), statuses=("completed",)) == set()
    assert await found(error_code="BROKEN", namespace="other") == set()
    assert await stage.store.count(ExecutionFilter(), 2) == 3


async def test_pages_of_a_union_of_searches_have_no_gap_and_no_double(stage: Stage) -> None:
    ids = set()
    for n in range(12):
        if n % 3 == 0:
            stage.pass_time(1)
        ids.add((await stage.immediate(workflow_id="a")).id if n % 2 else await stage.queued(workflow_id="a"))
    where, before, paged = ExecutionFilter(workflow_id="a"), None, list[ExecutionId]()
    while page := await stage.store.list(where, 5, before):
        paged.extend(record.id for record in page)
        before = (page[-1].created_at, page[-1].id)
    assert (len(paged), set(paged)) == (12, ids)
    assert paged == [record.id for record in await stage.store.list(ExecutionFilter(), 100)]


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
