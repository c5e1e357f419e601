"""PROTOCOL 11 and 14: pause, resume, cancel, answer; each safe to repeat."""

from __future__ import annotations

import asyncio

import pytest

from flow_engine.errors import AlreadyAnswered, ExecutionNotFound, NotWaiting
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import (
    ExecutionCancelRequested,
    ExecutionPaused,
    SignalReceived,
    TimerFired,
)
from flow_engine.interpreter.journal import GiveUp
from flow_engine.payload import Payload
from services.executor.persistence.contract import TERMINAL, ReportOutcome
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import Stage

NOBODY = ExecutionId("00000000-0000-7000-8000-000000000000")


async def test_pausing_a_pending_execution_takes_it_from_the_queue(stage: Stage) -> None:
    execution_id = await stage.queued()
    move = await stage.store.pause(execution_id, "lunch")
    assert (move.changed, move.record.status, move.record.pending_since) == (True, "paused", None)
    assert stage.bells() == set()
    assert await stage.claim() == []
    assert (await stage.types(execution_id))[1:] == ["execution.pauseRequested", "execution.paused"]
    assert not (await stage.store.pause(execution_id, "again")).changed
    move = await stage.store.resume(execution_id)
    assert (move.changed, move.record.status) == (True, "pending")
    assert stage.bells() == {execution_id}
    assert not (await stage.store.resume(execution_id)).changed


async def test_pausing_a_running_execution_asks_its_runner(stage: Stage) -> None:
    runner = await stage.claimed()
    move = await stage.store.pause(runner.id, "lunch")
    assert (move.changed, move.record.status, move.record.pending_control) == (True, "running", "pause")
    assert not (await stage.store.pause(runner.id, "lunch")).changed
    (nudged,) = await stage.store.nudges(["worker:1", "worker:2"])
    assert (nudged.execution_id, nudged.epoch, nudged.owner, nudged.foreign_sequence) == (
        runner.id,
        1,
        "worker:1",
        3,
    )
    await runner.report()
    await runner.give_up(GiveUp("paused", all_waiting=False), ExecutionPaused(time=stage.now))
    record = await stage.record(runner.id)
    assert (record.status, record.pending_control) == ("paused", None)
    assert (await stage.store.resume(runner.id)).record.status == "pending"


async def test_resuming_before_the_runner_paused_takes_the_request_back(stage: Stage) -> None:
    runner = await stage.claimed()
    await stage.store.pause(runner.id, "")
    move = await stage.store.resume(runner.id)
    assert (move.changed, move.record.pending_control) == (True, None)
    assert (await stage.types(runner.id))[-2:] == ["execution.pauseRequested", "execution.resumed"]
    assert not (await stage.store.resume(runner.id)).changed


async def test_a_waiting_execution_resumes_to_waiting(stage: Stage) -> None:
    execution_id = await stage.waiting(wake_in=60)
    assert (await stage.store.pause(execution_id, "")).record.status == "paused"
    move = await stage.store.resume(execution_id)
    assert (move.record.status, move.record.waits) == ("waiting", [{"nodeId": "ask"}])
    assert move.record.wake_at is not None
    stage.pass_time(60)
    assert await stage.store.wake_due() == [execution_id]


async def test_a_timer_that_came_while_paused_acts_on_resume(stage: Stage) -> None:
    execution_id = await stage.waiting(wake_in=60)
    await stage.store.pause(execution_id, "")
    stage.pass_time(61)
    move = await stage.store.resume(execution_id)
    assert move.record.status == "pending"
    assert (await stage.types(execution_id))[-2:] == ["execution.resumed", "timer.fired"]


async def test_a_timer_is_recorded_while_paused(stage: Stage) -> None:
    execution_id = await stage.waiting(wake_in=60)
    await stage.store.pause(execution_id, "")
    stage.pass_time(61)
    assert await stage.store.wake_due() == [execution_id]
    assert await stage.store.wake_due() == []
    assert await stage.status(execution_id) == "paused"
    last = (await stage.history(execution_id))[-1]
    assert isinstance(last, TimerFired)
    assert (last.timer_id, last.node_id) == ("ask#1", "ask")
    assert (await stage.store.resume(execution_id)).record.status == "pending"


async def test_an_answer_while_paused_acts_on_resume(stage: Stage) -> None:
    execution_id = await stage.waiting()
    paused = (await stage.store.pause(execution_id, "")).record
    answered = await stage.store.signal(execution_id, "ask", (), 1, Payload.of(1), paused.last_sequence)
    assert answered is not None
    assert (answered.status, answered.waits) == ("paused", [])
    assert (await stage.store.resume(execution_id)).record.status == "pending"


@pytest.mark.parametrize("state", ["pending", "waiting", "paused"])
async def test_cancelling_what_nobody_runs_ends_it(stage: Stage, state: str) -> None:
    execution_id = await (stage.waiting() if state == "waiting" else stage.queued())
    if state == "paused":
        await stage.store.pause(execution_id, "")
    move = await stage.store.cancel(execution_id, "enough")
    assert (move.changed, move.record.status, move.record.completed_at) == (True, "cancelled", stage.now)
    requested, cancelled = (await stage.history(execution_id))[-2:]
    assert isinstance(requested, ExecutionCancelRequested)
    assert requested.reason == cancelled.reason == "enough"  # type: ignore[union-attr]
    assert stage.bells() == set()
    assert not (await stage.store.cancel(execution_id, "")).changed


