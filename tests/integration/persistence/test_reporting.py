"""PROTOCOL 6 to 9, 11, 13 and 17: what a runner may write, and what it is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from flow_engine.errors import InvalidRequest
from flow_engine.interpreter.events import (
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPromoted,
    ExecutionWaiting,
    Failure,
    SignalReceived,
    StepCompleted,
    StepStarted,
    StepWaiting,
    decode_events,
)
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import Payload, encode
from services.executor.persistence.contract import Report, ReportOutcome
from tests.integration.persistence.stage import Runner, Stage, completed, type_of

OK, UNSEEN = ReportOutcome.OK, ReportOutcome.UNSEEN_EVENTS


async def test_the_executor_allots_the_sequences(stage: Stage) -> None:
    runner = await stage.claimed()
    first = await runner.step()
    second = await runner.report(StepStarted(time=stage.now, node_id="b"))
    assert (first.outcome, first.first_sequence, first.last_sequence) == (OK, 3, 4)
    assert (second.first_sequence, second.last_sequence, list(second.unseen)) == (5, 5, [])
    assert [event.sequence for event in await stage.history(runner.id)] == [1, 2, 3, 4, 5]


async def test_a_repeated_report_gets_the_same_reply_and_is_written_once(stage: Stage) -> None:
    runner = await stage.claimed()
    report = runner.next_report(StepStarted(time=stage.now, node_id="a"))
    replies = [await runner.send(report) for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert len(await stage.history(runner.id)) == 3


async def test_an_older_report_is_recognised_too(stage: Stage) -> None:
    runner = await stage.claimed()
    old = runner.next_report(StepStarted(time=stage.now, node_id="a"))
    await runner.send(old)
    await runner.report(StepCompleted(time=stage.now, node_id="a"))
    reply = await stage.store.report(old)
    assert (reply.outcome, reply.first_sequence) == (OK, 3)


async def test_the_same_number_with_another_body_conflicts(stage: Stage) -> None:
    runner = await stage.claimed()
    report = runner.next_report(StepStarted(time=stage.now, node_id="a"))
    other = runner.next_report(StepStarted(time=stage.now, node_id="b"))
    await runner.send(report)
    assert (await runner.send(other)).outcome is ReportOutcome.REPORT_CONFLICT
    await runner.report(StepCompleted(time=stage.now, node_id="a"))
    assert (await stage.store.report(other)).outcome is ReportOutcome.REPORT_CONFLICT
    assert len(await stage.history(runner.id)) == 4


async def test_a_left_out_number_is_a_gap(stage: Stage) -> None:
    runner = await stage.claimed()
    report = replace(runner.next_report(StepStarted(time=stage.now, node_id="a")), report_no=2)
    assert (await runner.send(report)).outcome is ReportOutcome.REPORT_GAP


async def test_an_end_is_confirmed_when_its_report_is_repeated(stage: Stage) -> None:
    runner = await stage.claimed()
    event = ExecutionCompleted(time=stage.now)
    report = runner.next_report(event, entry=Entry([event], give_up=completed()))
    assert (await runner.send(report)).outcome is OK
    assert (await runner.send(report)).outcome is OK
    assert (await runner.report(event)).outcome is ReportOutcome.LEASE_LOST


async def test_a_zombie_writes_nothing(stage: Stage) -> None:
    runner = await stage.claimed("worker:1")
    zombie = runner.zombie()
    stage.pass_time(31)
    assert await stage.store.expire_leases() == [runner.id]
    assert (await zombie.step()).outcome is ReportOutcome.LEASE_LOST
    (claimed,) = await stage.claim("worker:2")
    assert (await zombie.step()).outcome is ReportOutcome.LEASE_LOST
    assert (await zombie.complete()).outcome is ReportOutcome.LEASE_LOST
    successor = stage.runner(claimed, "worker:2")
    assert (await successor.complete()).outcome is OK
    assert await stage.types(runner.id) == [
        "execution.created",
        "execution.claimed",
        "execution.claimed",
        "execution.completed",
    ]


async def test_an_expired_lease_that_nobody_took_still_reports(stage: Stage) -> None:
    runner = await stage.claimed()
    stage.pass_time(100)
    assert (await runner.step()).outcome is OK


async def test_a_report_on_an_unknown_execution_has_no_lease(stage: Stage) -> None:
    runner = Runner(stage, (await stage.queued()), 1, "worker:1", 1)
    assert (await runner.step()).outcome is ReportOutcome.LEASE_LOST
    report = replace(runner.next_report(), execution_id="no such one")
    assert (await stage.store.report(report)).outcome is ReportOutcome.LEASE_LOST


async def test_the_reply_carries_what_others_wrote_and_nothing_else(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(StepStarted(time=stage.now, node_id="a"))
    await _answer(stage, runner)
    mine = await runner.report(StepCompleted(time=stage.now, node_id="a"))
    assert (mine.outcome, mine.first_sequence, mine.last_sequence) == (OK, 5, 5)
    (unseen,) = mine.unseen
    assert (unseen.first_sequence, unseen.last_sequence) == (4, 4)
    (event,) = decode_events(unseen.events_json, 4)
    assert isinstance(event, SignalReceived)
    assert list((await runner.step("b")).unseen) == []


async def test_an_empty_report_fetches_what_others_wrote(stage: Stage) -> None:
    runner = await stage.claimed()
    await stage.store.pause(runner.id, "lunch")
    reply = await runner.report()
    assert reply.outcome is OK
    assert [type_of(e) for b in reply.unseen for e in decode_events(b.events_json, b.first_sequence)] == [
        "execution.pauseRequested"
    ]
    assert await stage.store.nudges(["worker:1"]) == []


async def test_giving_up_without_knowing_all_is_refused_and_loses_no_wake_up(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(StepWaiting(time=stage.now, node_id="ask", attempt=1))
    await _answer(stage, runner)
    to_wait = GiveUp("waiting", all_waiting=True)
    refused = await runner.give_up(to_wait, ExecutionWaiting(time=stage.now))
    assert refused.outcome is UNSEEN
    assert len(refused.unseen) == 1
    assert await stage.status(runner.id) == "running"
    # The number was not used up; now everything is known.
    accepted = await runner.give_up(to_wait, ExecutionWaiting(time=stage.now))
    assert accepted.outcome is OK
    assert await stage.status(runner.id) == "waiting"


async def test_an_answer_after_giving_up_wakes(stage: Stage) -> None:
    execution_id = await stage.waiting()
    record = await stage.record(execution_id)
    assert record.waits == [{"nodeId": "ask"}]
    await stage.store.signal(execution_id, "ask", (), 1, Payload.of(True), record.last_sequence)
    assert await stage.status(execution_id) == "pending"
    assert stage.bells() == {execution_id}


async def test_require_seen_refuses_like_giving_up(stage: Stage) -> None:
    runner = await stage.claimed()
    await _answer(stage, runner)
    started = StepStarted(time=stage.now, node_id="pay")
    entry = Entry([started], require_seen=True)
    assert (await runner.report(started, entry=entry)).outcome is UNSEEN
    assert (await runner.report(started, entry=entry)).outcome is OK


async def test_with_cancel_asked_only_cancelled_ends_it(stage: Stage) -> None:
    runner = await stage.claimed()
    await stage.store.cancel(runner.id, "enough")
    await runner.report()  # it knows now
    assert (await runner.step()).outcome is OK
    assert (await runner.complete()).outcome is UNSEEN
    failed = GiveUp("failed", error=encode(Failure("X", "x")))
    assert (
        await runner.give_up(failed, ExecutionFailed(time=stage.now, error=Failure("X", "x")))
    ).outcome is UNSEEN
    assert await stage.status(runner.id) == "running"
    reply = await runner.give_up(GiveUp("cancelled"), ExecutionCancelled(time=stage.now))
    assert reply.outcome is OK
    record = await stage.record(runner.id)
    assert (record.status, record.pending_control) == ("cancelled", None)


async def test_with_pause_asked_it_may_finish(stage: Stage) -> None:
    runner = await stage.claimed()
    await stage.store.pause(runner.id, "")
    await runner.report()
    assert (await runner.complete()).outcome is OK
    assert await stage.status(runner.id) == "completed"


@pytest.mark.parametrize("status", ["pending", "waiting", "paused"])
async def test_put_down_before_the_cancel_was_done_it_is_cancelled_at_once(stage: Stage, status: str) -> None:
    runner = await stage.claimed()
    await stage.store.cancel(runner.id, "enough")
    await runner.report()
    assert (await runner.give_up(GiveUp(status))).outcome is OK
    assert await stage.status(runner.id) == "cancelled"
    last = (await stage.history(runner.id))[-1]
    assert isinstance(last, ExecutionCancelled)
    assert last.reason == "enough"


@pytest.mark.parametrize(("status", "resumes_to"), [("pending", "pending"), ("waiting", "waiting")])
async def test_put_down_before_the_pause_was_done_it_is_paused_at_once(
    stage: Stage, status: str, resumes_to: str
) -> None:
    runner = await stage.claimed()
    await stage.store.pause(runner.id, "lunch")
    await runner.report()
    assert (await runner.give_up(GiveUp(status, all_waiting=status == "waiting"))).outcome is OK
    assert await stage.status(runner.id) == "paused"
    assert (await stage.types(runner.id))[-1] == "execution.paused"
    await stage.store.resume(runner.id)
    assert await stage.status(runner.id) == resumes_to


async def test_promotion_changes_the_mode_and_keeps_the_lease(stage: Stage) -> None:
    runner = await stage.immediate()
    promoted = ExecutionPromoted(time=stage.now, reason="budget")
    assert (await runner.report(promoted, entry=Entry([promoted]))).outcome is OK
    record = await stage.record(runner.id)
    assert (record.status, record.mode, record.lease_owner) == ("running", "queued", "executor:1")
    assert stage.bells() == set()
    assert (await runner.step()).outcome is OK
    assert (await runner.give_up(GiveUp("pending"))).outcome is OK
    assert stage.bells() == {runner.id}
    (claimed,) = await stage.claim()
    assert (claimed.execution_id, claimed.epoch) == (runner.id, 2)
    assert (await runner.step()).outcome is ReportOutcome.LEASE_LOST


async def test_promotion_and_giving_up_are_one_report(stage: Stage) -> None:
    runner = await stage.immediate()
    promoted = ExecutionPromoted(time=stage.now, reason="shutdown")
    assert (await runner.give_up(GiveUp("pending"), promoted)).outcome is OK
    record = await stage.record(runner.id)
    assert (record.status, record.mode) == ("pending", "queued")
    assert record.pending_since == stage.now


async def test_an_output_that_looks_like_an_event_promotes_nothing(stage: Stage) -> None:
    runner = await stage.immediate()
    await runner.report(StepCompleted(time=stage.now, node_id="a", output={"type": "execution.promoted"}))
    assert (await stage.record(runner.id)).mode == "immediate"


async def test_a_failure_is_kept_as_it_was_written(stage: Stage) -> None:
    runner = await stage.claimed()
    failure = Failure("HTTP_STATUS", "it said 503", node_id="a", details={"n": 2**53 + 1})
    reply = await runner.give_up(
        GiveUp("failed", error=encode(failure), result=b'{"steps":[]}'),
        ExecutionFailed(time=stage.now, error=failure),
    )
    assert reply.outcome is OK
    record = await stage.record(runner.id)
    assert record.error["details"] == {"n": 2**53 + 1}
    assert record.completed_at == stage.now


async def test_values_above_the_limit_are_stored_by_hash(stage: Stage) -> None:
    runner = await stage.claimed()
    value = Payload.of([2**53 + 1] * 1000)
    report = replace(
        runner.next_report(StepCompleted(time=stage.now, node_id="a", output_ref=value.ref)),
        payloads=[(value.ref.hash, value.text)],
    )
    assert (await runner.send(report)).outcome is OK
    assert await stage.store.payload(value.ref.hash) == value.text


async def test_times_never_go_back(stage: Stage) -> None:
    runner = await stage.claimed()
    before = stage.now
    stage.pass_time(5)
    await stage.store.pause(runner.id, "")  # written by the database's later time
    late = await runner.report(StepCompleted(time=before, node_id="a", output=2**53 + 1))
    assert late.outcome is OK
    times = [event.time for event in await stage.history(runner.id)]
    assert times == sorted(times)
    completed_step = (await stage.history(runner.id))[-1]
    assert isinstance(completed_step, StepCompleted)
    assert completed_step.output == 2**53 + 1


async def test_an_outcome_forgives_lost_leases(stage: Stage) -> None:
    runner = await stage.claimed()
    stage.pass_time(31)
    await stage.store.expire_leases()
    (claimed,) = await stage.claim()
    runner = stage.runner(claimed)
    await runner.report(StepStarted(time=stage.now, node_id="a"))
    assert _lost_leases(stage, runner) == 1
    await runner.report(StepCompleted(time=stage.now, node_id="a"))
    assert _lost_leases(stage, runner) == 0


STATE_AT_4 = b'{"format":7,"of":"event 4"}'


async def test_a_snapshot_shortens_the_next_claim(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.step()
    reply = await runner.give_up(GiveUp("pending"), snapshot=STATE_AT_4)
    assert reply.last_sequence == 4
    (claimed,) = await stage.claim(snapshot_format=7)
    assert claimed.snapshot == STATE_AT_4
    assert [(batch.first_sequence, batch.last_sequence) for batch in claimed.batches] == [(5, 5)]
    assert claimed.last_sequence == 5


@pytest.mark.parametrize(("snapshot", "readable"), [(STATE_AT_4, 8), (STATE_AT_4, 0), (b"no snapshot", 7)])
async def test_who_cannot_read_a_snapshot_gets_the_whole_history(
    stage: Stage, snapshot: bytes, readable: int
) -> None:
    runner = await stage.claimed()
    await runner.step()
    await runner.give_up(GiveUp("pending"), snapshot=snapshot)
    (claimed,) = await stage.claim(snapshot_format=readable)
    assert claimed.snapshot == b""
    assert [batch.first_sequence for batch in claimed.batches] == [1, 2, 3, 5]


async def test_what_the_executor_adds_to_a_report_is_not_in_its_snapshot(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.step()
    await stage.store.pause(runner.id, "")
    runner.seen += 1
    await runner.give_up(GiveUp("pending"), snapshot=STATE_AT_4)
    await stage.store.resume(runner.id)
    (claimed,) = await stage.claim(snapshot_format=7)
    assert [event.first_sequence for event in claimed.batches] == [6, 7, 8]


async def test_a_snapshot_that_did_not_know_everything_is_not_kept(stage: Stage) -> None:
    runner = await stage.claimed()
    await stage.store.pause(runner.id, "")
    step = StepStarted(time=stage.now, node_id="a")
    assert (await runner.report(step, entry=Entry([step], snapshot=b"knows no pause"))).outcome is OK
    assert stage.execute("SELECT count(*) FROM snapshots") == [(0,)]


@pytest.mark.parametrize("events", [b"{", b"[1]", b'[{"type":"step.started"}]', b'{"a":1}'])
async def test_garbage_is_refused_and_harms_nobody(stage: Stage, events: bytes) -> None:
    runner = await stage.claimed()
    with pytest.raises(InvalidRequest):
        await stage.store.report(replace(runner.next_report(), events_json=events))
    assert (await runner.step()).outcome is OK


async def test_an_end_without_giving_up_is_refused(stage: Stage) -> None:
    runner = await stage.claimed()
    with pytest.raises(InvalidRequest):
        await runner.report(ExecutionCompleted(time=stage.now))
    with pytest.raises(InvalidRequest):
        await runner.give_up(GiveUp("running"))


async def test_completed_is_not_before_its_last_event(stage: Stage) -> None:
    runner = await stage.claimed()
    later = stage.now + timedelta(seconds=1)
    await runner.give_up(completed(), ExecutionCompleted(time=later))
    assert (await stage.record(runner.id)).completed_at == later


def _lost_leases(stage: Stage, runner: Runner) -> int:
    ((count,),) = stage.execute(f"SELECT lost_leases FROM workflow_executions WHERE id = '{runner.id}'")
    return int(count)


async def _answer(stage: Stage, runner: Runner) -> None:
    sequence = (await stage.record(runner.id)).last_sequence
    assert await stage.store.signal(runner.id, "ask", (), 1, Payload.of({"approved": True}), sequence)


def test_reports_are_told_apart_by_their_bodies() -> None:
    from services.executor.persistence.reports import body_hash

    report = Report("x", 1, "worker:1", 1, 1, b"[]", 0)  # type: ignore[arg-type]
    assert body_hash(report) == body_hash(replace(report))
    assert body_hash(report) != body_hash(replace(report, entry=Entry((), give_up=GiveUp("pending"))))
