"""Workers and the queue, for operators."""

from __future__ import annotations

from flow_engine.v1 import operations_pb2 as pb
from services.gateway.bodies import DrainRequest, PurgeRequest, RequeueRequest
from services.gateway.call import Answer, Call, document, in_utc
from services.gateway.documents import execution_document
from services.gateway.queue_documents import (
    diagnosis_document,
    purge_document,
    queue_document,
    worker_document,
    worker_list,
)


async def list_workers(call: Call) -> Answer:
    """Who is there, since when, with how many free slots, and what each runs."""
    executor = call.services.executor
    answer = await executor.ask(executor.operations.ListWorkers, pb.ListWorkersRequest(), call.request_id)
    return document(worker_list(answer))


async def get_queue(call: Call) -> Answer:
    """How deep the queue is, how old, and what it is made of."""
    executor = call.services.executor
    answer = await executor.ask(executor.operations.GetQueue, pb.GetQueueRequest(), call.request_id)
    return document(queue_document(answer))


async def drain_worker(call: Call) -> Answer:
    """Let a worker finish what it has and claim nothing more."""
    body = await call.decoded(DrainRequest)
    executor = call.services.executor
    request = pb.DrainWorkerRequest(worker_id=call.path["workerId"], undo=bool(body.undo))
    answer = await executor.ask(executor.operations.DrainWorker, request, call.request_id)
    return document(worker_document(answer.worker))


async def requeue_execution(call: Call) -> Answer:
    """Take a running execution from its runner and put it back into the queue."""
    body = await call.decoded(RequeueRequest)
    executor = call.services.executor
    request = pb.RequeueExecutionRequest(execution_id=call.path["executionId"], first=bool(body.first))
    # Not repeated: a second time it would take it from its next runner.
    answer = await executor.ask(executor.operations.RequeueExecution, request, call.request_id, repeat=False)
    return document(execution_document(answer.execution, with_steps=False))


async def purge_queue(call: Call) -> Answer:
    """Cancel pending executions that a filter finds."""
    body = await call.decoded(PurgeRequest)
    executor = call.services.executor
    request = pb.PurgeQueueRequest(
        workflow_id=body.workflow_id or "",
        priority=body.priority,
        key=body.key or "",
        all=bool(body.all),
        reason=body.reason or "",
        dry_run=bool(body.dry_run),
        limit=body.limit or 0,
    )
    if body.created_before is not None:
        request.created_before_time.FromDatetime(in_utc(body.created_before))
    answer = await executor.ask(executor.operations.PurgeQueue, request, call.request_id)
    return document(purge_document(answer))


async def diagnose(call: Call) -> Answer:
    """Look at everything that the executor needs."""
    executor = call.services.executor
    answer = await executor.ask(executor.operations.Diagnose, pb.DiagnoseRequest(), call.request_id)
    return document(diagnosis_document(answer))
