"""ExecutionService: messages to calls of the manager, and back."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any

import grpc
import msgspec
from google.protobuf.duration_pb2 import Duration

from flow_engine.errors import InvalidRequest, PermissionDenied, Problem
from flow_engine.ids import ExecutionId, content_hash
from flow_engine.nodes.registry import NodeRegistry
from flow_engine.payload import encode
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import stats_pb2 as st
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceServicer
from services.executor.access.caller import current_caller, current_namespace
from services.executor.access.roles import may_define
from services.executor.bulk import control, is_done
from services.executor.database_clock import DatabaseClock
from services.executor.feed import cursor_of, place_of
from services.executor.manager import ExecutionManager, View
from services.executor.persistence.contract import ChangeFilter, ExecutionFilter, ExecutionRecord
from services.executor.persistence.statistics import SqlStatistics
from services.executor.servicers import messages
from services.executor.servicers.stats_messages import stats_query, stats_response
from services.executor.starts import DEFAULT_PRIORITY, MAX_TIMEOUT_MS, StartRequest
from services.executor.watch import News

Context = grpc.aio.ServicerContext[Any, Any]

MAX_STEPS, MAX_STEPS_BYTES = 10_000, 4 << 20
MAX_OUTPUT_BYTES = 1 << 20
MAX_EVENTS_BYTES = 2 << 20
MOST_COUNTED = 100_000
MOST_SEQUENCE = 2**53 - 1
"""No history gets there; beyond it comparisons in the database would overflow."""
ANSWER_SECONDS = 0.25
"""Kept of a caller's deadline for making the answer."""


