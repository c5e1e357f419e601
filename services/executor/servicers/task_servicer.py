"""TaskService: programs in any language take tasks and report on them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from flow_engine.errors import InvalidRequest, Problem
from flow_engine.nodes.signals import task_error, task_output
from flow_engine.payload import JsonValue, Payload
from flow_engine.v1 import task_pb2 as pb
from flow_engine.v1.task_pb2_grpc import TaskServiceServicer
from services.executor.access.caller import current_namespace
from services.executor.inputs import parse_input
from services.executor.persistence.tasks import Taker
from services.executor.servicers.messages import timestamp
from services.executor.tasks import Handed, Tasks

Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 20.0, 60.0
DEFAULT_LEASE_SECONDS, LONGEST_LEASE_SECONDS = 60.0, 3_600.0
MOST_OPEN = 100
LONGEST_RETRY_AFTER_SECONDS = 365 * 86_400.0
LONGEST_MESSAGE = 10_000
QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class TaskServicer(TaskServiceServicer):
    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def PollTask(self, request: pb.PollTaskRequest, context: Context) -> pb.PollTaskResponse:  # noqa: N802
        wait = span(request, "wait", DEFAULT_WAIT_SECONDS, 0.0, LONGEST_WAIT_SECONDS)
        handed = await self._tasks.poll(self._taker(request), lease_of(request), wait)
        return pb.PollTaskResponse(task=None if handed is None else task(handed))

    async def StreamTasks(  # noqa: N802
        self, request: pb.StreamTasksRequest, context: Context
    ) -> AsyncIterator[pb.StreamTasksResponse]:
        if not request.worker_id:
            raise wrong("/workerId", "MISSING_FIELD", "open tasks are counted by it")
        most_open = request.max_open or 1
        if not 1 <= most_open <= MOST_OPEN:
            raise wrong("/maxOpen", "OUT_OF_RANGE", f"must be from 1 to {MOST_OPEN}")
        async for handed in self._tasks.stream(self._taker(request), lease_of(request), most_open):
            yield pb.StreamTasksResponse(task=task(handed))

    async def HeartbeatTask(  # noqa: N802
        self, request: pb.HeartbeatTaskRequest, context: Context
    ) -> pb.HeartbeatTaskResponse:
        beat = await self._tasks.heartbeat(request.token, current_namespace())
        if beat.lease_expires_at is None:
            return pb.HeartbeatTaskResponse(cancelled=True, reason=beat.reason)
        return pb.HeartbeatTaskResponse(
            lease_expires_time=timestamp(beat.lease_expires_at), lease=duration(beat.lease_seconds)
        )

    async def CompleteTask(  # noqa: N802
        self, request: pb.CompleteTaskRequest, context: Context
    ) -> pb.CompleteTaskResponse:
        output = parsed(request.output_json, "/outputJson")
        await self._tasks.settle(request.token, Payload.of(task_output(output)), current_namespace())
        return pb.CompleteTaskResponse()

    async def FailTask(self, request: pb.FailTaskRequest, context: Context) -> pb.FailTaskResponse:  # noqa: N802
        await self._tasks.settle(request.token, Payload.of(failure(request)), current_namespace())
        return pb.FailTaskResponse()

    def _taker(self, request: pb.PollTaskRequest | pb.StreamTasksRequest) -> Taker:
        return Taker(current_namespace(), queue_of(request), worker_of(request))


def failure(request: pb.FailTaskRequest) -> JsonValue:
    """What the history tells of it. Raises InvalidRequest."""
    code = request.code or "TASK_FAILED"
    if not CODE.fullmatch(code):
        raise wrong(
            "/code", "INVALID_CODE", "write it in upper case, with at most 64 characters: OUT_OF_STOCK"
        )
    if len(request.message) > LONGEST_MESSAGE:
        raise wrong("/message", "TOO_LONG", f"at most {LONGEST_MESSAGE:,} characters")
    after = None
    if request.HasField("retry_after"):
        after = int(1000 * span(request, "retry_after", 0.0, 0.0, LONGEST_RETRY_AFTER_SECONDS))
    return task_error(
        code,
        request.message or "the program reported a failure",
        retryable=request.retryable if request.HasField("retryable") else True,
        retry_after_ms=after,
        details=parsed(request.details_json, "/detailsJson"),
    )


def queue_of(request: pb.PollTaskRequest | pb.StreamTasksRequest) -> str:
    if not QUEUE.fullmatch(request.queue):
        raise wrong("/queue", "INVALID_QUEUE", "name the queue that a task.external node names")
    return request.queue


def worker_of(request: pb.PollTaskRequest | pb.StreamTasksRequest) -> str:
    if len(request.worker_id) > 256 or "\0" in request.worker_id:
        raise wrong("/workerId", "TOO_LONG", "at most 256 characters, and no NUL")
    return request.worker_id


def lease_of(request: pb.PollTaskRequest | pb.StreamTasksRequest) -> timedelta:
    return timedelta(seconds=span(request, "lease", DEFAULT_LEASE_SECONDS, 1.0, LONGEST_LEASE_SECONDS))


def span(request: Any, name: str, default: float, least: float, most: float) -> float:
    """A Duration field in seconds. Raises InvalidRequest."""
    if not request.HasField(name):
        return default
    given: Duration = getattr(request, name)
    seconds = given.seconds + given.nanos / 1e9
    if not least <= seconds <= most:
        camel = re.sub("_([a-z])", lambda found: found[1].upper(), name)
        raise wrong(f"/{camel}", "OUT_OF_RANGE", f"must be from {least:g} s to {most:g} s")
    return seconds


def parsed(text: str, path: str) -> JsonValue:
    """JSON that came with a call; none is null. Raises InvalidRequest with the field in its paths."""
    if not text:
        return None
    try:
        return parse_input(text).value
    except InvalidRequest as error:
        raise InvalidRequest(
            [
                Problem(path + problem.path, problem.code, problem.message, problem.hint)
                for problem in error.problems
            ]
        ) from None


def wrong(path: str, code: str, message: str) -> InvalidRequest:
    return InvalidRequest([Problem(path, code, message)])


def task(handed: Handed) -> pb.Task:
    one = handed.task
    return pb.Task(
        token=one.token,
        queue=one.queue,
        execution_id=one.execution_id,
        workflow_id=one.workflow_id,
        node_id=one.node_id,
        iteration=one.iteration,
        attempt=one.attempt,
        offer=one.offer,
        input_json=handed.input.decode(),
        step_key=one.step_key,
        created_time=timestamp(one.created_at),
        lease_expires_time=timestamp(one.lease_expires_at),
        lease=duration(handed.lease_seconds),
    )


def duration(seconds: float) -> Duration:
    span = Duration()
    span.FromMilliseconds(round(1000 * seconds))
    return span
