"""WorkerService: how workers take executions, report on them and hear of control."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from flow_engine.callbacks import Callbacks
from flow_engine.errors import ExecutionNotFound, InvalidRequest, LeaseLost, Problem
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import decode
from flow_engine.v1 import worker_pb2 as pb
from flow_engine.v1.worker_pb2_grpc import WorkerServiceServicer
from services.executor.access.caller import current_caller
from services.executor.callbacks import CallbackKeys
from services.executor.persistence.contract import (
    Claim,
    ClaimedExecution,
    ExecutionPersistence,
    Nudged,
    Report,
    ReportReply,
    StoredBatch,
)
from services.executor.persistence.operations import WorkerWord
from services.executor.quotas import QuotaKeeper
from services.executor.servicers.messages import instant, timestamp
from services.executor.sessions import Session, Sessions

Context = grpc.aio.ServicerContext[Any, Any]

MAX_CLAIMS = 100
WORKER_ID = re.compile(r"worker:[A-Za-z0-9._-]{1,100}")
PORTION_BYTES = 4 << 20


class WorkerServicer(WorkerServiceServicer):
    def __init__(
        self,
        persistence: ExecutionPersistence,
        sessions: Sessions,
        callbacks: CallbackKeys,
        quotas: QuotaKeeper,
    ) -> None:
        self._quotas = quotas
        self._persistence = persistence
        self._sessions = sessions
        self._callbacks = callbacks

    async def Session(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> AsyncIterator[pb.SessionResponse]:
        """Ends when the worker ends it, comes back elsewhere, or the executor stops."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        session = Session(word_of(first))
        self._sessions.open(session)
        hearing = asyncio.create_task(hear(session, request_iterator))
        try:
            while nudges := await session.next():
                yield pb.SessionResponse(nudges=map(nudge, nudges))
        finally:
            hearing.cancel()
            self._sessions.close(session)

    async def ClaimNext(  # noqa: N802
        self, request: pb.ClaimNextRequest, context: Context
    ) -> pb.ClaimNextResponse:
        claim = Claim(
            worker_id=worker_id_of(request),
            claim_id=request.claim_id,
            free_slots=min(request.free_slots, MAX_CLAIMS),
            capabilities=tuple(request.capabilities),
            namespace=claimable_namespace(),
            snapshot_format=request.snapshot_format,
            full=self._quotas.full,
        )
        claimed = await self._persistence.claim_next(claim)
        return pb.ClaimNextResponse(
            executions=[
                claimed_execution(execution, self._callbacks.of(execution.execution_id))
                for execution in claimed
            ]
        )

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:  # noqa: N802
        """Side by side, so that they share commits; those of one execution one after another."""
        owner = worker_id_of(request)
        by_execution: dict[str, list[int]] = defaultdict(list)
        for index, report in enumerate(request.reports):
            by_execution[report.execution_id].append(index)
        replies: dict[int, pb.ReportReply] = {}

        async def deliver(indexes: Sequence[int]) -> None:
            for index in indexes:
                replies[index] = reply(
                    await self._persistence.report(report_of(request.reports[index], owner))
                )

        await asyncio.gather(*map(deliver, by_execution.values()))
        return pb.ReportResponse(replies=[replies[index] for index in range(len(request.reports))])

    async def RenewLeases(  # noqa: N802
        self, request: pb.RenewLeasesRequest, context: Context
    ) -> pb.RenewLeasesResponse:
        lost = await self._persistence.renew_leases(worker_id_of(request), leases_of(request))
        return pb.RenewLeasesResponse(lost_execution_ids=sorted(lost))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:  # noqa: N802
        await self._persistence.release(
            worker_id_of(request), leases_of(request), process_died=request.process_died
        )
        return pb.ReleaseResponse()

    async def GetDefinition(  # noqa: N802
        self, request: pb.GetDefinitionRequest, context: Context
    ) -> pb.GetDefinitionResponse:
        namespace = await claimed_namespace(self._persistence, request)
        return pb.GetDefinitionResponse(
            definition_json=await self._persistence.definition(request.definition_hash, namespace)
        )

    async def GetPayload(  # noqa: N802
        self, request: pb.GetPayloadRequest, context: Context
    ) -> pb.GetPayloadResponse:
        value = await self._persistence.payload(
            request.hash, await claimed_namespace(self._persistence, request)
        )
        portion = value[request.offset : request.offset + PORTION_BYTES]
        return pb.GetPayloadResponse(value_json=portion, total_bytes=len(value))


