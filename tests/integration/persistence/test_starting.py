"""PROTOCOL 1: accepted means committed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from flow_engine.errors import ExecutionNotFound, IdempotencyConflict
from flow_engine.interpreter.events import (
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionCreated,
    ExecutionForked,
    ExecutionPromoted,
    KeptStep,
    StepCompleted,
    StepStarted,
)
from flow_engine.interpreter.journal import Entry, GiveUp
from services.executor.persistence.contract import ImmediateRun
from services.executor.persistence.database import NotStorable
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.retention import RetentionSweeper, parse_retention
from tests.integration.persistence.stage import DEFINITION, START, Stage, completed

BIG = 2**53 + 1


async def test_a_queued_start_commits_row_event_and_bell(stage: Stage) -> None:
    new = stage.new(value={"n": BIG}, tags=("a", "b"), timeout_ms=60_000)
    started = await stage.store.create(new)
    assert started.created
    record = await stage.record(new.id)
    assert (record.status, record.mode, record.epoch, record.last_sequence) == ("pending", "queued", 0, 1)
    assert record.created_at == record.pending_since == START
    assert record.deadline_at == started.deadline_at == START + timedelta(seconds=60)
    assert record.tags == ("a", "b")
    assert record.complexity == b'{"nodeCount":1}'
    assert record.root_id == new.id
    assert stage.bells() == {new.id}
    (created,) = await stage.history(new.id)
    assert isinstance(created, ExecutionCreated)
    assert (created.sequence, created.input, created.deadline_at) == (1, {"n": BIG}, record.deadline_at)
    assert await stage.store.definition("definition") == DEFINITION


async def test_a_large_input_is_stored_by_its_hash(stage: Stage) -> None:
    new = stage.new(value="x" * 5000)
    await stage.store.create(new)
    assert await stage.store.payload((await stage.record(new.id)).input_hash) == new.input.text


async def test_an_immediate_start_is_leased_to_its_executor(stage: Stage) -> None:
    runner = await stage.immediate("executor:7")
    record = await stage.record(runner.id)
    assert (record.status, record.mode, record.epoch) == ("running", "immediate", 1)
    assert (record.lease_owner, record.lease_expires_at) == ("executor:7", START + timedelta(seconds=10))
    assert record.started_at == START
    assert stage.bells() == set()
    assert (await runner.step()).first_sequence == 2
    assert (await runner.complete()).last_sequence == 4
    assert await stage.status(runner.id) == "completed"


async def test_a_deferred_first_commit_holds_the_whole_run(stage: Stage) -> None:
    began = stage.now
    entry = Entry(
        [
            StepStarted(time=began, node_id="a"),
            StepCompleted(time=began + timedelta(milliseconds=20), node_id="a", output=BIG),
            ExecutionCompleted(time=began + timedelta(milliseconds=20), output=BIG),
        ],
        give_up=completed(),
    )
    new = stage.new("immediate")
    stage.pass_time(0.05)
    started = await stage.store.create(new, ImmediateRun("executor:1", entry))
    assert started.first_sequence == 2
    record = await stage.record(new.id)
    assert (record.status, record.last_sequence, record.result) == (
        "completed",
        4,
        b'{"output":1,"steps":[]}',
    )
    assert (record.created_at, record.completed_at) == (began, stage.now)
    assert [event.time for event in await stage.history(new.id)][:2] == [began, began]


async def test_a_first_commit_may_promote(stage: Stage) -> None:
    runner = await stage.immediate(
        first=Entry(
            [ExecutionPromoted(time=stage.now, reason="waiting")],
            give_up=GiveUp(
                "waiting", wake_at=stage.now + timedelta(hours=1), wake_timer="a#1", all_waiting=True
            ),
        )
    )
    record = await stage.record(runner.id)
    assert (record.status, record.mode, record.lease_owner) == ("waiting", "queued", "")


async def test_starting_again_with_the_same_id_changes_nothing(stage: Stage) -> None:
    new = stage.new()
    first = await stage.store.create(new)
    again = await stage.store.create(new)
    assert again.created
    assert again.execution_id == first.execution_id
    assert await stage.types(new.id) == ["execution.created"]


async def test_starting_an_immediate_run_again_gives_the_same_sequences(stage: Stage) -> None:
    new, entry = stage.new("immediate"), Entry([StepStarted(time=stage.now, node_id="a")])
    run = ImmediateRun("executor:1", entry)
    assert await stage.store.create(new, run) == await stage.store.create(new, run)


async def test_a_request_id_starts_once(stage: Stage, second_store: SqlExecutionPersistence) -> None:
    starts = [stage.new(request_id="r", request_hash="h") for _ in range(8)]
    started = await asyncio.gather(
        *((stage.store if n % 2 else second_store).create(new) for n, new in enumerate(starts))
    )
    assert len({answer.execution_id for answer in started}) == 1
    assert sum(answer.created for answer in started) == 1
    assert len(stage.execute("SELECT id FROM workflow_executions")) == 1
    assert await stage.store.find_start("r", "h") == started[0].execution_id
    assert await stage.store.find_start("unknown", "h") is None


async def test_a_request_id_with_another_body_is_refused(stage: Stage) -> None:
    await stage.store.create(stage.new(request_id="r", request_hash="h"))
    with pytest.raises(IdempotencyConflict):
        await stage.store.create(stage.new(request_id="r", request_hash="other"))
    with pytest.raises(IdempotencyConflict):
        await stage.store.find_start("r", "other")


async def test_a_request_id_is_free_again_after_a_day(stage: Stage) -> None:
    first = await stage.store.create(stage.new(request_id="r", request_hash="h"))
    stage.pass_time(24 * 3600)
    assert await stage.store.find_start("r", "h") is None
    second = await stage.store.create(stage.new(request_id="r", request_hash="other"))
    assert second.created
    assert second.execution_id != first.execution_id


async def test_request_ids_of_yesterday_are_forgotten(stage: Stage) -> None:
    await stage.store.create(stage.new(request_id="old", request_hash="h"))
    stage.pass_time(12 * 3600)
    await stage.store.create(stage.new(request_id="young", request_hash="h"))
    stage.pass_time(12 * 3600)
    await RetentionSweeper(parse_retention(""), stage.store.retention, stage.store, 600.0).turn()
    assert stage.execute("SELECT request_id FROM idempotency_keys") == [("young",)]


async def test_request_ids_belong_to_their_namespace(stage: Stage) -> None:
    first = await stage.store.create(stage.new(request_id="r", request_hash="h"))
    other = await stage.store.create(stage.new(request_id="r", request_hash="h", namespace="other"))
    assert other.created
    assert (await stage.store.get(other.execution_id, "other")).namespace == "other"
    with pytest.raises(ExecutionNotFound):
        await stage.store.get(other.execution_id)
    with pytest.raises(ExecutionNotFound):
        await stage.store.cancel(first.execution_id, "", "other")


async def test_a_second_retry_while_one_is_live_is_that_one(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    runner = await stage.claimed()
    await runner.give_up(GiveUp("cancelled"), ExecutionCancelled(time=stage.now))

    retries = [
        stage.new(retry_of=runner.id, forked=ExecutionForked(time=stage.now, kept=(KeptStep(node_id="a"),)))
        for _ in range(6)
    ]
    started = await asyncio.gather(
        *((stage.store if n % 2 else second_store).create(new) for n, new in enumerate(retries))
    )
    (the_one,) = {answer.execution_id for answer in started}
    assert sum(answer.created for answer in started) == 1
    assert await stage.types(the_one) == ["execution.created", "execution.forked"]
    assert (await stage.record(the_one)).retry_of == runner.id
    await stage.store.cancel(the_one, "")
    assert (await stage.store.create(stage.new(retry_of=runner.id))).created


async def test_one_bad_start_does_not_take_others_with_it(stage: Stage) -> None:
    good = [stage.new() for _ in range(4)]
    bad = stage.new(workflow_id="a\x00b")
    answers = await asyncio.gather(
        *(stage.store.create(new) for new in (*good[:2], bad, *good[2:])), return_exceptions=True
    )
    assert [await stage.status(new.id) for new in good] == ["pending"] * 4
    if not stage.is_sqlite:
        assert isinstance(answers[2], NotStorable)


async def test_a_live_state_and_its_lease_are_one(stage: Stage) -> None:
    execution_id = await stage.queued()
    for broken in (
        "status = 'completed'",
        "completed_at = created_at",
        "status = 'running'",
        "lease_owner = 'worker:1'",
        "pending_control = 'cancel'",
        "execution_mode = 'immediate'",
        "wake_at = created_at",
        "error = '{}'",
        "priority = 10",
        "status = 'done'",
        "foreign_sequence = 9",
    ):
        with pytest.raises(Exception, match=r"(?i)constraint"):
            stage.execute(f"UPDATE workflow_executions SET {broken} WHERE id = '{execution_id}'")
