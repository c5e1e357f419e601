"""An executor of canned answers: a real gRPC server whose executions tests drive event by event."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from flow_engine.errors import Problem
from flow_engine.v1 import access_pb2 as acc
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import operations_pb2 as ops
from flow_engine.v1 import stats_pb2 as st
from flow_engine.v1 import workflow_pb2 as wf
from flow_engine.v1.access_pb2_grpc import AccessServiceServicer, add_AccessServiceServicer_to_server
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceServicer, add_ExecutionServiceServicer_to_server
from flow_engine.v1.operations_pb2_grpc import (
    OperationsServiceServicer,
    add_OperationsServiceServicer_to_server,
)
from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceServicer, add_WorkflowServiceServicer_to_server

STATUS_AFTER = {
    "execution.completed": pb.EXECUTION_STATUS_COMPLETED,
    "execution.failed": pb.EXECUTION_STATUS_FAILED,
    "execution.cancelled": pb.EXECUTION_STATUS_CANCELLED,
}

EVERY_METHOD = [
    f"{service.full_name}/{method.name}"
    for file in (pb, wf, ops, acc)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@dataclass(slots=True)
class Refusal:
    """What the executor answers instead of doing what was asked."""

    code: grpc.StatusCode
    reason: str = ""
    message: str = "refused"
    metadata: dict[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()


class Run:
    """One execution: its message and its history."""

    def __init__(self, execution: pb.Execution) -> None:
        self.execution = execution
        self.events: list[pb.Event] = []
        self.news = asyncio.Event()

    def happen(self, event_type: str, **data: Any) -> None:
        sequence = len(self.events) + 1
        frame = {"sequence": sequence, "executionId": self.execution.id, "type": event_type, **data}
        self.events.append(
            pb.Event(
                sequence=sequence,
                type=event_type,
                execution_id=self.execution.id,
                frame_json=json.dumps(frame, separators=(",", ":")),
            )
        )
        self.execution.last_sequence = sequence
        if event_type in STATUS_AFTER:
            self.execution.status = STATUS_AFTER[event_type]
        self.news.set()
        self.news = asyncio.Event()

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].type in STATUS_AFTER


class Engine(
    ExecutionServiceServicer, WorkflowServiceServicer, OperationsServiceServicer, AccessServiceServicer
):
    """Keeps its executions over `stop` and `start`, as a database would, and its port too."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.asked: list[Any] = []  # requests of unary calls and starts
        self.calls: Counter[str] = Counter()
        self.open_watches = 0
        self.watch_ended = asyncio.Condition()
        self.refusals: list[Refusal] = []  # the next calls get these, in order
        self.answers: dict[type, Any] = {}  # by type of request
        self.pages: list[pb.ListExecutionsResponse] = []  # of the next lists, in order
        self.batch = 1000  # events in one message of a watch
        self.port = 0
        self.callers: dict[str, acc.WhoAmIResponse] = {}  # by token; empty: everybody is the local one
        self._server: grpc.aio.Server | None = None
        self.changes: list[pb.ExecutionChange] = []
        self.changed = asyncio.Event()
        self.feed_page = 100  # changes in one message

    # Driven by tests ---------------------------------------------------------------------------

    async def start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_ExecutionServiceServicer_to_server(self, server)
        add_WorkflowServiceServicer_to_server(self, server)
        add_OperationsServiceServicer_to_server(self, server)
        add_AccessServiceServicer_to_server(self, server)
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        await checks.set("", health_pb2.HealthCheckResponse.SERVING)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._server = server

    def change(self, execution_id: str = "e1", **fields: Any) -> str:
        """One more change; its cursor."""
        fields.setdefault("status", pb.EXECUTION_STATUS_RUNNING)
        fields.setdefault("mode", pb.EXECUTION_MODE_QUEUED)
        cursor = f"{len(self.changes) + 1:05d}"
        self.changes.append(pb.ExecutionChange(cursor=cursor, execution_id=execution_id, **fields))
        self.changed.set()
        self.changed = asyncio.Event()
        return cursor

    @property
    def running(self) -> bool:
        return self._server is not None

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def run(self, execution_id: str = "e1", **fields: Any) -> Run:
        fields.setdefault("status", pb.EXECUTION_STATUS_RUNNING)
        fields.setdefault("mode", pb.EXECUTION_MODE_QUEUED)
        run = self.runs[execution_id] = Run(pb.Execution(id=execution_id, **fields))
        run.happen("execution.created")
        return run

    async def no_watch_is_open(self) -> None:
        async with self.watch_ended:
            await self.watch_ended.wait_for(lambda: self.open_watches == 0)

    def last(self, kind: type) -> Any:
        """The newest request of a kind."""
        return next(request for request in reversed(self.asked) if isinstance(request, kind))

    # gRPC ---------------------------------------------------------------------------------------

    async def _begin(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        self.asked.append(request)
        self.calls[type(request).__name__] += 1
        if self.refusals:
            await context.abort_with_status(rpc_status.to_status(_status(self.refusals.pop(0))))
        return self.answers.get(type(request))

    async def _found(self, execution_id: str, context: grpc.aio.ServicerContext[Any, Any]) -> Run:
        if execution_id not in self.runs:
            refusal = Refusal(grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND", "there is no such execution")
            await context.abort_with_status(rpc_status.to_status(_status(refusal)))
        return self.runs[execution_id]

    async def StartExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._begin(request, context) or pb.StartExecutionResponse(
            execution=self.run().execution, created=True
        )

    async def ListWorkers(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._begin(request, context) or ops.ListWorkersResponse()

    async def GetQueue(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._begin(request, context) or ops.GetQueueResponse()

    async def DrainWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._begin(request, context)
        worker = ops.WorkerInfo(id=request.worker_id, draining=not request.undo)
        return ops.DrainWorkerResponse(worker=worker)

    async def RequeueExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._begin(request, context)
        run = await self._found(request.execution_id, context)
        return ops.RequeueExecutionResponse(execution=run.execution)

    async def PurgeQueue(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._begin(request, context) or ops.PurgeQueueResponse(count=2, execution_ids=["e1"])

    async def Diagnose(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._begin(request, context) or ops.DiagnoseResponse(executor_id="executor:1")

    async def StartAndWatchExecution(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._begin(request, context)
        run = self.runs.get("e1") or self.run()
        yield pb.StartAndWatchExecutionResponse(execution_id=run.execution.id)
        async for events in self._follow(run, 0):
            for event in events:
                yield pb.StartAndWatchExecutionResponse(event=event)

    async def WatchExecution(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._begin(request, context)
        run = await self._found(request.execution_id, context)
        async for events in self._follow(run, request.after_sequence):
            yield pb.WatchExecutionResponse(events=events, sequence=events[-1].sequence)

    async def _follow(self, run: Run, cursor: int) -> AsyncIterator[list[pb.Event]]:
        self.open_watches += 1
        try:
            while True:
                news = run.news
                while events := run.events[cursor : cursor + self.batch]:
                    cursor = events[-1].sequence
                    yield events
                if run.ended:
                    return
                await news.wait()
        finally:
            self.open_watches -= 1
            async with self.watch_ended:
                self.watch_ended.notify_all()

    async def GetExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = await self._begin(request, context)
        run = await self._found(request.execution_id, context)
        return answer or pb.GetExecutionResponse(execution=run.execution)

    async def ListEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._begin(request, context)
        run = await self._found(request.execution_id, context)
        first, limit = request.after_sequence, request.limit or 200
        return pb.ListEventsResponse(events=run.events[first : first + limit], last_sequence=len(run.events))

    def _changes_after(self, request: Any, cursor: str, limit: int) -> tuple[list[pb.ExecutionChange], str]:
        """What the filter finds among the next changes, and how far they were looked at."""
        statuses = set(request.filter.statuses)
        looked_at = [change for change in self.changes if change.cursor > cursor][:limit]
        found = [change for change in looked_at if not statuses or change.status in statuses]
        return found, looked_at[-1].cursor if looked_at else cursor

    async def ListChanges(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._begin(request, context)
        newest = self.changes[-1].cursor if self.changes else "00000"
        if not request.after_cursor:
            return pb.ListChangesResponse(cursor=newest)
        found, cursor = self._changes_after(request, request.after_cursor, request.limit)
        return pb.ListChangesResponse(changes=found, cursor=cursor, more=cursor < newest)

    async def WatchExecutions(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._begin(request, context)
        self.open_watches += 1
        cursor = request.after_cursor
        try:
            while True:
                changed = self.changed
                found, reached = self._changes_after(request, cursor, self.feed_page)
                if reached > cursor:
                    cursor = reached
                    yield pb.WatchExecutionsResponse(changes=found, cursor=cursor)
                else:
                    await changed.wait()
        finally:
            self.open_watches -= 1
            async with self.watch_ended:
                self.watch_ended.notify_all()

    async def _control(self, request: Any, context: Any, answer_type: Any) -> Any:
        answer = await self._begin(request, context)
        run = await self._found(request.execution_id, context)
        return answer or answer_type(execution=run.execution, done=True)

    async def PauseExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._control(request, context, pb.PauseExecutionResponse)

    async def ResumeExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._control(request, context, pb.ResumeExecutionResponse)

    async def CancelExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._control(request, context, pb.CancelExecutionResponse)

    async def _canned(self, request: Any, context: Any, default: Any) -> Any:
        return await self._begin(request, context) or default

    async def RetryExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        execution = pb.Execution(id="e2", status=pb.EXECUTION_STATUS_PENDING, retry_of="e1", root_id="e1")
        return await self._canned(request, context, pb.RetryExecutionResponse(execution=execution))

    async def SubmitInput(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(
            request, context, pb.SubmitInputResponse(execution=self.runs["e1"].execution)
        )

    async def ControlExecutions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.ControlExecutionsResponse())

    async def SubmitCallback(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.SubmitCallbackResponse())

    async def GetValue(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.GetValueResponse(value_json="null"))

    async def ListExecutions(self, request: Any, context: Any) -> Any:  # noqa: N802
        page = self.pages.pop(0) if self.pages else pb.ListExecutionsResponse()
        return await self._canned(request, context, page)

    async def ListSteps(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.ListStepsResponse())

    async def AnalyzeWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.AnalyzeWorkflowResponse())

    async def ValidateWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.ValidateWorkflowResponse(valid=True))

    async def CountExecutions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.CountExecutionsResponse())

    async def WhoAmI(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Not counted: the gateway asks when it likes. Whoever is not in `callers` is the local one."""
        sent = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        if self.callers and sent not in self.callers:
            refusal = Refusal(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "not accepted")
            await context.abort_with_status(rpc_status.to_status(_status(refusal)))
        return self.callers.get(sent) or acc.WhoAmIResponse(
            subject="local", namespace="default", role=acc.ROLE_ADMIN, methods=EVERY_METHOD
        )

    async def CreateToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        made = acc.Token(id="t1", name=request.name, role=request.role)
        return await self._canned(request, context, acc.CreateTokenResponse(token=made, secret="s"))

    async def ListTokens(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, acc.ListTokensResponse())

    async def RevokeToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, acc.RevokeTokenResponse(token=acc.Token(id="t1")))

    async def ListAuditEntries(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, acc.ListAuditEntriesResponse())

    async def GetStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, st.GetStatsResponse())

    async def ListNodeTypes(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, pb.ListNodeTypesResponse())

    async def CreateWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        stored = wf.Workflow(id="w 1/ü", name="W", version=1, definition_json=request.workflow_json)
        return await self._canned(request, context, wf.CreateWorkflowResponse(workflow=stored))

    async def UpdateWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        stored = wf.Workflow(id=request.workflow_id, version=2, definition_json=request.workflow_json)
        return await self._canned(request, context, wf.UpdateWorkflowResponse(workflow=stored))

    async def GetWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        stored = wf.Workflow(
            id=request.workflow_id, version=request.version or 7, definition_json='{"n":1.0}'
        )
        return await self._canned(request, context, wf.GetWorkflowResponse(workflow=stored))

    async def ListWorkflows(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, wf.ListWorkflowsResponse())

    async def ListWorkflowVersions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, wf.ListWorkflowVersionsResponse())

    async def LabelWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        stored = wf.Workflow(id=request.workflow_id, version=1, labels=request.set)
        return await self._canned(request, context, wf.LabelWorkflowResponse(workflow=stored))

    async def DiffWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, wf.DiffWorkflowResponse(from_version=1, same=True))

    async def DeleteWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._canned(request, context, wf.DeleteWorkflowResponse())


def _status(refusal: Refusal) -> status_pb2.Status:
    status = status_pb2.Status(code=refusal.code.value[0], message=refusal.message)
    details: list[Any] = []
    if refusal.reason:
        details.append(
            error_details_pb2.ErrorInfo(
                reason=refusal.reason, domain="flow_engine", metadata=refusal.metadata
            )
        )
    if refusal.problems:
        bad = error_details_pb2.BadRequest()
        for problem in refusal.problems:
            violation = bad.field_violations.add(
                field=problem.path, reason=problem.code, description=problem.message
            )
            violation.localized_message.message = problem.hint
        details.append(bad)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status
