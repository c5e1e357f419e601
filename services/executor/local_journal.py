"""The journal of a run inside the executor: straight to the database, fenced like a worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from flow_engine.clock import Clock
from flow_engine.errors import FlowEngineError, LeaseLost, Unavailable
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import OUTCOME_EVENTS, AnyEvent, decode_events, encode_events
from flow_engine.interpreter.journal import Entry, Receipt
from services.executor.database_clock import DatabaseClock
from services.executor.leases import Lease, LeaseKeeper
from services.executor.persistence.contract import (
    ExecutionPersistence,
    ExecutionRecord,
    ImmediateRun,
    NewExecution,
    Report,
    ReportOutcome,
    ReportReply,
    Started,
    StoredBatch,
)

log = structlog.get_logger()

EPOCH = 1
"""An executor only runs what it started itself."""
RETRY_SECONDS = (0.05, 1.0)
"""First and longest pause between attempts while the database does not answer."""


class LocalJournal:
    """Creates the execution with the first entry, unless `begin` did before; then reports.

    lost: called when the lease is lost beside a commit. promoted: called when the execution is
    committed to go on in the queue.
    """

    def __init__(
        self,
        new: NewExecution,
        persistence: ExecutionPersistence,
        leases: LeaseKeeper,
        database_clock: DatabaseClock,
        clock: Clock,
        lost: Callable[[], None],
        promoted: Callable[[], None],
    ) -> None:
        self.accepted: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self.record: ExecutionRecord | None = None  # its row, where its first commit was its last here
        self.last_sequence = 0
        self._new = new
        self._persistence = persistence
        self._leases = leases
        self._database_clock = database_clock
        self._clock = clock
        self._lost = lost
        self._promoted = promoted
        self._lease: Lease | None = None
        self._report_no = 0
        self._seen = 1
        self._one_at_a_time = asyncio.Lock()

    @property
    def execution_id(self) -> ExecutionId:
        return self._new.id

    async def begin(self) -> None:
        """Create the execution now, without waiting for the first entry.

        Raises LeaseLost when it is another's, or its key keeps it in the queue.
        """
        async with self._one_at_a_time:
            if self._lease is None:
                await self._create(None)

    async def commit(self, entry: Entry) -> Receipt:
        async with self._one_at_a_time:
            receipt = await (self._create(entry) if self._lease is None else self._report(self._lease, entry))
            if receipt.committed and entry.promotes:
                self._promoted()
            return receipt

    async def sure(self) -> None:
        """It is: the same process commits the start of the effect."""

    def database_now(self) -> datetime:
        return self._database_clock.now()

    def end(self) -> None:
        """The run is over: stop renewing, and know nobody of it, so that it is freed when it is forgotten."""
        self._leases.drop(self.execution_id)
        self._lost = self._promoted = _nothing
        if self._lease is not None:
            self._lease.lost = _nothing

    async def _create(self, entry: Entry | None) -> Receipt:
        asked_at = self._clock.monotonic()
        try:
            started = await self._persistence.create(self._new, ImmediateRun(self._leases.owner, entry))
        except FlowEngineError as error:
            self.refuse(error)
            raise
        self.record = started.record
        if not self.accepted.done():
            self.accepted.set_result(started)
        if not started.created or started.queued:
            raise LeaseLost(self.execution_id)
        self._lease = self._leases.hold(self.execution_id, EPOCH, asked_at, self._lost)
        self.last_sequence = 1
        if entry is None:
            return Receipt(committed=True)
        self._report_no = 1
        self._seen = self.last_sequence = started.first_sequence + len(entry.events) - 1
        return Receipt(committed=True, first_sequence=started.first_sequence)

    def refuse(self, error: Exception) -> None:
        """The execution was not created: tell whoever waits for that. Nothing if it was."""
        if not self.accepted.done():
            self.accepted.set_exception(error)
            self.accepted.exception()  # there may be nobody

    async def _report(self, lease: Lease, entry: Entry) -> Receipt:
        reply = await self._deliver(lease, self._report_of(entry))
        match reply.outcome:
            case ReportOutcome.OK:
                self._report_no += 1
            case ReportOutcome.UNSEEN_EVENTS:
                pass
            case ReportOutcome.LEASE_LOST:
                raise LeaseLost(self.execution_id)
            case ReportOutcome.REPORT_CONFLICT | ReportOutcome.REPORT_GAP:
                log.error("report.refused", execution_id=self.execution_id, outcome=reply.outcome.value)
                raise LeaseLost(self.execution_id)
        unseen = [event for batch in reply.unseen for event in self._news(batch)]
        self._seen = self.last_sequence = reply.last_sequence
        return Receipt(reply.outcome is ReportOutcome.OK, reply.first_sequence, unseen)

    def _report_of(self, entry: Entry) -> Report:
        return Report(
            execution_id=self.execution_id,
            epoch=EPOCH,
            owner=self._leases.owner,
            report_no=self._report_no + 1,
            seen_sequence=self._seen,
            events_json=encode_events(entry.events),
            event_count=len(entry.events),
            payloads=[(payload.ref.hash, payload.text) for payload in entry.payloads],
            has_outcome=any(isinstance(event, OUTCOME_EVENTS) for event in entry.events),
            entry=entry,
        )

    async def _deliver(self, lease: Lease, report: Report) -> ReportReply:
        """Repeat the same report until the database answers, as long as the lease is surely ours."""
        pause, longest = RETRY_SECONDS
        while True:
            try:
                return await self._persistence.report(report)
            except Unavailable:
                if not self._leases.sure(lease):
                    raise LeaseLost(self.execution_id) from None
            await self._clock.sleep(pause)
            pause = min(2 * pause, longest)

    def _news(self, batch: StoredBatch) -> list[AnyEvent]:
        events = decode_events(batch.events_json, batch.first_sequence)
        return [event for event in events if event.sequence > self._seen]


def _nothing() -> None:
    """In the place of what was to be called."""