def claimable_namespace() -> str:
    """Of which this worker may claim; empty: of any."""
    caller = current_caller()
    return "" if caller.operates_all else caller.namespace


async def claimed_namespace(persistence: ExecutionPersistence, request: Any) -> str:
    """Of the execution that something is asked for, which must be one that this worker has claimed.

    Raises ExecutionNotFound, also where it is another namespace's, and LeaseLost.
    """
    caller, execution_id = current_caller(), ExecutionId(request.execution_id)
    namespace, owner = await persistence.lease_of(execution_id)
    if namespace != caller.namespace and not caller.operates_all:
        raise ExecutionNotFound(execution_id)
    if owner != worker_id_of(request):
        raise LeaseLost(execution_id)
    return namespace


async def hear(session: Session, requests: AsyncIterator[pb.SessionRequest]) -> None:
    """Keep what the worker says of itself; its silence for ever is the session's end."""
    try:
        async for request in requests:
            session.word = word_of(request)
    finally:
        session.end()


def word_of(request: pb.SessionRequest) -> WorkerWord:
    return WorkerWord(
        worker_id=worker_id_of(request),
        hostname=request.hostname,
        process_id=request.process_id,
        version=request.version,
        slots=request.slots,
        free_slots=request.free_slots,
        capabilities=tuple(request.capabilities),
    )


def worker_id_of(request: Any) -> str:
    """By which its leases are held: what it calls itself, and the credential that it calls with."""
    worker_id: str = request.worker_id
    if not WORKER_ID.fullmatch(worker_id):
        message = "a worker's id is worker: and up to 100 of A-Z a-z 0-9 . _ -"
        raise InvalidRequest([Problem("/workerId", "INVALID_VALUE", message)])
    return current_caller().owner(worker_id)


def leases_of(request: pb.RenewLeasesRequest | pb.ReleaseRequest) -> list[tuple[ExecutionId, int]]:
    return [(ExecutionId(lease.execution_id), lease.epoch) for lease in request.leases]


def nudge(value: Nudged) -> pb.Nudge:
    return pb.Nudge(
        execution_id=value.execution_id, epoch=value.epoch, foreign_sequence=value.foreign_sequence
    )


def claimed_execution(value: ClaimedExecution, callbacks: Callbacks) -> pb.ClaimedExecution:
    lease = Duration()
    lease.FromMilliseconds(int(value.lease_seconds * 1000))
    return pb.ClaimedExecution(
        execution_id=value.execution_id,
        epoch=value.epoch,
        definition_hash=value.definition_hash,
        snapshot=value.snapshot,
        batches=map(event_batch, value.batches),
        last_sequence=value.last_sequence,
        database_time=timestamp(value.database_time),
        deadline_time=timestamp(value.deadline_at),
        lease=lease,
        quarantined=value.quarantined,
        callback_url=callbacks.prefix,
        callback_key=callbacks.key,
    )


def report_of(value: pb.ExecutionReport, owner: str) -> Report:
    give_up = give_up_of(value.give_up) if value.HasField("give_up") else None
    return Report(
        execution_id=ExecutionId(value.execution_id),
        epoch=value.epoch,
        owner=owner,
        namespace=claimable_namespace(),
        report_no=value.report_no,
        seen_sequence=value.seen_sequence,
        events_json=value.events_json or b"[]",
        event_count=value.event_count,
        payloads=[(payload.hash, payload.value_json) for payload in value.payloads],
        has_outcome=value.has_outcome,
        entry=Entry(
            events=(),
            require_seen=value.require_seen or give_up is not None,
            give_up=give_up,
            snapshot=value.snapshot,
        ),
    )


def give_up_of(value: pb.GiveUp) -> GiveUp:
    return GiveUp(
        status=value.status,
        wake_at=instant(value.wake_time) if value.HasField("wake_time") else None,
        wake_timer=value.wake_timer,
        all_waiting=value.all_waiting,
        waits=decode(value.waits_json) if value.waits_json else (),
        result=value.result_json,
        error=value.error_json,
    )


def reply(value: ReportReply) -> pb.ReportReply:
    return pb.ReportReply(
        execution_id=value.execution_id,
        outcome=value.outcome.value,
        first_sequence=value.first_sequence,
        last_sequence=value.last_sequence,
        unseen=map(event_batch, value.unseen),
    )


def event_batch(value: StoredBatch) -> pb.EventBatch:
    return pb.EventBatch(first_sequence=value.first_sequence, events_json=value.events_json)
