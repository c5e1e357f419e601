"""OperationsService: workers and the queue, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from flow_engine.errors import InvalidRequest, PermissionDenied, Problem
from flow_engine.ids import ExecutionId
from flow_engine.v1 import operations_pb2 as pb
from flow_engine.v1.operations_pb2_grpc import OperationsServiceServicer
from services.executor import diagnosis
from services.executor.access.caller import current_caller, current_namespace
from services.executor.diagnosis import Diagnosis
from services.executor.manager import ExecutionManager
from services.executor.persistence.contract import PurgeFilter, QueueState
from services.executor.persistence.operations import (
    Depth,
    KeyDepth,
    Leased,
    LiveWorker,
    QueueOverview,
    SqlOperations,
)
from services.executor.roster import Roster
from services.executor.servicers import messages
from services.executor.servicers.execution_servicer import page_size
from services.executor.servicers.messages import duration, instant, timestamp

MOST_PURGED = 500
MOST_NAMED = 100
STATE = {
    diagnosis.OK: pb.CHECK_STATE_OK,
    diagnosis.WARNING: pb.CHECK_STATE_WARNING,
    diagnosis.ERROR: pb.CHECK_STATE_ERROR,
}

Context = grpc.aio.ServicerContext[Any, Any]


class OperationsServicer(OperationsServiceServicer):
    def __init__(
        self,
        store: SqlOperations,
        manager: ExecutionManager,
        roster: Roster,
        diagnosis: Diagnosis,
        executor_id: str,
        version: str,
    ) -> None:
        self._store = store
        self._manager = manager
        self._roster = roster
        self._diagnosis = diagnosis
        self._executor_id = executor_id
        self._version = version

    async def ListWorkers(  # noqa: N802
        self, request: pb.ListWorkersRequest, context: Context
    ) -> pb.ListWorkersResponse:
        counts = await self._store.lease_counts()
        leased = await self._store.leased(current_namespace())
        return pb.ListWorkersResponse(
            workers=[
                worker_info(
                    live,
                    counts.get(live.word.worker_id, 0),
                    [one for one in leased if one.owner == live.word.worker_id],
                )
                for live in await self._store.live_workers()
            ],
            database_time=timestamp(await self._store.now()),
        )

    async def GetQueue(self, request: pb.GetQueueRequest, context: Context) -> pb.GetQueueResponse:  # noqa: N802
        caller = current_caller()
        takers = [live for live in await self._store.live_workers() if not live.draining]
        if request.brief and caller.operates_all:
            return brief_message(await self._store.depth(), takers)
        overview = await self._store.queue(caller.namespace, every_namespace=caller.operates_all)
        return queue_message(overview, takers)

    async def DrainWorker(  # noqa: N802
        self, request: pb.DrainWorkerRequest, context: Context
    ) -> pb.DrainWorkerResponse:
        if not current_caller().operates_all:
            raise PermissionDenied("workers belong to the whole installation; its administrator drains them")
        live = await self._store.drain(request.worker_id, draining=not request.undo)
        self._roster.hint()
        counts = await self._store.lease_counts()
        return pb.DrainWorkerResponse(worker=worker_info(live, counts.get(live.word.worker_id, 0), ()))

    async def RequeueExecution(  # noqa: N802
        self, request: pb.RequeueExecutionRequest, context: Context
    ) -> pb.RequeueExecutionResponse:
        execution_id = ExecutionId(request.execution_id)
        record = await self._manager.requeue(execution_id, current_namespace(), first=request.first)
        return pb.RequeueExecutionResponse(execution=messages.execution(record))

    async def PurgeQueue(  # noqa: N802
        self, request: pb.PurgeQueueRequest, context: Context
    ) -> pb.PurgeQueueResponse:
        """A portion, so that no call takes long; it is safe to repeat."""
        where = purge_filter(request, current_namespace())
        limit = page_size(request.limit, default=MOST_PURGED, most=MOST_PURGED, name="/limit")
        if request.dry_run:
            found = await self._manager.would_purge(where)
            return pb.PurgeQueueResponse(count=len(found), execution_ids=found[:MOST_NAMED])
        purged = await self._manager.purge(where, limit, request.reason or "purged from the queue")
        return pb.PurgeQueueResponse(
            count=len(purged), execution_ids=purged[:MOST_NAMED], more=len(purged) == limit
        )

    async def Diagnose(self, request: pb.DiagnoseRequest, context: Context) -> pb.DiagnoseResponse:  # noqa: N802
        checks = await self._diagnosis.checks()
        return pb.DiagnoseResponse(
            checks=[
                pb.Check(
                    name=check.name, state=STATE[check.state], finding=check.finding, remedy=check.remedy
                )
                for check in checks
            ],
            executor_time=timestamp(self._diagnosis.clock.now()),
            executor_id=self._executor_id,
            version=self._version,
        )


def purge_filter(request: pb.PurgeQueueRequest, namespace: str) -> PurgeFilter:
    """Raises InvalidRequest without any condition: nobody empties a queue by leaving something out."""
    where = PurgeFilter(
        workflow_id=request.workflow_id,
        priority=request.priority if request.HasField("priority") else None,
        key=request.key,
        created_before=instant(request.created_before_time)
        if request.HasField("created_before_time")
        else None,
        namespace=namespace,
    )
    conditions = where != PurgeFilter(namespace=namespace)
    if conditions is request.all:
        message = "give a condition, or `all`, and not both"
        raise InvalidRequest([Problem("/all" if conditions else "", "CONFLICTING_FIELDS", message)])
    if where.priority is not None and not 0 <= where.priority <= 9:
        raise InvalidRequest([Problem("/priority", "OUT_OF_RANGE", "must be between 0 and 9")])
    return where


def worker_info(live: LiveWorker, running: int, executions: Sequence[Leased]) -> pb.WorkerInfo:
    word = live.word
    return pb.WorkerInfo(
        id=word.worker_id,
        hostname=word.hostname,
        process_id=word.process_id,
        version=word.version,
        slots=word.slots,
        free_slots=word.free_slots,
        started_time=timestamp(live.started_at),
        seen_time=timestamp(live.seen_at),
        executor_id=live.executor_id,
        draining=live.draining,
        running_count=running,
        executions=map(running_execution, executions),
        capabilities=word.capabilities,
    )


def running_execution(leased: Leased) -> pb.RunningExecution:
    return pb.RunningExecution(
        execution_id=leased.execution_id,
        workflow_id=leased.workflow_id,
        workflow_name=leased.workflow_name,
        started_time=timestamp(leased.started_at),
        lease_expires_time=timestamp(leased.lease_expires_at),
    )


def queue_message(queue: QueueOverview, workers: Sequence[LiveWorker]) -> pb.GetQueueResponse:
    """workers: those that may take from it."""
    pending, ready = queue.oldest_pending_seconds, queue.oldest_ready_seconds
    return pb.GetQueueResponse(
        pending_count=queue.pending,
        ready_count=queue.ready,
        running_count=queue.running,
        waiting_count=queue.waiting,
        oldest_pending_age=None if pending is None else duration(1000 * pending),
        oldest_ready_age=None if ready is None else duration(1000 * ready),
        **slots_of(workers),
        priorities=[pb.PriorityDepth(priority=int(depth.name), **parts(depth)) for depth in queue.priorities],
        namespaces=[pb.NamespaceDepth(namespace=depth.name, **parts(depth)) for depth in queue.namespaces],
        workflows=[pb.WorkflowDepth(workflow_id=depth.name, **parts(depth)) for depth in queue.workflows],
        keys=map(key_depth, queue.keys),
        database_time=timestamp(queue.now),
        partial=queue.partial,
    )


def brief_message(state: QueueState, workers: Sequence[LiveWorker]) -> pb.GetQueueResponse:
    return pb.GetQueueResponse(
        pending_count=state.pending,
        ready_count=state.ready,
        oldest_pending_age=duration(1000 * state.oldest_pending_seconds) if state.pending else None,
        oldest_ready_age=duration(1000 * state.oldest_ready_seconds) if state.ready else None,
        **slots_of(workers),
    )


def slots_of(workers: Sequence[LiveWorker]) -> dict[str, Any]:
    return {
        "worker_count": len(workers),
        "slots": sum(live.word.slots for live in workers),
        "free_slots": sum(live.word.free_slots for live in workers),
    }


def key_depth(depth: KeyDepth) -> pb.KeyDepth:
    return pb.KeyDepth(
        kind=depth.kind,
        workflow_id=depth.workflow_id,
        key=depth.key,
        limit=depth.limit,
        period=duration(depth.period_ms) if depth.period_ms else None,
        taken_count=depth.taken,
        waiting_count=depth.waiting,
    )


def parts(depth: Depth) -> dict[str, Any]:
    return {"pending_count": depth.pending, "oldest_pending_age": duration(1000 * depth.oldest_seconds)}
