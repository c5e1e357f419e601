"""The conflict policy of a workflow, decided inside the start."""

from __future__ import annotations

import asyncio

import pytest

from flow_engine.errors import WorkflowRunning
from flow_engine.interpreter.events import ExecutionCancelRequested
from services.executor.persistence.contract import ImmediateRun, NewExecution, Started
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import Stage


async def outcome(store: SqlExecutionPersistence, new: NewExecution) -> Started | str:
    """How the start was answered; of a refused one the live execution."""
    try:
        return await store.create(new)
    except WorkflowRunning as refused:
        return str(refused.details["executionId"])


async def test_of_many_starts_at_once_exactly_one_wins(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    news = [stage.new(on_conflict="reject") for _ in range(12)]
    stores = [stage.store, second_store]

    outcomes = await asyncio.gather(*(outcome(stores[n % 2], new) for n, new in enumerate(news)))

    (winner,) = [found for found in outcomes if isinstance(found, Started)]
    assert winner.created
    assert {found for found in outcomes if isinstance(found, str)} == {winner.execution_id}


async def test_all_starts_at_once_are_answered_with_the_one_that_is_there(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    news = [stage.new(on_conflict="use_existing", request_id=f"r{n}", request_hash="h") for n in range(12)]
    stores = [stage.store, second_store]

    answers = await asyncio.gather(*(stores[n % 2].create(new) for n, new in enumerate(news)))

    assert len({answer.execution_id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    # A repeated call gets the same answer, also when that execution has ended since.
    (claimed,) = await stage.claim()
    await stage.runner(claimed).complete()
    again = await stage.store.create(stage.new(on_conflict="use_existing", request_id="r7", request_hash="h"))
    assert (again.execution_id, again.created) == (answers[0].execution_id, False)


async def test_a_start_can_take_the_place_of_those_before_it(stage: Stage) -> None:
    waiting = await stage.waiting()
    runner = await stage.claimed()
    new = stage.new("immediate", on_conflict="cancel_existing")

    started = await stage.store.create(new, ImmediateRun("executor:1"))

    assert started.created
    assert set(started.replaced) == {waiting, runner.id}
    assert await stage.status(waiting) == "cancelled"
    record = await stage.record(runner.id)
    assert (record.status, record.pending_control) == ("running", "cancel")
    asked = (await stage.history(runner.id))[-1]
    assert isinstance(asked, ExecutionCancelRequested)
    assert asked.reason == f"replaced by {new.id}"


async def test_of_many_starts_that_replace_one_another_one_is_left(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    news = [stage.new(on_conflict="cancel_existing") for _ in range(8)]
    stores = [stage.store, second_store]

    await asyncio.gather(*(stores[n % 2].create(new) for n, new in enumerate(news)))

    assert sorted([await stage.status(new.id) for new in news]) == ["cancelled"] * 7 + ["pending"]


@pytest.mark.parametrize("policy", ["reject", "use_existing", "cancel_existing"])
async def test_other_workflows_and_ended_executions_are_no_conflict(stage: Stage, policy: str) -> None:
    runner = await stage.claimed()
    await runner.complete()
    await stage.queued(workflow_id="invoices")

    started = await stage.store.create(stage.new(on_conflict=policy))

    assert (started.created, started.replaced) == (True, ())