class ExecutionServicer(ExecutionServiceServicer):
    def __init__(
        self,
        manager: ExecutionManager,
        registry: NodeRegistry,
        statistics: SqlStatistics,
        clock: DatabaseClock,
    ) -> None:
        self._manager = manager
        self._registry = registry
        self._statistics = statistics
        self._clock = clock

    # Starting ---------------------------------------------------------------------------------

    async def StartExecution(  # noqa: N802
        self, request: pb.StartExecutionRequest, context: Context
    ) -> pb.StartExecutionResponse:
        spec = start_request(request.spec)
        wait = seconds(request.wait) if request.HasField("wait") else None
        accepted = await self._manager.start(spec, at_once=wait is not None and wait < 0.05)
        await accepted.run.settled(within(wait, context.time_remaining()))
        view = await self._manager.glance(accepted.run, spec.namespace)
        return pb.StartExecutionResponse(execution=await self._shown(view), created=accepted.created)

    async def StartAndWatchExecution(  # noqa: N802
        self, request: pb.StartAndWatchExecutionRequest, context: Context
    ) -> AsyncIterator[pb.StartAndWatchExecutionResponse]:
        accepted = await self._manager.start(start_request(request.spec), at_once=True)
        execution_id = accepted.run.execution_id
        yield pb.StartAndWatchExecutionResponse(execution_id=execution_id)
        cursor = 0
        async for news in self._manager.watch(execution_id, 0, current_namespace()):
            for event in messages.events(execution_id, news.batches, cursor):
                yield pb.StartAndWatchExecutionResponse(event=event)
            cursor = news.cursor

    async def AnalyzeWorkflow(  # noqa: N802
        self, request: pb.AnalyzeWorkflowRequest, context: Context
    ) -> pb.AnalyzeWorkflowResponse:
        decision = await self._manager.analyze(start_request(request.spec))
        return pb.AnalyzeWorkflowResponse(complexity=messages.complexity(decision.text))

    async def ValidateWorkflow(  # noqa: N802
        self, request: pb.ValidateWorkflowRequest, context: Context
    ) -> pb.ValidateWorkflowResponse:
        problems = await self._manager.validate(request.workflow_json, current_namespace())
        return pb.ValidateWorkflowResponse(valid=not problems, problems=map(messages.problem, problems))

    async def ListNodeTypes(  # noqa: N802
        self, request: pb.ListNodeTypesRequest, context: Context
    ) -> pb.ListNodeTypesResponse:
        return pb.ListNodeTypesResponse(node_types=map(messages.node_type, self._registry.describe()))

    async def GetStats(self, request: st.GetStatsRequest, context: Context) -> st.GetStatsResponse:  # noqa: N802
        waiting = [one.type for one in self._registry if one.human or one.called_back]
        query = stats_query(request, self._clock.now(), current_namespace(), waiting)
        return stats_response(query, await self._statistics.read(query))

    # Control ----------------------------------------------------------------------------------

    async def PauseExecution(  # noqa: N802
        self, request: pb.PauseExecutionRequest, context: Context
    ) -> pb.PauseExecutionResponse:
        move = await self._manager.pause(execution_id_of(request), request.reason, current_namespace())
        return pb.PauseExecutionResponse(execution=self._row(move.record), done=is_done(move, "paused"))

    async def ResumeExecution(  # noqa: N802
        self, request: pb.ResumeExecutionRequest, context: Context
    ) -> pb.ResumeExecutionResponse:
        move = await self._manager.resume(execution_id_of(request), current_namespace())
        return pb.ResumeExecutionResponse(execution=self._row(move.record), done=True)

    async def CancelExecution(  # noqa: N802
        self, request: pb.CancelExecutionRequest, context: Context
    ) -> pb.CancelExecutionResponse:
        move = await self._manager.cancel(execution_id_of(request), request.reason, current_namespace())
        return pb.CancelExecutionResponse(execution=self._row(move.record), done=is_done(move, "cancelled"))

    async def RetryExecution(  # noqa: N802
        self, request: pb.RetryExecutionRequest, context: Context
    ) -> pb.RetryExecutionResponse:
        record = await self._manager.retry(execution_id_of(request), request.from_node, current_namespace())
        return pb.RetryExecutionResponse(execution=self._row(record))

    async def ControlExecutions(  # noqa: N802
        self, request: pb.ControlExecutionsRequest, context: Context
    ) -> pb.ControlExecutionsResponse:
        """One page; its size bounds how long the call may take."""
        if (action := messages.ACTION.get(request.action)) is None:
            raise InvalidRequest([Problem("/action", "MISSING_FIELD", "say what to do with them")])
        if not request.filter.ByteSize():
            message = "give at least one condition, such as workflowId or statuses"
            raise InvalidRequest([Problem("/filter", "MISSING_FIELD", message)])
        size = page_size(request.page_size, default=100, most=500)
        before = read_token(request.page_token, Newest) if request.page_token else None
        page = await control(
            self._manager,
            action,
            filter_of(request.filter),
            request.reason,
            size,
            before and (before.created_at, before.id),
            dry_run=request.dry_run,
        )
        effects = Counter(controlled.effect for controlled in page.controlled)
        return pb.ControlExecutionsResponse(
            executions=map(messages.controlled, page.controlled),
            done_count=effects["done"],
            accepted_count=effects["accepted"],
            refused_count=effects["refused"],
            next_page_token=write_token(Newest(page.last.created_at, page.last.id)) if page.last else "",
        )

    async def SubmitInput(  # noqa: N802
        self, request: pb.SubmitInputRequest, context: Context
    ) -> pb.SubmitInputResponse:
        if not request.node_id:
            raise InvalidRequest([Problem("/nodeId", "MISSING_FIELD", "say which node the answer is for")])
        record = await self._manager.submit_input(
            execution_id_of(request),
            request.node_id,
            tuple(request.iteration),
            request.input_json,
            current_namespace(),
        )
        return pb.SubmitInputResponse(execution=self._row(record))

    async def SubmitCallback(  # noqa: N802
        self, request: pb.SubmitCallbackRequest, context: Context
    ) -> pb.SubmitCallbackResponse:
        await self._manager.submit_callback(request.token, request.payload_json)
        return pb.SubmitCallbackResponse()

    # Reading ----------------------------------------------------------------------------------

    async def GetExecution(  # noqa: N802
        self, request: pb.GetExecutionRequest, context: Context
    ) -> pb.GetExecutionResponse:
        if request.glance:
            record = await self._manager.record(execution_id_of(request), current_namespace())
            return pb.GetExecutionResponse(execution=self._row(record))
        view = await self._manager.view(execution_id_of(request), current_namespace())
        message = await self._shown(view, steps=not request.omit_steps)
        message.input_json = await self._manager.input_text(view.record)
        if request.include_definition:
            message.definition_json = await self._manager.definition_text(view.record)
        return pb.GetExecutionResponse(execution=message)

    async def ListExecutions(  # noqa: N802
        self, request: pb.ListExecutionsRequest, context: Context
    ) -> pb.ListExecutionsResponse:
        size = page_size(request.page_size, default=50, most=500)
        before = read_token(request.page_token, Newest) if request.page_token else None
        found = await self._manager.list(
            filter_of(request), size + 1, before and (before.created_at, before.id)
        )
        page = found[:size]
        last = page[-1] if len(found) > size else None
        return pb.ListExecutionsResponse(
            executions=[self._row(record) for record in page],
            next_page_token=write_token(Newest(last.created_at, last.id)) if last else "",
        )

    async def CountExecutions(  # noqa: N802
        self, request: pb.CountExecutionsRequest, context: Context
    ) -> pb.CountExecutionsResponse:
        found = await self._manager.count(filter_of(request.filter), MOST_COUNTED)
        return pb.CountExecutionsResponse(count=min(found, MOST_COUNTED), more=found > MOST_COUNTED)

    async def ListSteps(  # noqa: N802
        self, request: pb.ListStepsRequest, context: Context
    ) -> pb.ListStepsResponse:
        size = page_size(request.page_size, default=200, most=1000)
        start = read_token(request.page_token, FirstStep).index if request.page_token else 0
        view = await self._manager.view(execution_id_of(request), current_namespace())
        steps, following = messages.steps_page(
            view.result.steps, start, size, MAX_STEPS_BYTES, view.node_types
        )
        return pb.ListStepsResponse(
            steps=steps, next_page_token=write_token(FirstStep(following)) if following else ""
        )

    async def ListEvents(  # noqa: N802
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        limit = page_size(request.limit, default=200, most=1000, name="/limit")
        after = sequence_of(request.after_sequence)
        execution_id = execution_id_of(request)
        batches, last_sequence = await self._manager.events(execution_id, after, limit, current_namespace())
        events = messages.events(execution_id, batches, after)[:limit]
        return pb.ListEventsResponse(events=next(portions(events), []), last_sequence=last_sequence)

    async def GetValue(self, request: pb.GetValueRequest, context: Context) -> pb.GetValueResponse:  # noqa: N802
        return pb.GetValueResponse(
            value_json=await self._manager.value_text(
                execution_id_of(request), request.hash, current_namespace()
            )
        )

    async def WatchExecution(  # noqa: N802
        self, request: pb.WatchExecutionRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        execution_id, cursor = execution_id_of(request), sequence_of(request.after_sequence)
        if request.snapshot:
            view = await self._manager.view(execution_id, current_namespace())
            cursor = view.record.last_sequence
            yield pb.WatchExecutionResponse(snapshot=await self._shown(view, steps=True), sequence=cursor)
        async for news in self._manager.watch(execution_id, cursor, current_namespace()):
            for response in watch_responses(execution_id, news, cursor):
                yield response
            cursor = news.cursor

    async def WatchExecutions(  # noqa: N802
        self, request: pb.WatchExecutionsRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionsResponse]:
        after = place_of(request.after_cursor) if request.after_cursor else None
        async for page in self._manager.watch_all(change_filter_of(request.filter), after):
            yield pb.WatchExecutionsResponse(
                changes=map(messages.change, page.changes), cursor=cursor_of(page.reached)
            )

    async def ListChanges(  # noqa: N802
        self, request: pb.ListChangesRequest, context: Context
    ) -> pb.ListChangesResponse:
        limit = page_size(request.limit, default=200, most=500, name="/limit")
        after = place_of(request.after_cursor) if request.after_cursor else None
        page = await self._manager.changes(change_filter_of(request.filter), after, limit)
        return pb.ListChangesResponse(
            changes=map(messages.change, page.changes), cursor=cursor_of(page.reached), more=page.more
        )

    def _row(self, record: ExecutionRecord) -> pb.Execution:
        """What its row tells."""
        message = messages.execution(record)
        if (reason := self._manager.reason(record)) is not None:
            message.waiting_reason.CopyFrom(messages.waiting_reason(reason))
        return message

    async def _shown(self, view: View, *, steps: bool = True) -> pb.Execution:
        """With everything that the view holds."""
        message = messages.execution(view.record)
        if view.waiting is not None:
            message.waiting_reason.CopyFrom(messages.waiting_reason(view.waiting))
        if view.progress is not None:
            message.progress.CopyFrom(messages.progress(view.progress))
        if (used := messages.usage_of(view.result.steps)) is not None:
            message.usage.CopyFrom(used)
        output = await self._manager.output_text(view)
        if output is not None and len(output) <= MAX_OUTPUT_BYTES:
            message.output_json = output
        if steps:
            page, following = messages.steps_page(
                view.result.steps, 0, MAX_STEPS, MAX_STEPS_BYTES, view.node_types
            )
            message.steps.extend(page)
            message.steps_next_page_token = write_token(FirstStep(following)) if following else ""
        return message


def start_request(spec: pb.StartSpec) -> StartRequest:
    """Raises PermissionDenied for a definition from a caller that may only run stored ones."""
    caller = current_caller()
    if spec.workflow_json and not may_define(caller.role):
        raise PermissionDenied(
            f"{caller.role} may run stored workflows; a definition of its own needs the role author",
            role=caller.role,
        )
    options = spec.options
    return StartRequest(
        workflow_json=spec.workflow_json,
        workflow_id=spec.workflow_id,
        workflow_version=spec.workflow_version,
        input_json=spec.input_json,
        mode=messages.MODE_NAME.get(spec.mode, "auto"),
        timeout_ms=messages.milliseconds(options.timeout) if options.HasField("timeout") else None,
        priority=options.priority if options.HasField("priority") else DEFAULT_PRIORITY,
        tags=tuple(options.tags),
        max_retries=options.max_retries if options.HasField("max_retries") else None,
        immediate_budget_ms=(
            messages.milliseconds(options.immediate_budget) if options.HasField("immediate_budget") else None
        ),
        request_id=spec.request_id,
        request_hash=request_hash(spec),
        namespace=caller.namespace,
    )


def request_hash(spec: pb.StartSpec) -> str:
    """The same for the same request, whatever its id; empty where it has none."""
    if not (request_id := spec.request_id):
        return ""
    spec.ClearField("request_id")
    hash_ = content_hash(spec.SerializeToString(deterministic=True))
    spec.request_id = request_id
    return hash_


def watch_responses(execution_id: str, news: News, after: int) -> Iterator[pb.WatchExecutionResponse]:
    """Messages of bearable size; one without events for a heartbeat."""
    events = messages.events(execution_id, news.batches, after)
    if not events:
        yield pb.WatchExecutionResponse(sequence=news.cursor)
    for portion in portions(events):
        yield pb.WatchExecutionResponse(events=portion, sequence=portion[-1].sequence)


def portions(events: Sequence[pb.Event]) -> Iterator[list[pb.Event]]:
    """The events in order, cut so that no portion is much above MAX_EVENTS_BYTES."""
    portion: list[pb.Event] = []
    size = 0
    for event in events:
        if portion and size + len(event.frame_json) > MAX_EVENTS_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(event)
        size += len(event.frame_json)
    if portion:
        yield portion


def within(wait_seconds: float | None, deadline_seconds: float | None) -> float | None:
    """How long a start may be waited for: as asked, and no longer than its caller does."""
    limits = [wait_seconds] if wait_seconds is not None else []
    if deadline_seconds is not None:
        limits.append(max(0.0, deadline_seconds - ANSWER_SECONDS))
    return min(limits, default=None)


def seconds(duration: Duration) -> float:
    return messages.milliseconds(duration) / 1000


def execution_id_of(request: Any) -> ExecutionId:
    if not request.execution_id:
        raise InvalidRequest([Problem("/executionId", "MISSING_FIELD", "say which execution is meant")])
    return ExecutionId(request.execution_id)


def sequence_of(value: int) -> int:
    if not 0 <= value <= MOST_SEQUENCE:
        message = f"must be between 0 and {MOST_SEQUENCE}"
        raise InvalidRequest([Problem("/afterSequence", "OUT_OF_RANGE", message)])
    return value


def page_size(value: int, *, default: int, most: int, name: str = "/pageSize") -> int:
    if not 0 <= value <= most:
        raise InvalidRequest([Problem(name, "OUT_OF_RANGE", f"must be between 1 and {most}, not {value}")])
    return value or default


def filter_of(request: pb.ListExecutionsRequest | pb.ExecutionFilter) -> ExecutionFilter:
    """Raises InvalidRequest."""
    statuses = [messages.STATUS_NAME[status] for status in request.statuses if status in messages.STATUS_NAME]
    after, before = "created_after_time", "created_before_time"
    return ExecutionFilter(
        workflow_id=request.workflow_id,
        statuses=statuses,
        mode=messages.MODE_NAME.get(request.mode, ""),
        tags=tuple(request.tags),
        created_after=messages.instant(request.created_after_time) if request.HasField(after) else None,
        created_before=messages.instant(request.created_before_time) if request.HasField(before) else None,
        min_duration_ms=span_of(request, "min_duration"),
        max_duration_ms=span_of(request, "max_duration"),
        error_code=request.error_code,
        error_text=request.error_text,
        parent_id=request.parent_id,
        namespace=current_namespace(),
    )


def span_of(request: pb.ListExecutionsRequest | pb.ExecutionFilter, field: str) -> int | None:
    """Milliseconds."""
    if not request.HasField(field):
        return None
    value = messages.milliseconds(getattr(request, field))
    if not 0 <= value <= MAX_TIMEOUT_MS * 10:
        name = "".join(word.title() for word in field.split("_"))
        problem = Problem(f"/{name[:1].lower()}{name[1:]}", "OUT_OF_RANGE", "must be from 0 to ten years")
        raise InvalidRequest([problem])
    return value


def change_filter_of(message: pb.ChangeFilter) -> ChangeFilter:
    return ChangeFilter(
        workflow_id=message.workflow_id,
        statuses=[messages.STATUS_NAME[status] for status in message.statuses if status],
        mode=messages.MODE_NAME.get(message.mode, ""),
        tags=tuple(message.tags),
        namespace=current_namespace(),
    )


# Page tokens: opaque to callers, where to go on to us.


class Newest(msgspec.Struct, array_like=True):
    """The last execution seen."""

    created_at: datetime
    id: str


class FirstStep(msgspec.Struct, array_like=True):
    index: int


class LastId(msgspec.Struct, array_like=True):
    id: str


def write_token(value: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(encode(value)).decode().rstrip("=")


def read_token(token: str, kind: type[Any]) -> Any:
    """Raises InvalidRequest for a token that is not ours."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        return msgspec.json.decode(text, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        problem = Problem("/pageToken", "INVALID_VALUE", "this page token was not given by this service")
        raise InvalidRequest([problem]) from None
