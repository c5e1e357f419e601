"""OperationsService: workers and the queue, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from flow_engine.v1 import operations_pb2 as pb
from flow_engine.v1.operations_pb2_grpc import OperationsServiceServicer
from services.executor.access.caller import current_caller, current_namespace
from services.executor.persistence.operations import Depth, Leased, LiveWorker, QueueOverview, SqlOperations
from services.executor.servicers.messages import duration, timestamp

Context = grpc.aio.ServicerContext[Any, Any]


class OperationsServicer(OperationsServiceServicer):
    def __init__(self, store: SqlOperations) -> None:
        self._store = store

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
        overview = await self._store.queue(caller.namespace, every_namespace=caller.operates_all)
        workers = await self._store.live_workers()
        return queue_message(overview, [live for live in workers if not live.draining])


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
        worker_count=len(workers),
        slots=sum(live.word.slots for live in workers),
        free_slots=sum(live.word.free_slots for live in workers),
        priorities=[pb.PriorityDepth(priority=int(depth.name), **parts(depth)) for depth in queue.priorities],
        namespaces=[pb.NamespaceDepth(namespace=depth.name, **parts(depth)) for depth in queue.namespaces],
        workflows=[pb.WorkflowDepth(workflow_id=depth.name, **parts(depth)) for depth in queue.workflows],
        database_time=timestamp(queue.now),
    )


def parts(depth: Depth) -> dict[str, Any]:
    return {"pending_count": depth.pending, "oldest_pending_age": duration(1000 * depth.oldest_seconds)}
