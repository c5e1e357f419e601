"""What the executor knows, as messages of its API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, reduce

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET

from flow_engine.errors import Problem
from flow_engine.interpreter.events import Failure, frames
from flow_engine.interpreter.steps import Step
from flow_engine.metering import Usage
from flow_engine.payload import JsonValue, encode
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import stats_pb2 as st
from flow_engine.v1 import workflow_pb2 as wf
from flow_engine.workflow.diff import EdgeDiff, FieldChange, NodeDiff
from services.executor.bulk import Controlled
from services.executor.feed import cursor_of
from services.executor.persistence.contract import TERMINAL, Change, ExecutionRecord, StoredBatch
from services.executor.progress import Progress, likely_end
from services.executor.waiting import WaitingReason

STATUS = {
    "pending": pb.EXECUTION_STATUS_PENDING,
    "running": pb.EXECUTION_STATUS_RUNNING,
    "paused": pb.EXECUTION_STATUS_PAUSED,
    "waiting": pb.EXECUTION_STATUS_WAITING,
    "completed": pb.EXECUTION_STATUS_COMPLETED,
    "failed": pb.EXECUTION_STATUS_FAILED,
    "cancelled": pb.EXECUTION_STATUS_CANCELLED,
}
STATUS_NAME = {value: name for name, value in STATUS.items()}
MODE = {
    "auto": pb.EXECUTION_MODE_AUTO,
    "immediate": pb.EXECUTION_MODE_IMMEDIATE,
    "queued": pb.EXECUTION_MODE_QUEUED,
}
MODE_NAME = {value: name for name, value in MODE.items()}
STEP_STATUS = {
    "running": pb.STEP_STATUS_RUNNING,
    "waiting": pb.STEP_STATUS_WAITING,
    "completed": pb.STEP_STATUS_COMPLETED,
    "failed": pb.STEP_STATUS_FAILED,
    "skipped": pb.STEP_STATUS_SKIPPED,
    "cancelled": pb.STEP_STATUS_CANCELLED,
}
ACTION = {
    pb.CONTROL_ACTION_PAUSE: "pause",
    pb.CONTROL_ACTION_RESUME: "resume",
    pb.CONTROL_ACTION_CANCEL: "cancel",
    pb.CONTROL_ACTION_RETRY: "retry",
}
EFFECT = {
    "done": pb.CONTROL_EFFECT_DONE,
    "accepted": pb.CONTROL_EFFECT_ACCEPTED,
    "refused": pb.CONTROL_EFFECT_REFUSED,
}
PENDING_CONTROL = {"pause": pb.PENDING_CONTROL_PAUSE, "cancel": pb.PENDING_CONTROL_CANCEL}


def execution(record: ExecutionRecord) -> pb.Execution:
    """What a row tells; steps, input, output and reasons are for others to add."""
    message = pb.Execution(
        id=record.id,
        workflow_id=record.workflow_id,
        workflow_name=record.workflow_name,
        status=STATUS[record.status],
        mode=MODE[record.mode],
        pending_control=PENDING_CONTROL.get(record.pending_control or "", pb.PENDING_CONTROL_UNSPECIFIED),
        created_time=timestamp(record.created_at),
        started_time=timestamp(record.started_at),
        completed_time=timestamp(record.completed_at),
        complexity=complexity(record.complexity),
        tags=record.tags,
        priority=record.priority,
        retry_of=record.retry_of,
        root_id=record.root_id,
        parent_id=record.parent_id,
        last_sequence=record.last_sequence,
        deadline_time=timestamp(record.deadline_at),
        definition_hash=record.definition_hash,
        workflow_version=record.workflow_version,
        epoch=record.epoch,
    )
    if record.error is not None:
        message.error.CopyFrom(error_of(msgspec.convert(record.error, Failure)))
    return message


def error_of(failure: Failure) -> pb.ExecutionError:
    return pb.ExecutionError(
        code=failure.code,
        message=failure.message,
        node_id=failure.node_id,
        iteration=failure.iteration,
        details_json=encode(failure.details).decode() if failure.details else "",
    )


def step(value: Step, node_types: Mapping[str, str]) -> pb.Step:
    message = pb.Step(
        node_id=value.node_id,
        status=STEP_STATUS[value.status],
        attempts=value.attempts,
        started_time=timestamp(value.started_at),
        completed_time=timestamp(value.completed_at),
        node_type=node_types.get(value.node_id, ""),
    )
    # Each field costs, also where it is set to nothing, and most steps have none of these.
    if value.iteration:
        message.iteration.extend(value.iteration)
    if value.error is not None:
        message.error.CopyFrom(error_of(value.error))
    if value.handle:
        message.handle = value.handle
    if value.handles:
        message.handles.extend(value.handles)
    if value.waiting is not None:
        message.waiting_json = encode(value.waiting).decode()
    if value.child_id:
        message.child_id = value.child_id
    if value.usage is not None:
        message.usage.CopyFrom(usage(value.usage))
    if value.output_ref is not None:
        message.output_hash, message.output_bytes = value.output_ref.hash, value.output_ref.bytes
    elif value.output is not UNSET:
        message.output_json = encode(value.output).decode()
    return message


def usage(value: Usage) -> st.ResourceUsage:
    return st.ResourceUsage(
        cpu_time=duration(value.cpu_us / 1000),
        peak_memory_bytes=value.peak_memory,
        bytes_in=value.bytes_in,
        bytes_out=value.bytes_out,
        outside_calls=value.outside_calls,
        ai_input_tokens=value.input_tokens,
        ai_output_tokens=value.output_tokens,
    )


def usage_of(steps: Iterable[Step]) -> st.ResourceUsage | None:
    """The sum of steps that ran in this execution; None where none used anything worth telling."""
    used = [one.usage for one in steps if one.usage is not None and not one.kept]
    return usage(reduce(Usage.plus, used)) if used else None


def steps_page(
    values: Sequence[Step], start: int, limit: int, max_bytes: int, node_types: Mapping[str, str]
) -> tuple[list[pb.Step], int]:
    """At most `limit` steps and `max_bytes` from `start` on, and where the next page starts (0: nowhere)."""
    messages: list[pb.Step] = []
    size = 0
    for index in range(start, min(len(values), start + limit)):
        message = step(values[index], node_types)
        size += message.ByteSize()
        if messages and size > max_bytes:
            break
        messages.append(message)
    end = start + len(messages)
    return messages, end if end < len(values) else 0


def waiting_reason(reason: WaitingReason) -> pb.WaitingReason:
    return pb.WaitingReason(
        kind=reason.kind,
        explanation=reason.explanation,
        until_time=timestamp(reason.until),
        node_ids=reason.node_ids,
        queue_position=reason.queue_position,
        queue_oldest_age=None
        if reason.queue_oldest_seconds is None
        else duration(1000 * reason.queue_oldest_seconds),
        key=reason.key,
        limit=reason.limit,
        period=duration(reason.period_ms) if reason.period_ms else None,
        missing_capabilities=reason.missing,
    )


def controlled(value: Controlled) -> pb.ControlledExecution:
    refusal = value.refusal
    return pb.ControlledExecution(
        execution_id=value.execution_id,
        status=STATUS[value.status],
        effect=EFFECT[value.effect],
        reason=refusal.reason if refusal else "",
        message=refusal.message if refusal else "",
        retry_execution_id=value.retry_id,
    )


def progress(value: Progress) -> pb.Progress:
    return pb.Progress(
        completed_steps=value.completed_steps,
        total_steps=value.total_steps,
        percent=value.percent,
        eta_time=timestamp(value.eta),
    )


@lru_cache(maxsize=256)
def complexity(text: bytes) -> pb.ComplexityAnalysis | None:
    """text: the decision as JSON, as `ComplexityAnalyzer` gives it; empty for none.

    To be copied, not changed: many executions share one.
    """
    if not text or text == b"null":
        return None
    value: dict[str, JsonValue] = msgspec.json.decode(text)
    return pb.ComplexityAnalysis(
        mode=MODE[value["mode"]],
        requested_mode=MODE[value["requestedMode"]],
        factors=[factor(item) for item in value["factors"]],
        estimated_duration=duration(value["estimatedDurationMs"]),
        node_count=value["nodeCount"],
        external_call_count=value["externalCallCount"],
        loop_count=value["loopCount"],
        max_parallel_paths=value["maxParallelPaths"],
        human_input=value["humanInput"],
        explanation=value["explanation"],
        counterfactual=value.get("counterfactual", ""),
        learned_nodes=value.get("learnedNodes", 0),
    )


def factor(value: Mapping[str, JsonValue]) -> pb.ComplexityFactor:
    return pb.ComplexityFactor(
        name=value["name"],
        value_json=encode(value["value"]).decode(),
        threshold_json=encode(value["threshold"]).decode(),
        fired=value["fired"],
        explanation=value["explanation"],
    )


class _Head(msgspec.Struct):
    """What an event message says beside the frame."""

    type: str
    time: datetime
    node_id: str = msgspec.field(default="", name="nodeId")


_head = msgspec.json.Decoder(_Head)


def events(execution_id: str, batches: Iterable[StoredBatch], after: int = 0) -> list[pb.Event]:
    """The events of `batches` with a sequence beyond `after`."""
    return [
        event(execution_id, sequence, frame)
        for batch in batches
        for sequence, frame in frames(execution_id, batch.events_json, batch.first_sequence)
        if sequence > after
    ]


def event(execution_id: str, sequence: int, frame: bytes) -> pb.Event:
    head = _head.decode(frame)
    return pb.Event(
        sequence=sequence,
        type=head.type,
        execution_id=execution_id,
        event_time=timestamp(head.time),
        node_id=head.node_id,
        frame_json=frame.decode(),
    )


MOST_FACTS = 16


class _Error(msgspec.Struct):
    code: str = ""


class _Fact(msgspec.Struct):
    """What a change tells of an event."""

    type: str
    time: datetime
    node_id: str = msgspec.field(default="", name="nodeId")
    iteration: tuple[int, ...] = ()
    error: _Error | None = None


_facts = msgspec.json.Decoder(list[_Fact])


def change(value: Change) -> pb.ExecutionChange:
    facts = _facts.decode(value.events_json)
    newest, first = facts[-1], value.last_sequence + 1 - len(facts)
    failed = newest.type == "execution.failed" and newest.error is not None
    return pb.ExecutionChange(
        cursor=cursor_of(value.place),
        execution_id=value.place.execution_id,
        workflow_id=value.workflow_id,
        workflow_name=value.workflow_name,
        status=STATUS[value.status],
        mode=MODE[value.mode],
        sequence=value.last_sequence,
        event_time=timestamp(newest.time),
        progress=progress(progress_after(value, newest.time)),
        facts=[
            pb.ChangedFact(sequence=sequence, type=fact.type, node_id=fact.node_id, iteration=fact.iteration)
            for sequence, fact in list(enumerate(facts, first))[-MOST_FACTS:]
        ],
        event_count=len(facts),
        error_code=newest.error.code if failed and newest.error else "",
    )


def progress_after(value: Change, time: datetime) -> Progress:
    """As far as a change tells: the number of steps is known where there are no loops, or at the end.

    time: of the change. Only what was stored is looked at, so that everybody is told the same.
    """
    finished = value.finished_steps
    if value.status in TERMINAL:
        return Progress(finished, finished)
    found = Progress(finished, max(finished, value.node_count) if value.node_count else 0)
    if value.status != "running" or value.started_at is None or value.estimate_ms is None:
        return found
    return replace(found, eta=likely_end(time, value.started_at, value.estimate_ms, found))


def node_type(value: Mapping[str, JsonValue]) -> pb.NodeType:
    """value: a description from the registry."""
    return pb.NodeType(
        type=value["type"],
        title=value["title"],
        description=value["description"],
        config_schema_json=encode(value["configSchema"]).decode(),
        handles=value["handles"],
        external=value["effect"] == "external",
        human=value["human"],
        container=value["container"],
        typical_duration=duration(value["typicalMs"]),
        example_json=encode({"type": value["type"], "config": value["example"]}).decode(),
    )


DIFF_KIND = {
    "added": wf.DIFF_KIND_ADDED,
    "removed": wf.DIFF_KIND_REMOVED,
    "changed": wf.DIFF_KIND_CHANGED,
}


def node_diff(value: NodeDiff) -> wf.NodeDiff:
    return wf.NodeDiff(
        kind=DIFF_KIND[value.kind],
        node_id=value.node_id,
        node_type=value.node_type,
        path=value.path,
        changes=map(field_diff, value.changes),
    )


def edge_diff(value: EdgeDiff) -> wf.EdgeDiff:
    return wf.EdgeDiff(
        kind=DIFF_KIND[value.kind],
        source=value.source,
        source_handle=value.handle,
        target=value.target,
        path=value.path,
        changes=map(field_diff, value.changes),
    )


def field_diff(value: FieldChange) -> wf.FieldDiff:
    return wf.FieldDiff(
        kind=DIFF_KIND[value.kind],
        path=value.path,
        before_json=(value.before or b"").decode(),
        after_json=(value.after or b"").decode(),
    )


def problem(value: Problem) -> pb.Problem:
    return pb.Problem(path=value.path, code=value.code, message=value.message, hint=value.hint)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    since = time - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def instant(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def duration(milliseconds: float) -> Duration:
    message = Duration()
    message.FromTimedelta(timedelta(milliseconds=milliseconds))
    return message


def milliseconds(message: Duration) -> int:
    return message.seconds * 1000 + message.nanos // 1_000_000
