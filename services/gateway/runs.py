"""Starting executions."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from msgspec import UnsetType
from starlette.datastructures import Headers
from starlette.responses import Response

from flow_engine.errors import Problem
from flow_engine.ids import MADE_FOR_ONE_CALL
from flow_engine.v1 import execution_pb2 as pb
from services.gateway.bodies import Options, RunRequest, given, json_text, run_request
from services.gateway.call import Answer, Call, document
from services.gateway.documents import TERMINAL, AnalysisDocument, complexity_document, execution_document
from services.gateway.errors import Refused, invalid
from services.gateway.sse import EventStream

LONGEST_WAIT_SECONDS = 60
GRACE_SECONDS = 15.0
"""What the executor gets beyond the agreed wait before the gateway stops listening."""

MODES = {
    None: pb.EXECUTION_MODE_UNSPECIFIED,
    "auto": pb.EXECUTION_MODE_AUTO,
    "immediate": pb.EXECUTION_MODE_IMMEDIATE,
    "queued": pb.EXECUTION_MODE_QUEUED,
}


async def run_workflow(call: Call) -> Answer:
    """Start an execution and answer with it, or with its stream where the client accepts one."""
    request = run_request(await call.body())
    spec = start_spec(request, idempotency_key(call.headers) or f"{MADE_FOR_ONE_CALL}{uuid.uuid4()}")
    preference = preferred(call.headers)
    async with call.services.executor.naming_all_problems(spec.workflow_json, call.request_id):
        if accepts_stream(call.headers):
            return await _run_and_stream(call, spec)
        answer = await _start(call, spec, preference, request.options)
    return _started(answer, preference, repeatable="idempotency-key" in call.headers)


async def analyze_workflow(call: Call) -> Answer:
    """Say which mode a workflow would get, and why. Starts nothing."""
    spec = start_spec(run_request(await call.body()), "")
    request = pb.AnalyzeWorkflowRequest(spec=spec)
    executor = call.services.executor
    async with executor.naming_all_problems(spec.workflow_json, call.request_id):
        answer = await executor.ask(executor.executions.AnalyzeWorkflow, request, call.request_id)
    return document(AnalysisDocument(complexity=complexity_document(answer.complexity)))


def start_spec(request: RunRequest, request_id: str) -> pb.StartSpec:
    workflow, value = given(request.workflow), request.input
    return pb.StartSpec(
        workflow_json=json_text(workflow) if workflow is not None else "",
        workflow_id=request.workflow_id or "",
        workflow_version=version_number(request.workflow_version),
        input_json="" if isinstance(value, UnsetType) else json_text(value),
        mode=MODES[request.mode],
        options=execution_options(request.options) if request.options is not None else None,
        request_id=request_id,
    )


def version_number(version: int | str | None) -> int:
    return version if isinstance(version, int) else 0


def execution_options(options: Options) -> pb.ExecutionOptions:
    return pb.ExecutionOptions(
        timeout=span(options.timeout),
        priority=options.priority,
        tags=options.tags or (),
        max_retries=options.max_retries,
        immediate_budget=span(options.immediate_budget),
    )


def span(milliseconds: int | None) -> Duration | None:
    if milliseconds is None:
        return None
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


@dataclass(frozen=True, slots=True)
class Preference:
    """How long a client wants to wait (RFC 7240); None leaves it to the mode."""

    wait_seconds: int | None = None
    applied: str = ""


def preferred(headers: Headers) -> Preference:
    """`wait` bounds the wait; `respond-async` alone is no wait at all. What is not understood is ignored."""
    words = [word.strip().lower() for value in headers.getlist("prefer") for word in re.split("[,;]", value)]
    for word in words:
        if match := re.fullmatch(r"wait\s*=\s*\"?(\d{1,9})\"?", word):
            seconds = min(int(match[1]), LONGEST_WAIT_SECONDS)
            applied = "respond-async, " if "respond-async" in words else ""
            return Preference(seconds, f"{applied}wait={seconds}")
    return Preference(0, "respond-async") if "respond-async" in words else Preference()


def idempotency_key(headers: Headers) -> str:
    """The client's key, or "" for none."""
    key = headers.get("idempotency-key")
    if key is None:
        return ""
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise invalid(
            [Problem("Idempotency-Key", "INVALID_PARAMETER", "expected 1 to 255 visible ASCII characters")]
        )
    return key


def accepts_stream(headers: Headers) -> bool:
    return any(
        part.partition(";")[0].strip().lower() == "text/event-stream"
        and not re.search(r";\s*q=0(\.0*)?\s*$", part)
        for value in headers.getlist("accept")
        for part in value.split(",")
    )


def location(execution_id: str) -> dict[str, str]:
    return {"Location": f"/api/workflow/execution/{execution_id}"}


async def _start(
    call: Call, spec: pb.StartSpec, preference: Preference, options: Options | None
) -> pb.StartExecutionResponse:
    """The answer to the start, in time: what is not over by then is asked for once more without waiting."""
    executor, settings = call.services.executor, call.services.settings
    wait = preference.wait_seconds
    budget_ms = (options.immediate_budget if options is not None else None) or settings.immediate_budget_ms
    request = pb.StartExecutionRequest(spec=spec, wait=None if wait is None else Duration(seconds=wait))
    try:
        seconds = GRACE_SECONDS + (budget_ms / 1000 if wait is None else wait)
        return await executor.ask(
            executor.executions.StartExecution, request, call.request_id, seconds=seconds
        )
    except Refused as refused:
        if refused.reason != "TIMEOUT":
            raise
    request.wait.CopyFrom(Duration())
    return await executor.ask(executor.executions.StartExecution, request, call.request_id)


def _started(answer: pb.StartExecutionResponse, preference: Preference, *, repeatable: bool) -> Response:
    execution = answer.execution
    headers = {} if execution.status in TERMINAL else location(execution.id)
    if preference.applied:
        headers["Preference-Applied"] = preference.applied
    if repeatable:
        headers["Idempotency-Replayed"] = "false" if answer.created else "true"
    status = 200 if execution.status in TERMINAL else 202
    return document(execution_document(execution, with_steps=True), status, headers)


async def _run_and_stream(call: Call, spec: pb.StartSpec) -> Answer:
    execution_id, source = await call.services.executor.start_and_watch(
        pb.StartAndWatchExecutionRequest(spec=spec), call.request_id
    )
    watcher = call.services.hub.adopt(execution_id, source)
    return EventStream(watcher, call.services.settings, headers=location(execution_id))
