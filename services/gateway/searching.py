"""Finding executions: what is asked for, counting it, and exporting all of it.

An export is read and sent page by page: it needs no more memory than a page, and holds nothing open between.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

from flow_engine.v1 import execution_pb2 as pb
from services.gateway.call import Answer, Call, document
from services.gateway.documents import Document, ExecutionDocument, execution_document
from services.gateway.runs import MODES

STATUSES = {
    "pending": pb.EXECUTION_STATUS_PENDING,
    "running": pb.EXECUTION_STATUS_RUNNING,
    "paused": pb.EXECUTION_STATUS_PAUSED,
    "waiting": pb.EXECUTION_STATUS_WAITING,
    "completed": pb.EXECUTION_STATUS_COMPLETED,
    "failed": pb.EXECUTION_STATUS_FAILED,
    "cancelled": pb.EXECUTION_STATUS_CANCELLED,
}

EXPORT_PAGE = 500
CSV, NDJSON = "text/csv; charset=utf-8", "application/x-ndjson"
FORMATS = {"csv": CSV, "ndjson": NDJSON}
CSV_COLUMNS = (
    *("executionId", "workflowId", "workflowName", "workflowVersion", "status", "mode"),
    *("createdAt", "startedAt", "completedAt", "durationMs", "priority", "tags"),
    *("errorCode", "errorMessage", "errorNodeId", "retryOf", "rootId", "parentId"),
)


class CountDocument(Document, frozen=True, kw_only=True):
    """How many executions match; at most 100,000 are counted."""

    count: int
    more: bool


def filter_of_query(query: Mapping[str, Any]) -> pb.ExecutionFilter:
    """From the parameters that every search takes."""
    wanted = pb.ExecutionFilter(
        workflow_id=query.get("workflowId", ""),
        statuses=[STATUSES[word] for word in query.get("status", ())],
        mode=MODES[query.get("mode")],
        tags=query.get("tag", ()),
        error_code=query.get("errorCode", ""),
        error_text=query.get("errorText", ""),
        parent_id=query.get("parentId", ""),
    )
    if "createdAfter" in query:
        wanted.created_after_time.FromDatetime(query["createdAfter"])
    if "createdBefore" in query:
        wanted.created_before_time.FromDatetime(query["createdBefore"])
    if "minDurationMs" in query:
        wanted.min_duration.FromMilliseconds(query["minDurationMs"])
    if "maxDurationMs" in query:
        wanted.max_duration.FromMilliseconds(query["maxDurationMs"])
    return wanted


def page_of(wanted: pb.ExecutionFilter, size: int, token: str) -> pb.ListExecutionsRequest:
    """Asks for one page of what a filter finds."""
    request = pb.ListExecutionsRequest(page_size=size, page_token=token)
    for field, value in wanted.ListFields():
        if field.message_type is not None:
            getattr(request, field.name).CopyFrom(value)
        elif isinstance(value, str | int):
            setattr(request, field.name, value)
        else:
            getattr(request, field.name).extend(value)
    return request


async def count_executions(call: Call) -> Answer:
    """How many executions match."""
    executor = call.services.executor
    request = pb.CountExecutionsRequest(filter=filter_of_query(call.query))
    answer = await executor.ask(executor.executions.CountExecutions, request, call.request_id)
    return document(CountDocument(count=answer.count, more=answer.more))


async def export_executions(call: Call) -> Answer:
    """All that match, as one document: a connection that breaks before the end is no complete export."""
    wanted = filter_of_query(call.query)
    kind = call.query.get("format", "ndjson")
    pages = _pages(call, wanted)
    first = await anext(pages)  # what refuses the call is still told with its status
    headers = {"Content-Disposition": f'attachment; filename="executions.{kind}"'}
    return StreamingResponse(_written(first, pages, LINES[kind]), headers=headers, media_type=FORMATS[kind])


async def _pages(call: Call, wanted: pb.ExecutionFilter) -> AsyncIterator[list[pb.Execution]]:
    executor, token = call.services.executor, ""
    while True:
        request = page_of(wanted, EXPORT_PAGE, token)
        answer = await executor.ask(executor.executions.ListExecutions, request, call.request_id)
        yield list(answer.executions)
        token = answer.next_page_token
        if not token:
            return


async def _written(
    first: list[pb.Execution],
    rest: AsyncIterator[list[pb.Execution]],
    lines: Callable[[Iterable[pb.Execution]], bytes],
) -> AsyncIterator[bytes]:
    if lines is csv_lines:
        yield csv_head()
    yield lines(first)
    async for page in rest:
        yield lines(page)


def ndjson_lines(executions: Iterable[pb.Execution]) -> bytes:
    """One JSON document a line, as a list shows it."""
    return b"".join(
        msgspec.json.encode(execution_document(execution, with_steps=False)) + b"\n"
        for execution in executions
    )


def csv_head() -> bytes:
    return csv_text([CSV_COLUMNS])


def csv_lines(executions: Iterable[pb.Execution]) -> bytes:
    return csv_text(_cells(execution_document(execution, with_steps=False)) for execution in executions)


def csv_text(rows: Iterable[Iterable[object]]) -> bytes:
    """RFC 4180."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cells(execution: ExecutionDocument) -> list[object]:
    error = None if execution.error is msgspec.UNSET else execution.error
    values = (
        *(execution.execution_id, execution.workflow_id, execution.workflow_name, execution.workflow_version),
        *(execution.status, execution.mode, execution.created_at, execution.started_at),
        *(execution.completed_at, execution.duration_ms, execution.priority, " ".join(execution.tags)),
        *((error.code, error.message, error.node_id) if error else ("", "", "")),
        *(execution.retry_of, execution.root_id, execution.parent_id),
    )
    return [_cell(value) for value in values]


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula is quoted as text by an apostrophe."""
    if value is msgspec.UNSET:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return value if isinstance(value, int) else msgspec.to_builtins(value)


LINES: Mapping[str, Callable[[Iterable[pb.Execution]], bytes]] = {"csv": csv_lines, "ndjson": ndjson_lines}
