"""The history of a claimed execution, written through the executor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from flow_engine.errors import LeaseLost, ReportConflict, ReportGap
from flow_engine.interpreter.events import OUTCOME_EVENTS, AnyEvent, decode_events, encode_events
from flow_engine.interpreter.journal import Entry, GiveUp, Receipt
from flow_engine.payload import PayloadRef, encode
from flow_engine.secrets import Secret
from flow_engine.v1 import worker_pb2 as pb
from services.worker.executor_client import ExecutorClient, ExecutorUnreachable

LONGEST_PAUSE_SECONDS = 2.0


class Lease(Protocol):
    """How long a run may still count on being the only one."""

    def seconds_left(self) -> float: ...

    async def sure(self) -> None:
        """Returns while less than half of it has passed; else once it is renewed."""
        ...


class RemoteJournal:
    """Reports entries one by one; each carries the next number, repeated until it is answered."""

    def __init__(self, client: ExecutorClient, claimed: pb.ClaimedExecution, lease: Lease) -> None:
        self._client = client
        self._execution_id = claimed.execution_id
        self._epoch = claimed.epoch
        self._report_no = claimed.report_no
        self._seen = claimed.last_sequence
        self._lease = lease
        self._claimed_at = claimed.database_time.ToDatetime(tzinfo=UTC)
        self._started = time.monotonic()

    @property
    def seen_sequence(self) -> int:
        return self._seen

    async def sure(self) -> None:
        await self._lease.sure()

    def database_now(self) -> datetime:
        return self._claimed_at + timedelta(seconds=time.monotonic() - self._started)

    async def commit(self, entry: Entry) -> Receipt:
        reply = await self._answered(self._report(entry))
        match reply.outcome:
            case "OK" | "UNSEEN_EVENTS":
                unseen = [event for event in decoded(reply.unseen) if event.sequence > self._seen]
                committed = reply.outcome == "OK"
                self._report_no += committed
                self._seen = reply.last_sequence
                return Receipt(committed, reply.first_sequence, unseen)
            case "REPORT_GAP":
                raise ReportGap(f"{self._execution_id}: a report before {self._report_no + 1} is missing")
            case "REPORT_CONFLICT":
                raise ReportConflict(f"{self._execution_id}: report {self._report_no + 1} was another one")
            case _:
                raise LeaseLost(self._execution_id)

    async def _answered(self, report: pb.ExecutionReport) -> pb.ReportReply:
        pause = 0.05
        while True:
            try:
                return await self._client.report(report)
            except ExecutorUnreachable:
                if self._lease.seconds_left() <= pause:
                    raise LeaseLost(self._execution_id) from None
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _report(self, entry: Entry) -> pb.ExecutionReport:
        return pb.ExecutionReport(
            execution_id=self._execution_id,
            epoch=self._epoch,
            report_no=self._report_no + 1,
            seen_sequence=self._seen,
            events_json=encode_events(entry.events),
            event_count=len(entry.events),
            payloads=[
                pb.Payload(hash=payload.ref.hash, value_json=payload.text) for payload in entry.payloads
            ],
            require_seen=entry.require_seen,
            give_up=None if entry.give_up is None else _give_up(entry.give_up),
            snapshot=entry.snapshot,
            has_outcome=any(isinstance(event, OUTCOME_EVENTS) for event in entry.events),
        )


class RemotePayloads:
    """Values of a claimed execution by content hash, from the executor."""

    def __init__(self, client: ExecutorClient, execution_id: str) -> None:
        self._client = client
        self._execution_id = execution_id

    async def payload(self, ref: PayloadRef) -> bytes:
        return await self._client.payload(ref.hash, self._execution_id)


class RemoteSecrets:
    """The secrets of a claimed execution, from the executor, each time anew: nothing here outlives it."""

    def __init__(self, client: ExecutorClient, claimed: pb.ClaimedExecution) -> None:
        self._client = client
        self._execution_id = claimed.execution_id
        self._epoch = claimed.epoch

    async def secrets(self, names: Collection[str]) -> Mapping[str, Secret]:
        return await self._client.secrets(self._execution_id, self._epoch, names)


def decoded(batches: Iterable[pb.EventBatch]) -> list[AnyEvent]:
    """The events of batches, numbered."""
    return [event for batch in batches for event in decode_events(batch.events_json, batch.first_sequence)]


def _give_up(give_up: GiveUp) -> pb.GiveUp:
    wake_time = None
    if give_up.wake_at is not None:
        wake_time = Timestamp()
        wake_time.FromDatetime(give_up.wake_at)
    return pb.GiveUp(
        status=give_up.status,
        wake_time=wake_time,
        wake_timer=give_up.wake_timer,
        all_waiting=give_up.all_waiting,
        result_json=give_up.result,
        error_json=give_up.error,
        waits_json=encode(list(give_up.waits)),
    )