async def test_cancelling_a_running_execution_replaces_a_pause(stage: Stage) -> None:
    runner = await stage.claimed()
    await stage.store.pause(runner.id, "")
    move = await stage.store.cancel(runner.id, "enough")
    assert (move.changed, move.record.status, move.record.pending_control) == (True, "running", "cancel")
    for again in (
        await stage.store.cancel(runner.id, ""),
        await stage.store.pause(runner.id, ""),
        await stage.store.resume(runner.id),
    ):
        assert not again.changed
        assert again.record.pending_control == "cancel"


@pytest.mark.parametrize("status", TERMINAL)
async def test_terminal_states_absorb(stage: Stage, status: str) -> None:
    runner = await stage.claimed(timeout_ms=1000)
    if status == "failed":
        stage.pass_time(7)
        await stage.store.fail_overdue()
    elif status == "cancelled":
        await stage.store.release("worker:1", [(runner.id, 1)])
        await stage.store.cancel(runner.id, "")
    else:
        await runner.complete()
    before = await stage.record(runner.id)
    assert before.status == status
    for move in (
        await stage.store.pause(runner.id, ""),
        await stage.store.resume(runner.id),
        await stage.store.cancel(runner.id, ""),
    ):
        assert not move.changed
        assert move.record == before
    with pytest.raises(NotWaiting):
        await stage.store.signal(runner.id, "ask", (), 1, Payload.of(1), before.last_sequence)
    stage.pass_time(3600)
    await stage.store.expire_leases()
    await stage.store.wake_due()
    await stage.store.fail_overdue()
    assert await stage.claim() == []
    assert await stage.record(runner.id) == before


async def test_an_answer_is_taken_once(stage: Stage) -> None:
    execution_id = await stage.waiting()
    sequence = (await stage.record(execution_id)).last_sequence
    yes, no = Payload.of({"approved": True}), Payload.of({"approved": False})
    record = await stage.store.signal(execution_id, "ask", (2, 0), 1, yes, sequence)
    assert record is not None
    assert record.status == "pending"
    again = await stage.store.signal(execution_id, "ask", (2, 0), 1, yes, sequence)
    assert again == record
    with pytest.raises(AlreadyAnswered):
        await stage.store.signal(execution_id, "ask", (2, 0), 1, no, record.last_sequence)
    # Another instance, or another attempt, is another question.
    assert await stage.store.signal(execution_id, "ask", (2, 1), 1, no, record.last_sequence)
    assert await stage.store.signal(execution_id, "ask", (2, 0), 2, no, record.last_sequence + 1)
    assert (await stage.types(execution_id)).count("signal.received") == 3


async def test_who_has_looked_is_answered_from_what_he_saw(stage: Stage) -> None:
    execution_id = await stage.waiting()
    seen, _ = await stage.store.look(execution_id)
    place = (execution_id, "ask", (), 1)
    yes, no = Payload.of({"approved": True}), Payload.of({"approved": False})
    record = await stage.store.signal(*place, yes, seen.last_sequence, record=seen)
    assert record == await stage.record(execution_id)
    assert await stage.store.signal(*place, yes, seen.last_sequence, record=seen) == record
    with pytest.raises(AlreadyAnswered):
        await stage.store.signal(*place, no, seen.last_sequence, record=seen)
    elsewhere = (execution_id, "ask", (2,), 1)
    assert await stage.store.signal(*elsewhere, no, seen.last_sequence, record=seen) is None
    # Who is wrong about what he saw is told by the database.
    with pytest.raises(AlreadyAnswered):
        await stage.store.signal(*place, no, record.last_sequence, record=record)


async def test_an_answer_to_an_outdated_look_is_not_taken(stage: Stage) -> None:
    execution_id = await stage.waiting()
    sequence = (await stage.record(execution_id)).last_sequence
    assert await stage.store.signal(execution_id, "ask", (), 1, Payload.of(1), sequence - 1) is None
    assert await stage.status(execution_id) == "waiting"


async def test_of_many_answers_at_once_one_is_taken(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    execution_id = await stage.waiting()
    sequence = (await stage.record(execution_id)).last_sequence
    answers = await asyncio.gather(
        *(
            (stage.store if n % 2 else second_store).signal(
                execution_id, "ask", (), 1, Payload.of(n), sequence
            )
            for n in range(10)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, AlreadyAnswered) for answer in answers) == 1
    assert (await stage.types(execution_id)).count("signal.received") == 1


async def test_a_large_answer_is_stored_by_hash(stage: Stage) -> None:
    execution_id = await stage.waiting()
    sequence = (await stage.record(execution_id)).last_sequence
    answer = Payload.of("x" * 5000)
    await stage.store.signal(execution_id, "ask", (), 1, answer, sequence)
    event = (await stage.history(execution_id))[-1]
    assert isinstance(event, SignalReceived)
    assert event.payload_ref == answer.ref
    assert await stage.store.payload(answer.ref.hash) == answer.text


async def test_what_is_not_there_cannot_be_moved(stage: Stage) -> None:
    for call in (
        stage.store.pause(NOBODY, ""),
        stage.store.resume(NOBODY),
        stage.store.cancel(NOBODY, ""),
        stage.store.signal(NOBODY, "ask", (), 1, Payload.of(1), 1),
        stage.store.get(NOBODY),
    ):
        with pytest.raises(ExecutionNotFound):
            await call


async def test_a_cancel_racing_with_the_end_never_makes_a_cancelled_run_completed(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    for _ in range(10):
        runner = await stage.claimed()
        move, reply = await asyncio.gather(second_store.cancel(runner.id, ""), runner.complete())
        if move.changed:
            assert reply.outcome is ReportOutcome.UNSEEN_EVENTS
            assert await stage.status(runner.id) == "running"
        else:
            assert reply.outcome is ReportOutcome.OK
            assert await stage.status(runner.id) == "completed"
        await stage.store.release("worker:1", [(runner.id, runner.epoch)])
