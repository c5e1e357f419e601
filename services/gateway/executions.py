"""Seeing and controlling executions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.responses import Response

from flow_engine.errors import Problem
from flow_engine.v1 import execution_pb2 as pb
from services.gateway.bodies import (
    CancelRequest,
    ControlRequest,
    Filter,
    PauseRequest,
    ResumeRequest,
    RetryRequest,
    json_text,
)
from services.gateway.call import Answer, Call, document, in_utc, whole
from services.gateway.documents import (
    TERMINAL,
    CallbackDocument,
    ExecutionPage,
    SnapshotFrame,
    StepPage,
    control_page,
    event_page,
    execution_document,
    step_document,
)
from services.gateway.errors import Refused, invalid
from services.gateway.feed import FeedWatcher
from services.gateway.hub import Frame, Watcher
from services.gateway.runs import MODES, location
from services.gateway.searching import STATUSES, filter_of_query, page_of
from services.gateway.sse import EventStream, HungUp
from services.gateway.websocket import FrameSocket

MOST_SEQUENCE = 2**53 - 1
"""JavaScript reads it exactly, and no history gets there."""


async def get_execution(call: Call) -> Answer:
    """One execution with its steps."""
    omit_steps = call.query.get("steps") is False
    execution = await _get(call, omit_steps=omit_steps, definition=call.query.get("definition", False))
    return document(execution_document(execution, with_steps=not omit_steps))


async def list_executions(call: Call) -> Answer:
    """Page through executions, newest first."""
    request = page_of(
        filter_of_query(call.query), call.query.get("limit", 0), call.query.get("pageToken", "")
    )
    executor = call.services.executor
    answer = await executor.ask(executor.executions.ListExecutions, request, call.request_id)
    return document(
        ExecutionPage(
            executions=[execution_document(execution, with_steps=False) for execution in answer.executions],
            next_page_token=answer.next_page_token or msgspec.UNSET,
        )
    )


async def list_steps(call: Call) -> Answer:
    """Page through the steps of one execution, in order of start."""
    executor = call.services.executor
    request = pb.ListStepsRequest(
        execution_id=call.path["executionId"],
        page_size=call.query.get("limit", 0),
        page_token=call.query.get("pageToken", ""),
    )
    answer = await executor.ask(executor.executions.ListSteps, request, call.request_id)
    return document(
        StepPage(
            steps=[step_document(step) for step in answer.steps],
            next_page_token=answer.next_page_token or msgspec.UNSET,
        )
    )


async def list_events(call: Call) -> Answer:
    """Page through the events of one execution, in order of sequence."""
    executor = call.services.executor
    request = pb.ListEventsRequest(
        execution_id=call.path["executionId"],
        after_sequence=call.query.get("afterSequence", 0),
        limit=call.query.get("limit", 0),
    )
    return document(event_page(await executor.ask(executor.executions.ListEvents, request, call.request_id)))


async def get_value(call: Call) -> Answer:
    """A value above 4 KiB, by the hash that the execution's steps or events tell."""
    executor = call.services.executor
    request = pb.GetValueRequest(execution_id=call.path["executionId"], hash=call.path["hash"])
    answer = await executor.ask(executor.executions.GetValue, request, call.request_id)
    return Response(answer.value_json, media_type="application/json")


async def stream_execution(call: Call) -> Answer:
    """Follow an execution as server-sent events."""
    try:
        opened = await _open(call)
    except Refused as refused:
        if call.services.hub.closing:
            return HungUp()
        if not (reconnecting(call) and refused.passing):
            raise
        opened = call.services.hub.follow_blindly(call.path["executionId"], cursor_of(call)), []
    if opened is None:
        return Response(status_code=204)
    watcher, first = opened
    return EventStream(watcher, call.services.settings, first)


async def watch_execution(call: Call) -> FrameSocket:
    """Follow an execution by WebSocket."""
    watcher, first = await _open(call) or (None, ())
    return FrameSocket(watcher, call.services.settings, first)


