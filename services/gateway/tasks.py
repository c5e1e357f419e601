"""Tasks of task.external steps, for programs that speak no gRPC."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from starlette.responses import Response

from flow_engine.v1 import task_pb2 as tk
from services.gateway.bodies import CompleteRequest, FailRequest, HeartbeatRequest, PollRequest, given
from services.gateway.call import Answer, Call, document
from services.gateway.documents import heartbeat_document, task_document

MARGIN_SECONDS = 10.0
"""What an answer may take beyond the wait."""
DEFAULT_WAIT_MS = 20_000


async def poll_task(call: Call) -> Answer:
    """Take the next task of a queue, or wait for one."""
    body = await call.decoded(PollRequest)
    wait = DEFAULT_WAIT_MS if body.wait is None else body.wait
    request = tk.PollTaskRequest(queue=call.path["queue"], worker_id=body.worker_id or "", wait=_span(wait))
    if body.lease is not None:
        request.lease.CopyFrom(_span(body.lease))
    executor = call.services.executor
    answer = await executor.ask(
        executor.polls.PollTask, request, call.request_id, seconds=wait / 1000 + MARGIN_SECONDS, repeat=False
    )
    if not answer.HasField("task"):
        return Response(status_code=204)
    return document(task_document(answer.task))


async def heartbeat_task(call: Call) -> Answer:
    """Extend the lease of a task; learn whether its result is still wanted."""
    body = await call.decoded(HeartbeatRequest)
    executor = call.services.executor
    answer = await executor.ask(
        executor.tasks.HeartbeatTask, tk.HeartbeatTaskRequest(token=body.token), call.request_id
    )
    return document(heartbeat_document(answer))


async def complete_task(call: Call) -> Answer:
    """Report the output of a task."""
    body = await call.decoded(CompleteRequest)
    output = given(body.output)
    request = tk.CompleteTaskRequest(
        token=body.token, output_json="" if output is None else bytes(output).decode()
    )
    executor = call.services.executor
    await executor.ask(executor.tasks.CompleteTask, request, call.request_id)
    return Response(status_code=204)


async def fail_task(call: Call) -> Answer:
    """Report that a task failed."""
    body = await call.decoded(FailRequest)
    details = given(body.details)
    request = tk.FailTaskRequest(
        token=body.token,
        code=body.code or "",
        message=body.message or "",
        retryable=body.retryable,
        retry_after=None if body.retry_after is None else _span(body.retry_after),
        details_json="" if details is None else bytes(details).decode(),
    )
    executor = call.services.executor
    await executor.ask(executor.tasks.FailTask, request, call.request_id)
    return Response(status_code=204)


def _span(milliseconds: int) -> Duration:
    span = Duration()
    span.FromMilliseconds(milliseconds)
    return span
