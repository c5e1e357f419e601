"""The journal of a run in the executor: created with its first entry, fenced, patient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from flow_engine.errors import LeaseLost, Unavailable
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import (
    ExecutionCreated,
    ExecutionPauseRequested,
    ExecutionPromoted,
    ExecutionStarted,
    encode_events,
)
from flow_engine.interpreter.journal import Entry
from flow_engine.payload import Payload
from services.executor.database_clock import DatabaseClock
from services.executor.leases import LeaseKeeper
from services.executor.local_journal import LocalJournal
from services.executor.persistence.contract import (
    ImmediateRun,
    NewExecution,
    Report,
    ReportOutcome,
    ReportReply,
    Started,
    StoredBatch,
)
from tests.unit.executor.stand_ins import HandClock, stand_in

ID = ExecutionId("e")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW = NewExecution(
    ID,
    ExecutionCreated(
        time=NOW, definition_hash="d", mode="immediate", requested_mode="auto", root_id="e", sequence=1
    ),
    "d",
    b"{}",
    Payload.of({}),
    b"{}",
)
ENTRY = Entry([ExecutionStarted(time=NOW)])
OK = ReportOutcome.OK


class Database:
    """Answers reports from a list: a reply, or an error to raise."""

    def __init__(self) -> None:
        self.creations: list[ImmediateRun | None] = []
        self.reports: list[Report] = []
        self.replies: list[ReportReply | Exception] = []
        self.started: Started | Exception = Started(ID, created=True, first_sequence=2)

    async def create(self, new: NewExecution, run: ImmediateRun | None) -> Started:
        self.creations.append(run)
        if isinstance(self.started, Exception):
            raise self.started
        return self.started

    async def report(self, report: Report) -> ReportReply:
        self.reports.append(report)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


class Bench:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.database = Database()
        persistence = stand_in(self.database)
        leases = LeaseKeeper(persistence, "executor:1", 10.0, self.clock)
        self.told: list[str] = []
        self.journal = LocalJournal(
            NEW,
            persistence,
            leases,
            DatabaseClock(persistence, self.clock),
            self.clock,
            lost=lambda: self.told.append("lost"),
            promoted=lambda: self.told.append("promoted"),
        )

    def replies(self, *replies: ReportReply | Exception) -> None:
        self.database.replies += replies


def reply(
    outcome: ReportOutcome = OK, first: int = 3, last: int = 3, unseen: Sequence[StoredBatch] = ()
) -> ReportReply:
    return ReportReply(ID, outcome, first, last, unseen)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_the_first_entry_creates_the_execution(bench: Bench) -> None:
    receipt = await bench.journal.commit(ENTRY)
    assert (receipt.committed, receipt.first_sequence) == (True, 2)
    assert bench.database.creations == [ImmediateRun("executor:1", ENTRY)]
    assert (await bench.journal.accepted).execution_id == ID
    bench.replies(reply())
    await bench.journal.commit(ENTRY)
    (report,) = bench.database.reports
    assert (report.epoch, report.report_no, report.seen_sequence) == (1, 2, 2)


async def test_a_start_that_cannot_wait_is_created_bare(bench: Bench) -> None:
    await bench.journal.begin()
    assert bench.database.creations == [ImmediateRun("executor:1", None)]
    bench.replies(reply(first=2, last=2))
    await bench.journal.commit(ENTRY)
    assert [(report.report_no, report.seen_sequence) for report in bench.database.reports] == [(1, 1)]


async def test_the_loser_of_a_race_for_a_request_id_runs_no_further(bench: Bench) -> None:
    bench.database.started = Started(ExecutionId("winner"), created=False)
    with pytest.raises(LeaseLost):
        await bench.journal.commit(ENTRY)
    assert (await bench.journal.accepted).execution_id == "winner"


async def test_a_start_that_the_database_refuses_is_told_to_who_waits(bench: Bench) -> None:
    bench.database.started = Unavailable("down")
    with pytest.raises(Unavailable):
        await bench.journal.commit(ENTRY)
    with pytest.raises(Unavailable):
        await bench.journal.accepted


async def test_what_others_wrote_comes_once_with_the_receipt(bench: Bench) -> None:
    await bench.journal.begin()
    pause = StoredBatch(2, 2, encode_events([ExecutionPauseRequested(time=NOW)]))
    bench.replies(reply(first=3, last=3, unseen=[pause]), reply(first=4, last=4, unseen=[pause]))
    receipt = await bench.journal.commit(ENTRY)
    assert [event.sequence for event in receipt.unseen] == [2]
    assert (await bench.journal.commit(ENTRY)).unseen == []
    assert bench.database.reports[1].seen_sequence == 3


async def test_a_refused_entry_keeps_its_number(bench: Bench) -> None:
    await bench.journal.begin()
    pause = StoredBatch(2, 2, encode_events([ExecutionPauseRequested(time=NOW)]))
    bench.replies(reply(ReportOutcome.UNSEEN_EVENTS, 0, 2, [pause]), reply())
    refused = await bench.journal.commit(Entry([], require_seen=True))
    assert (refused.committed, len(refused.unseen)) == (False, 1)
    await bench.journal.commit(ENTRY)
    assert [(report.report_no, report.seen_sequence) for report in bench.database.reports] == [(1, 1), (1, 2)]


async def test_the_same_report_is_repeated_until_the_database_answers(bench: Bench) -> None:
    await bench.journal.begin()
    bench.replies(Unavailable("down"), Unavailable("down"), reply())
    assert (await bench.journal.commit(ENTRY)).committed
    assert len(bench.database.reports) == 3
    assert len({report.report_no for report in bench.database.reports}) == 1


async def test_a_run_that_cannot_report_ends_before_its_lease(bench: Bench) -> None:
    begun = bench.clock.monotonic()
    await bench.journal.begin()
    bench.replies(*[Unavailable("down")] * 100)
    with pytest.raises(LeaseLost):
        await bench.journal.commit(ENTRY)
    assert bench.clock.monotonic() - begun < 10


@pytest.mark.parametrize(
    "outcome", [ReportOutcome.LEASE_LOST, ReportOutcome.REPORT_CONFLICT, ReportOutcome.REPORT_GAP]
)
async def test_a_fenced_run_is_dropped(bench: Bench, outcome: ReportOutcome) -> None:
    await bench.journal.begin()
    bench.replies(reply(outcome))
    with pytest.raises(LeaseLost):
        await bench.journal.commit(ENTRY)


async def test_who_waits_for_the_run_hears_of_its_promotion_once_committed(bench: Bench) -> None:
    await bench.journal.begin()
    bench.replies(reply())
    await bench.journal.commit(Entry([ExecutionPromoted(time=NOW, reason="budget")]))
    assert bench.told == ["promoted"]