async def stream_executions(call: Call) -> Answer:
    """Follow all executions by server-sent events."""
    try:
        watcher = await _open_feed(call)
    except Refused as refused:
        # A browser that is told 503 gives up for good.
        if reconnecting(call) and refused.passing:
            return HungUp()
        raise
    return EventStream(watcher, call.services.settings)


async def watch_executions(call: Call) -> FrameSocket:
    """Follow all executions by WebSocket."""
    return FrameSocket(await _open_feed(call), call.services.settings)


async def _open_feed(call: Call) -> FeedWatcher:
    query = call.query
    where = pb.ChangeFilter(
        workflow_id=query.get("workflowId", ""),
        statuses=sorted({STATUSES[word] for word in query.get("status", ())}),
        mode=MODES[query.get("mode")],
        tags=sorted(set(query.get("tag", ()))),
    )
    cursor = call.headers.get("last-event-id", "") or query.get("afterCursor", "")
    watcher = call.services.feed.follow(where, cursor)
    try:
        await watcher.read_page()
    except BaseException:
        watcher.close()
        raise
    return watcher


async def pause_execution(call: Call) -> Answer:
    """Let running steps finish and start nothing new."""
    body = await call.decoded(PauseRequest)
    return await _control(
        call, lambda stub: stub.PauseExecution, pb.PauseExecutionRequest(reason=body.reason or "")
    )


async def resume_execution(call: Call) -> Answer:
    """Let a paused execution go on."""
    await call.decoded(ResumeRequest)
    return await _control(call, lambda stub: stub.ResumeExecution, pb.ResumeExecutionRequest())


async def cancel_execution(call: Call) -> Answer:
    """Interrupt running steps and end the execution."""
    body = await call.decoded(CancelRequest)
    return await _control(
        call, lambda stub: stub.CancelExecution, pb.CancelExecutionRequest(reason=body.reason or "")
    )


async def delete_execution(call: Call) -> Answer:
    """The same as cancel."""
    return await cancel_execution(call)


async def retry_execution(call: Call) -> Answer:
    """Start a new execution that keeps the finished steps of a failed or cancelled one."""
    body = await call.decoded(RetryRequest)
    executor = call.services.executor
    request = pb.RetryExecutionRequest(execution_id=call.path["executionId"], from_node=body.from_node or "")
    # Not repeated: the first may have been carried out, and its execution may have ended since.
    answer = await executor.ask(executor.executions.RetryExecution, request, call.request_id, repeat=False)
    execution = answer.execution
    return document(execution_document(execution, with_steps=True), 202, location(execution.id))


async def pause_executions(call: Call) -> Answer:
    """Pause what a filter finds."""
    return await _control_all(call, pb.CONTROL_ACTION_PAUSE)


async def resume_executions(call: Call) -> Answer:
    """Resume what a filter finds."""
    return await _control_all(call, pb.CONTROL_ACTION_RESUME)


async def cancel_executions(call: Call) -> Answer:
    """Cancel what a filter finds."""
    return await _control_all(call, pb.CONTROL_ACTION_CANCEL)


async def retry_executions(call: Call) -> Answer:
    """Retry what a filter finds."""
    return await _control_all(call, pb.CONTROL_ACTION_RETRY)


async def _control_all(call: Call, action: pb.ControlAction) -> Answer:
    """One page. A retry is not repeated, for the reason that a single one is not."""
    body = await call.decoded(ControlRequest)
    request = pb.ControlExecutionsRequest(
        action=action,
        filter=execution_filter(body.filter),
        dry_run=bool(body.dry_run),
        reason=body.reason or "",
        page_size=body.limit or 0,
        page_token=body.page_token or "",
    )
    executor = call.services.executor
    repeat = request.dry_run or action != pb.CONTROL_ACTION_RETRY
    answer = await executor.ask(
        executor.executions.ControlExecutions, request, call.request_id, repeat=repeat
    )
    return document(control_page(answer))


