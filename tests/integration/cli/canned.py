"""An executor with canned answers on a real gRPC server: the whole of it is the wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import execution_pb2_grpc, workflow_pb2_grpc
from flow_engine.v1 import stats_pb2 as st
from flow_engine.v1 import workflow_pb2 as wf

RUN_ID = "01980000-0000-7000-8000-000000000001"
START = datetime(2030, 1, 31, 12, tzinfo=UTC)
BIG = 9007199254740993


def events(*frames: dict[str, Any]) -> list[pb.Event]:
    made = []
    for sequence, frame in enumerate(frames, 1):
        at = START + timedelta(milliseconds=10 * sequence)
        whole = {"sequence": sequence, "executionId": RUN_ID, "time": at.isoformat(), **frame}
        made.append(
            pb.Event(
                sequence=sequence,
                type=frame["type"],
                execution_id=RUN_ID,
                node_id=frame.get("nodeId", ""),
                frame_json=json.dumps(whole),
            )
        )
    return made


COMPLETED = events(
    {"type": "execution.created", "mode": "immediate", "requestedMode": "auto"},
    {"type": "step.started", "nodeId": "a", "attempt": 1},
    {"type": "step.completed", "nodeId": "a", "attempt": 1, "output": BIG},
    {"type": "execution.completed", "output": BIG},
)


def execution(status: pb.ExecutionStatus = pb.EXECUTION_STATUS_COMPLETED, **more: Any) -> pb.Execution:
    made = pb.Execution(
        id=RUN_ID,
        workflow_id="w",
        workflow_name="W",
        status=status,
        mode=pb.EXECUTION_MODE_IMMEDIATE,
        complexity=pb.ComplexityAnalysis(
            mode=pb.EXECUTION_MODE_IMMEDIATE,
            requested_mode=pb.EXECUTION_MODE_AUTO,
            explanation="Immediate, because it has 1 node (limit 10).",
            factors=[
                pb.ComplexityFactor(
                    name="nodeCount", value_json="1", threshold_json="10", explanation="1 of 10 nodes"
                )
            ],
        ),
        last_sequence=4,
        steps=[pb.Step(node_id="a", node_type="data.set", status=pb.STEP_STATUS_COMPLETED, attempts=1)],
        **more,
    )
    made.created_time.FromDatetime(START)
    return made


def refusal(code: grpc.StatusCode, reason: str, message: str, *details: Any, **metadata: str) -> Any:
    status = Status(code=code.value[0], message=message)
    for detail in (ErrorInfo(reason=reason, domain="flow_engine", metadata=metadata), *details):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return rpc_status.to_status(status)


INVALID = refusal(
    grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_WORKFLOW",
    "refused",
    BadRequest(
        field_violations=[
            BadRequest.FieldViolation(
                field="/nodes/0/type",
                reason="UNKNOWN_TYPE",
                description="there is no node type 'data.sett'",
                localized_message=LocalizedMessage(locale="en", message="did you mean data.set?"),
            ),
            BadRequest.FieldViolation(field="/edges/0", reason="NO_SUCH_NODE", description="nobody is 'x'"),
        ]
    ),
    problems="2",
)


class CannedExecutor(execution_pb2_grpc.ExecutionServiceServicer, workflow_pb2_grpc.WorkflowServiceServicer):
    """Remembers every request; answers what the test put there."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.refuse: Any = None
        self.execution = execution(output_json=str(BIG))
        self.stats = st.GetStatsResponse()
        self.history: Sequence[pb.Event] = COMPLETED
        self.cut_after: int | None = None  # events after which the next stream breaks, once
        self.released = threading.Event()  # streams of a history without an end stay open until it is set

    def _called(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.metadata = {key: str(value) for key, value in context.invocation_metadata()}
        if self.refuse is not None:
            context.abort_with_status(self.refuse)

    def StartExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.StartExecutionResponse(execution=self.execution, created=True)

    def StartAndWatchExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        yield pb.StartAndWatchExecutionResponse(execution_id=RUN_ID)
        for event in self._stream(context, 0):
            yield pb.StartAndWatchExecutionResponse(event=event)

    def WatchExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        for event in self._stream(context, request.after_sequence):
            yield pb.WatchExecutionResponse(events=[event], sequence=event.sequence)

    def _stream(self, context: Any, after: int) -> Iterator[pb.Event]:
        unseen = [event for event in self.history if event.sequence > after]
        cut, self.cut_after = self.cut_after, None
        yield from unseen[:cut]
        if cut is not None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
        if not self.history[-1].type.startswith("execution.") or self.history[-1].type == "execution.waiting":
            context.add_callback(self.released.set)
            self.released.wait()

    def GetExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.GetExecutionResponse(execution=self.execution)

    def ListExecutions(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        following = "" if request.page_token else "more"
        return pb.ListExecutionsResponse(executions=[self.execution], next_page_token=following)

    def ListEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        page = [event for event in COMPLETED if event.sequence > request.after_sequence][: request.limit]
        return pb.ListEventsResponse(events=page, last_sequence=len(COMPLETED))

    def ListSteps(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.ListStepsResponse(steps=[pb.Step(node_id="late", status=pb.STEP_STATUS_SKIPPED)])

    def WatchExecutions(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        yield pb.WatchExecutionsResponse(cursor="0")

    def ListChanges(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.ListChangesResponse(cursor="0")

    def PauseExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.PauseExecutionResponse(execution=self.execution, done=False)

    def ResumeExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.ResumeExecutionResponse(execution=self.execution, done=True)

    def CancelExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.CancelExecutionResponse(execution=self.execution, done=True)

    def RetryExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.RetryExecutionResponse(execution=self.execution)

    def SubmitCallback(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.SubmitCallbackResponse()

    def GetValue(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.GetValueResponse(value_json=f'{{"n": {BIG}}}')

    def ControlExecutions(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Two pages."""
        self._called(request, context)
        if request.page_token:
            refused = pb.ControlledExecution(
                execution_id="e2",
                status=pb.EXECUTION_STATUS_COMPLETED,
                effect=pb.CONTROL_EFFECT_REFUSED,
                reason="ILLEGAL_TRANSITION",
                message="an execution that is completed cannot be cancelled",
            )
            return pb.ControlExecutionsResponse(executions=[refused], refused_count=1)
        done = pb.ControlledExecution(
            execution_id="e1", status=pb.EXECUTION_STATUS_CANCELLED, effect=pb.CONTROL_EFFECT_DONE
        )
        return pb.ControlExecutionsResponse(executions=[done], done_count=1, next_page_token="more")

    def SubmitInput(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.SubmitInputResponse(execution=self.execution)

    def AnalyzeWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.AnalyzeWorkflowResponse(complexity=self.execution.complexity)

    def ValidateWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        if "bad" in request.workflow_json:
            problem = pb.Problem(path="/nodes", code="WRONG", message="is bad", hint="make it good")
            return pb.ValidateWorkflowResponse(valid=False, problems=[problem])
        return pb.ValidateWorkflowResponse(valid=True)

    def ListNodeTypes(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        node_type = pb.NodeType(
            type="logic.if", title="If", config_schema_json='{"type":"object"}', handles=["true", "false"]
        )
        return pb.ListNodeTypesResponse(node_types=[node_type])

    def CountExecutions(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return pb.CountExecutionsResponse(count=3)

    def GetStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return self.stats

    def CreateWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return wf.CreateWorkflowResponse(workflow=stored(request.workflow_json))

    def UpdateWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return wf.UpdateWorkflowResponse(workflow=stored(request.workflow_json, version=2))

    def GetWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return wf.GetWorkflowResponse(workflow=stored(f'{{"id": "w", "vars": {{"n": {BIG}}}}}'))

    def ListWorkflows(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return wf.ListWorkflowsResponse(workflows=[stored("")])

    def ListWorkflowVersions(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return wf.ListWorkflowVersionsResponse(versions=[stored("", 2), stored("")])

    def LabelWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return wf.LabelWorkflowResponse(workflow=wf.Workflow(id="w", version=1, labels=request.set))

    def DiffWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        changed = wf.FieldDiff(
            kind=wf.DIFF_KIND_CHANGED, path="/config/url", before_json='"a"', after_json='"b"'
        )
        node = wf.NodeDiff(kind=wf.DIFF_KIND_CHANGED, node_id="call", path="/nodes/0", changes=[changed])
        edge = wf.EdgeDiff(kind=wf.DIFF_KIND_ADDED, source="call", source_handle="error", target="tell")
        return wf.DiffWorkflowResponse(from_version=1, to_version=2, nodes=[node], edges=[edge])

    def DeleteWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._called(request, context)
        return wf.DeleteWorkflowResponse()


def stored(definition_json: str, version: int = 1) -> wf.Workflow:
    return wf.Workflow(id="w", name="W", version=version, definition_json=definition_json)


@contextmanager
def serving(executor: CannedExecutor) -> Iterator[str]:
    """The address of a server that gives its answers."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    execution_pb2_grpc.add_ExecutionServiceServicer_to_server(executor, server)
    workflow_pb2_grpc.add_WorkflowServiceServicer_to_server(executor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
