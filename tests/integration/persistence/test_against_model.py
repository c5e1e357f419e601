"""Random histories of calls, faults and passing time against a simple model, on both databases."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from flow_engine.errors import AlreadyAnswered
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import (
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionWaiting,
    Failure,
)
from flow_engine.interpreter.journal import GiveUp
from flow_engine.payload import Payload, encode
from services.executor.persistence.contract import ImmediateRun, Report, ReportOutcome, ReportReply
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.faults import Faults
from tests.integration.persistence.model import OVER, Expected, next_claims
from tests.integration.persistence.stage import CLOCK, START, Runner, Stage

T = TypeVar("T")
EXAMPLES = int(os.environ.get("FLOW_TEST_EXAMPLES", "15"))
"""Random histories for each database; more of them find more."""

FAILURE = Failure("BROKEN", "it broke")
Fault = tuple[int, bool] | None
FAULTS = st.one_of(st.none(), st.none(), st.none(), st.tuples(st.integers(0, 7), st.booleans()))
"""None, or: the statement that fails, and whether it is done before it does."""


class PersistenceMachine(RuleBasedStateMachine):
    """`stage` is set by the test: one store for all runs, emptied before each."""

    stage: Stage
    loop: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.executions: dict[str, Expected] = {}
        self.runners: list[Runner] = []  # those that lost their lease too
        self.sent: list[tuple[Runner, Report, ReportReply]] = []

    def run(self, call: Coroutine[Any, Any, T], fault: Fault = None) -> T:
        with Faults(fault[0], after=fault[1]).injected() if fault else nullcontext():
            return self.loop.run(call)

    @initialize()
    def empty(self) -> None:
        self.stage.clear()
        self.stage.pass_time((START - self.stage.now).total_seconds())
        # Not from nothing: one runs, one runs at once, one waits for its timer, one is queued.
        for number in range(3):
            self.begin(immediate=number == 2, priority=5, timeout=None, fault=None)
        self.take("worker:1", 2, None)
        self.put_down(self.runners[0], "waiting", 5, None)
        self.begin(immediate=False, priority=5, timeout=20, fault=None)

    # Starting and claiming --------------------------------------------------------------------

    @rule(
        immediate=st.booleans(),
        priority=st.sampled_from([0, 5, 9]),
        timeout=st.sampled_from([None, None, 20, 100]),
        fault=FAULTS,
    )
    def start(self, immediate: bool, priority: int, timeout: int | None, fault: Fault) -> None:
        self.begin(immediate, priority, timeout, fault)

    def begin(self, immediate: bool, priority: int, timeout: int | None, fault: Fault) -> None:
        new = self.stage.new(
            "immediate" if immediate else "queued",
            priority=priority,
            timeout_ms=None if timeout is None else timeout * 1000,
        )
        started = self.run(
            self.stage.store.create(new, ImmediateRun("executor:1") if immediate else None), fault
        )
        assert started.created
        now = self.stage.now
        deadline = None if timeout is None else now + timedelta(seconds=timeout)
        expected = Expected(new.id, now, priority, deadline, place=now)
        if immediate:
            expected.mode = "immediate"
            expected.lease("executor:1", now)
            self.runners.append(Runner(self.stage, new.id, 1, "executor:1", seen=1))
        else:
            expected.queue(now)
        self.executions[new.id] = expected

    @rule(worker=st.sampled_from(["worker:1", "worker:2"]), slots=st.integers(1, 3), fault=FAULTS)
    def claim(self, worker: str, slots: int, fault: Fault) -> None:
        self.take(worker, slots, fault)

    def take(self, worker: str, slots: int, fault: Fault) -> None:
        head = next_claims(list(self.executions.values()), slots)
        claimed = self.run(self.stage.claim(worker, slots), fault)
        assert {c.execution_id for c in claimed} == {expected.id for expected in head}
        for execution in claimed:
            expected = self.executions[execution.execution_id]
            expected.claim(worker, self.stage.now)
            assert (execution.epoch, execution.quarantined) == (expected.epoch, expected.quarantined)
            assert execution.last_sequence == len(expected.types)
            self.runners.append(self.stage.runner(execution, worker))

    # Reporting --------------------------------------------------------------------------------

    def draw_runner(self, data: st.DataObject) -> Runner:
        """Mostly one that holds its lease; sometimes one that lost it and does not know."""
        leased = [runner for runner in self.runners if self.leased(runner)]
        zombie = not leased or data.draw(st.integers(0, 4)) == 4
        return data.draw(st.sampled_from(self.runners if zombie else leased))

    def send(self, runner: Runner, report: Report, fault: Fault) -> ReportReply:
        reply = self.run(runner.send(report), fault)
        if reply.outcome is ReportOutcome.OK:
            self.sent.append((runner, report, reply))
        return reply

    def leased(self, runner: Runner) -> bool:
        expected = self.executions[runner.id]
        return expected.status == "running" and expected.epoch == runner.epoch

    @precondition(lambda self: self.runners)
    @rule(data=st.data(), fault=FAULTS)
    def step(self, data: st.DataObject, fault: Fault) -> None:
        runner = self.draw_runner(data)
        expected, leased, seen = self.executions[runner.id], self.leased(runner), runner.seen
        report = runner.next_report(*self.stage.step_events())
        reply = self.send(runner, report, fault)
        assert reply.outcome is (ReportOutcome.OK if leased else ReportOutcome.LEASE_LOST)
        if leased:
            assert reply.first_sequence == len(expected.types) + 1
            # Exactly what the runner neither wrote nor knew.
            unseen = sum(batch.last_sequence - batch.first_sequence + 1 for batch in reply.unseen)
            assert unseen == len(expected.types) - seen
            expected.types += ["step.started", "step.completed"]
            expected.lost = 0

    @precondition(lambda self: self.runners)
    @rule(
        data=st.data(),
        status=st.sampled_from(["pending", "waiting", "paused", *OVER]),
        wake_in=st.sampled_from([None, 5, 50]),
        informed=st.booleans(),
        fault=FAULTS,
    )
    def give_up(
        self, data: st.DataObject, status: str, wake_in: int | None, informed: bool, fault: Fault
    ) -> None:
        runner = self.draw_runner(data)
        if informed and self.leased(runner):
            self.send(runner, runner.next_report(), None)  # it asks for what others wrote
        self.put_down(runner, status, wake_in, fault)

    def put_down(self, runner: Runner, status: str, wake_in: int | None, fault: Fault) -> None:
        expected, leased = self.executions[runner.id], self.leased(runner)
        now = self.stage.now
        wake_at = now + timedelta(seconds=wake_in) if wake_in and status in ("waiting", "paused") else None
        events: dict[str, list[Event]] = {
            "pending": [],
            "waiting": [ExecutionWaiting(time=now)],
            "paused": [ExecutionPaused(time=now)],
            "completed": [ExecutionCompleted(time=now)],
            "failed": [ExecutionFailed(time=now, error=FAILURE)],
            "cancelled": [ExecutionCancelled(time=now)],
        }
        error = encode(FAILURE) if status == "failed" else b""
        give_up = GiveUp(status, wake_at=wake_at, wake_timer="a#1" if wake_at else "", error=error)
        knows = runner.seen == len(expected.types)
        refused = expected.control == "cancel" and status in ("completed", "failed")
        report = runner.give_up_report(give_up, *events[status])
        reply = self.send(runner, report, fault)
        if not leased:
            assert reply.outcome is ReportOutcome.LEASE_LOST
        elif not knows or refused:
            assert reply.outcome is ReportOutcome.UNSEEN_EVENTS
            assert runner.seen == len(expected.types)
        else:
            assert reply.outcome is ReportOutcome.OK
            if status in ("waiting", "paused"):
                expected.types.append(f"execution.{status}")
            expected.give_up(status, now, wake_at)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), fault=FAULTS)
    def repeat_a_report(self, data: st.DataObject, fault: Fault) -> None:
        runner, report, first = data.draw(st.sampled_from(self.sent))
        reply = self.run(self.stage.store.report(report), fault)
        if self.executions[runner.id].epoch != runner.epoch:
            assert reply.outcome is ReportOutcome.LEASE_LOST
        elif report.event_count:
            assert (reply.outcome, reply.first_sequence) == (ReportOutcome.OK, first.first_sequence)

    @precondition(lambda self: any(self.leased(runner) for runner in self.runners))
    @rule(data=st.data(), ahead=st.integers(2, 4))
    def leave_a_report_out(self, data: st.DataObject, ahead: int) -> None:
        runner = data.draw(st.sampled_from([runner for runner in self.runners if self.leased(runner)]))
        report = runner.next_report(*self.stage.step_events())
        skipping = replace(report, report_no=runner.report_no + ahead)
        assert self.run(self.stage.store.report(skipping)).outcome is ReportOutcome.REPORT_GAP

    # Control ----------------------------------------------------------------------------------

    def draw(self, data: st.DataObject) -> Expected:
        live = [expected for expected in self.executions.values() if expected.status not in OVER]
        over = not live or data.draw(st.integers(0, 4)) == 4
        return data.draw(st.sampled_from(list(self.executions.values()) if over else live))

    @precondition(lambda self: self.executions)
    @rule(data=st.data(), fault=FAULTS)
    def pause(self, data: st.DataObject, fault: Fault) -> None:
        expected = self.draw(data)
        self.run(self.stage.store.pause(ExecutionId(expected.id), "because"), fault)
        expected.pause()

    @precondition(lambda self: self.executions)
    @rule(data=st.data(), fault=FAULTS)
    def resume(self, data: st.DataObject, fault: Fault) -> None:
        expected = self.draw(data)
        self.run(self.stage.store.resume(ExecutionId(expected.id)), fault)
        expected.resume(self.stage.now)

    @precondition(lambda self: self.executions)
    @rule(data=st.data(), fault=FAULTS)
    def cancel(self, data: st.DataObject, fault: Fault) -> None:
        expected = self.draw(data)
        self.run(self.stage.store.cancel(ExecutionId(expected.id), "because"), fault)
        expected.cancel()

    @precondition(lambda self: any(e.status not in OVER for e in self.executions.values()))
    @rule(data=st.data(), outdated=st.booleans(), looked=st.booleans(), fault=FAULTS)
    def answer(self, data: st.DataObject, outdated: bool, looked: bool, fault: Fault) -> None:
        expected = data.draw(st.sampled_from([e for e in self.executions.values() if e.status not in OVER]))
        sequence = len(expected.types) - outdated
        id_, seen = ExecutionId(expected.id), None
        if looked:
            seen = replace(self.run(self.stage.store.look(id_))[0], last_sequence=sequence)
        answer = self.stage.store.signal(
            id_, "ask", (), expected.answers + 1, Payload.of(1), sequence, record=seen
        )
        record = self.run(answer, fault)
        assert (record is None) == outdated
        if not outdated:
            expected.answer(self.stage.now)

    @precondition(lambda self: any(e.answers for e in self.executions.values()))
    @rule(data=st.data(), same=st.booleans())
    def answer_again(self, data: st.DataObject, same: bool) -> None:
        expected = data.draw(st.sampled_from([e for e in self.executions.values() if e.answers]))
        answer = self.stage.store.signal(
            ExecutionId(expected.id), "ask", (), 1, Payload.of(1 if same else 2), len(expected.types)
        )
        if same:
            assert self.run(answer) is not None
        else:
            with pytest.raises(AlreadyAnswered):
                self.run(answer)

    # Leases and time --------------------------------------------------------------------------

    @precondition(lambda self: self.runners)
    @rule(data=st.data(), fault=FAULTS)
    def renew(self, data: st.DataObject, fault: Fault) -> None:
        runner = self.draw_runner(data)
        lost = self.run(self.stage.store.renew_leases(runner.owner, [(runner.id, runner.epoch)]), fault)
        assert lost == (set() if self.leased(runner) else {runner.id})
        if self.leased(runner):
            expected = self.executions[runner.id]
            seconds = 10 if runner.owner.startswith("executor") else 30
            expected.lease_until = self.stage.now + timedelta(seconds=seconds)

    @precondition(lambda self: self.runners)
    @rule(data=st.data(), fault=FAULTS)
    def release(self, data: st.DataObject, fault: Fault) -> None:
        runner = self.draw_runner(data)
        leased = self.leased(runner)
        self.run(self.stage.store.release(runner.owner, [(runner.id, runner.epoch)]), fault)
        if leased:
            self.executions[runner.id].release(self.stage.now)

    @rule(seconds=st.sampled_from([1, 6, 11, 31]))
    def pass_time(self, seconds: int) -> None:
        self.stage.pass_time(seconds)

    @rule(fault=FAULTS)
    def lose_every_runner(self, fault: Fault) -> None:
        self.stage.pass_time(31)
        self.expire_leases(fault)

    @rule(fault=FAULTS)
    def expire(self, fault: Fault) -> None:
        self.expire_leases(fault)

    def expire_leases(self, fault: Fault) -> None:
        self.run(self.stage.store.expire_leases(), fault)
        for expected in self.executions.values():
            expected.expire(self.stage.now)

    @rule(fault=FAULTS)
    def wake(self, fault: Fault) -> None:
        self.run(self.stage.store.wake_due(), fault)
        for expected in self.executions.values():
            expected.wake(self.stage.now)

    @rule(fault=FAULTS)
    def fail_overdue(self, fault: Fault) -> None:
        self.run(self.stage.store.fail_overdue(), fault)
        for expected in self.executions.values():
            expected.overdue(self.stage.now)

    # What must hold ---------------------------------------------------------------------------

    @invariant()
    def database_and_model_agree(self) -> None:
        rows = self.stage.execute(
            "SELECT id, status, execution_mode, epoch, pending_control, lease_owner, last_sequence, "
            "lost_leases, quarantined FROM workflow_executions"
        )
        found = {row[0]: (*row[1:8], bool(row[8])) for row in rows}
        assert found == {
            e.id: (e.status, e.mode, e.epoch, e.control, e.owner, len(e.types), e.lost, e.quarantined)
            for e in self.executions.values()
        }
        pending = {e.id for e in self.executions.values() if e.status == "pending"}
        assert self.stage.bells() == pending

    def teardown(self) -> None:
        if not self.executions:
            return
        self.stage.audit()
        for expected in self.executions.values():
            assert self.run(self.stage.types(ExecutionId(expected.id))) == expected.types


@pytest.mark.timeout(300)
def test_database_and_model_never_differ(migrated_url: str) -> None:
    with asyncio.Runner() as loop:
        store = SqlExecutionPersistence(migrated_url, now=CLOCK)
        loop.run(store.start())
        stage = Stage(migrated_url, store)
        machine = type("Machine", (PersistenceMachine,), {"stage": stage, "loop": loop})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=50,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            loop.run(store.stop())
            stage.close()