def execution_filter(body: Filter) -> pb.ExecutionFilter:
    message = pb.ExecutionFilter(
        workflow_id=body.workflow_id or "",
        statuses=[STATUSES[word] for word in body.statuses or ()],
        mode=MODES[body.mode],
        tags=body.tags or (),
        error_code=body.error_code or "",
        error_text=body.error_text or "",
        parent_id=body.parent_id or "",
    )
    if body.min_duration is not None:
        message.min_duration.FromMilliseconds(body.min_duration)
    if body.max_duration is not None:
        message.max_duration.FromMilliseconds(body.max_duration)
    if body.created_after is not None:
        message.created_after_time.FromDatetime(in_utc(body.created_after))
    if body.created_before is not None:
        message.created_before_time.FromDatetime(in_utc(body.created_before))
    return message


async def submit_input(call: Call) -> Answer:
    """Answer a step that waits for a person or an outside system."""
    executor = call.services.executor
    request = pb.SubmitInputRequest(
        execution_id=call.path["executionId"],
        node_id=call.path["nodeId"],
        iteration=call.query.get("iteration", ()),
        input_json=json_text(await call.body()),
    )
    answer = await executor.ask(executor.executions.SubmitInput, request, call.request_id)
    return document(execution_document(answer.execution, with_steps=False))


async def submit_callback(call: Call) -> Answer:
    """What an outside system reports, by the token that it was given."""
    body = await call.body()
    executor = call.services.executor
    request = pb.SubmitCallbackRequest(token=call.path["token"], payload_json=json_text(body) if body else "")
    await executor.ask(executor.executions.SubmitCallback, request, call.request_id)
    return document(CallbackDocument(received=True))


def cursor_of(call: Call) -> int:
    """Where a stream begins. What the browser says when it reconnects goes before the address."""
    header = call.headers.get("last-event-id", "")
    if not header:
        return int(call.query.get("afterSequence", 0))
    try:
        return whole(0, MOST_SEQUENCE)(header)
    except ValueError as error:
        message = f"{error}, got {header[:40]!r}"
        raise invalid([Problem("Last-Event-ID", "INVALID_PARAMETER", message)]) from None


def reconnecting(call: Call) -> bool:
    return bool(call.headers.get("last-event-id"))


async def _open(call: Call) -> tuple[Watcher, list[Frame]] | None:
    """A watcher and what to show before its frames; None when the stream has ended before the cursor.

    A client that reconnects gets no second snapshot: it would hide the events that it has missed.
    """
    cursor = cursor_of(call)
    snapshot = call.query.get("snapshot", False) and not reconnecting(call)
    reading = (
        _get(call, omit_steps=False) if snapshot else call.services.hub.history.head(call.path["executionId"])
    )
    execution = await reading
    if execution.status in TERMINAL and 0 < execution.last_sequence <= cursor:
        return None
    first = []
    if snapshot:
        cursor = execution.last_sequence
        first = [snapshot_frame(execution)]
    watcher = call.services.hub.follow(execution.id, cursor, execution.last_sequence)
    if execution.status in TERMINAL and execution.last_sequence <= cursor:
        watcher.end()
    return watcher, first


def snapshot_frame(execution: pb.Execution) -> Frame:
    frame = SnapshotFrame(
        sequence=execution.last_sequence,
        execution_id=execution.id,
        execution=execution_document(execution, with_steps=True),
    )
    return Frame(execution.last_sequence, msgspec.json.encode(frame).decode(), last=False)


async def _get(call: Call, *, omit_steps: bool, definition: bool = False) -> pb.Execution:
    executor = call.services.executor
    request = pb.GetExecutionRequest(
        execution_id=call.path["executionId"], omit_steps=omit_steps, include_definition=definition
    )
    answer = await executor.ask(executor.executions.GetExecution, request, call.request_id)
    return answer.execution


async def _control(call: Call, method: Callable[[Any], Any], request: Any) -> Response:
    """200 when what was asked holds, 202 when it was accepted and is still to happen."""
    executor = call.services.executor
    request.execution_id = call.path["executionId"]
    answer = await executor.ask(method(executor.executions), request, call.request_id)
    execution = execution_document(answer.execution, with_steps=False)
    if answer.done:
        return document(execution)
    return document(execution, 202, location(answer.execution.id))
