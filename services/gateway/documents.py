"""The JSON documents that the gateway answers with, and how they come from protobuf messages.

User JSON (outputs, inputs, definitions) is put in as the text that it is, never parsed: every number keeps
its value. Times are ISO 8601 in UTC, spans whole milliseconds. Fields that do not apply are absent.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Meta, Raw, UnsetType

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import stats_pb2 as st
from flow_engine.v1 import task_pb2 as tk
from flow_engine.v1 import workflow_pb2 as wf

Instant = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]
Milliseconds = Annotated[int, Meta(description="Milliseconds.")]
FractionalMs = Annotated[float, Meta(description="Milliseconds.")]
AnyJson = Annotated[Raw, Meta(description="Any JSON value.")]

StatusWord = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": ["pending", "running", "paused", "waiting", "completed", "failed", "cancelled"],
        }
    ),
]
StepStatusWord = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": ["pending", "running", "waiting", "completed", "failed", "skipped", "cancelled"],
        }
    ),
]
ModeWord = Annotated[str, Meta(extra_json_schema={"enum": ["immediate", "queued"]})]

TERMINAL = frozenset(
    {pb.EXECUTION_STATUS_COMPLETED, pb.EXECUTION_STATUS_FAILED, pb.EXECUTION_STATUS_CANCELLED},
)


class Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An answer, or a part of one."""


class ErrorDocument(Document, frozen=True, kw_only=True):
    """Why an execution or a step failed."""

    code: str
    message: str
    node_id: str | UnsetType = UNSET
    iteration: list[int] | UnsetType = UNSET
    details: AnyJson | UnsetType = UNSET


class UsageDocument(Document, frozen=True, kw_only=True):
    """What was used beside time."""

    cpu_ms: FractionalMs
    peak_memory_bytes: Annotated[int, Meta(description="The most that the process ever held.")]
    bytes_in: int
    bytes_out: int
    outside_calls: int
    ai_input_tokens: int
    ai_output_tokens: int


class PayloadRefDocument(Document, frozen=True, kw_only=True):
    """Stands for a value above 4 KiB."""

    hash: Annotated[str, Meta(description="SHA-256 of the value's JSON text, hex.")]
    bytes: int


class TaskDocument(Document, frozen=True, kw_only=True):
    """A task of a task.external step, leased to whoever polled."""

    token: Annotated[str, Meta(description="For heartbeat, complete and fail; keep it to yourself.")]
    queue: str
    execution_id: str
    workflow_id: str | UnsetType = UNSET
    node_id: str
    iteration: list[int] | UnsetType = UNSET
    attempt: Annotated[int, Meta(description="Of the step, from 1.")]
    offer: Annotated[int, Meta(description="Of this attempt, from 1; grows when a lease is lost.")]
    input: AnyJson
    step_key: Annotated[str, Meta(description="The same over all attempts and offers.")]
    created_at: Instant | UnsetType = UNSET
    lease_expires_at: Instant | UnsetType = UNSET
    lease_ms: Milliseconds


class HeartbeatDocument(Document, frozen=True, kw_only=True):
    """Whether the result of a task is still wanted."""

    cancelled: Annotated[bool, Meta(description="true: stop working on it.")]
    reason: str | UnsetType = UNSET
    lease_expires_at: Instant | UnsetType = UNSET
    lease_ms: Milliseconds | UnsetType = UNSET


class StepDocument(Document, frozen=True, kw_only=True):
    """One node's run within an execution."""

    node_id: str
    node_type: str | UnsetType = UNSET
    iteration: Annotated[list[int], Meta(description="Indexes of the loops around it.")] | UnsetType = UNSET
    status: StepStatusWord
    attempts: int
    started_at: Instant | UnsetType = UNSET
    completed_at: Instant | UnsetType = UNSET
    duration_ms: Milliseconds | UnsetType = UNSET
    output: AnyJson | UnsetType = UNSET
    output_ref: PayloadRefDocument | UnsetType = UNSET
    handle: str | UnsetType = UNSET
    handles: Annotated[list[str], Meta(description="Where it took several branches.")] | UnsetType = UNSET
    error: ErrorDocument | UnsetType = UNSET
    waiting: AnyJson | UnsetType = UNSET
    usage: UsageDocument | UnsetType = UNSET
    child_id: str | UnsetType = UNSET  # the execution that it started


class FactorDocument(Document, frozen=True, kw_only=True):
    """One reason that speaks for a mode."""

    name: str
    value: AnyJson | UnsetType = UNSET
    threshold: AnyJson | UnsetType = UNSET
    fired: Annotated[bool, Meta(description="Whether it asks for the queue.")]
    explanation: str


class ComplexityDocument(Document, frozen=True, kw_only=True):
    """Why a mode was chosen."""

    mode: ModeWord
    requested_mode: str
    explanation: str
    factors: list[FactorDocument]
    estimated_duration_ms: Milliseconds
    node_count: int
    external_call_count: int
    loop_count: int
    max_parallel_paths: int
    human_input: bool
    counterfactual: Annotated[str, Meta(description="What would change the mode.")] | UnsetType = UNSET
    learned_nodes: Annotated[int, Meta(description="Known from history.")] | UnsetType = UNSET


class ProgressDocument(Document, frozen=True, kw_only=True):
    completed_steps: int
    total_steps: int
    percent: float
    eta: Annotated[Instant, Meta(description="When a running one will have ended.")] | UnsetType = UNSET


class WaitingReasonDocument(Document, frozen=True, kw_only=True):
    """Why an execution that has not ended does not run right now."""

    kind: str
    explanation: str
    until: Instant | UnsetType = UNSET
    node_ids: list[str]
    queue_position: (
        Annotated[int, Meta(description="From 1, counted to 1,000; 1,001: that or later.")] | UnsetType
    ) = UNSET
    key: Annotated[str, Meta(description="Of concurrency or rateLimit.")] | UnsetType = UNSET
    limit: Annotated[int, Meta(description="How many the key allows.")] | UnsetType = UNSET
    period_ms: Milliseconds | UnsetType = UNSET
    missing_capabilities: (
        Annotated[list[str], Meta(description="What the workers that are alive lack to run it.")] | UnsetType
    ) = UNSET
    queue_oldest_ms: Annotated[int, Meta(description="How long the oldest has been queued.")] | UnsetType = (
        UNSET
    )


class ExecutionDocument(Document, frozen=True, kw_only=True):
    """One run of one workflow."""

    execution_id: str
    workflow_id: str
    workflow_name: str
    workflow_version: int | UnsetType = UNSET
    status: StatusWord
    mode: ModeWord
    pending_control: str | UnsetType = UNSET
    created_at: Instant | UnsetType = UNSET
    started_at: Instant | UnsetType = UNSET
    completed_at: Instant | UnsetType = UNSET
    deadline_at: Instant | UnsetType = UNSET
    duration_ms: Milliseconds | UnsetType = UNSET
    complexity: ComplexityDocument | UnsetType = UNSET
    input: AnyJson | UnsetType = UNSET
    output: AnyJson | UnsetType = UNSET
    error: ErrorDocument | UnsetType = UNSET
    steps: list[StepDocument] | UnsetType = UNSET
    steps_next_page_token: str | UnsetType = UNSET
    progress: ProgressDocument | UnsetType = UNSET
    waiting_reason: WaitingReasonDocument | UnsetType = UNSET
    usage: UsageDocument | UnsetType = UNSET
    tags: list[str]
    priority: int
    retry_of: str | UnsetType = UNSET
    root_id: str
    parent_id: str | UnsetType = UNSET  # of a child execution
    definition_hash: str | UnsetType = UNSET
    definition: AnyJson | UnsetType = UNSET
    epoch: int
    last_sequence: int


class ExecutionPage(Document, frozen=True, kw_only=True):
    executions: list[ExecutionDocument]
    next_page_token: str | UnsetType = UNSET


class CallbackDocument(Document, frozen=True, kw_only=True):
    """The answer to an outside system, which learns nothing about the execution."""

    received: bool


class ControlledDocument(Document, frozen=True, kw_only=True):
    """What was done to an execution, or would be."""

    execution_id: str
    status: StatusWord
    effect: Annotated[
        str,
        Meta(
            description="done: it is as was asked; accepted: it will soon be; refused: see reason.",
            extra_json_schema={"enum": ["done", "accepted", "refused"]},
        ),
    ]
    reason: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    retry_execution_id: str | UnsetType = UNSET


class ControlPage(Document, frozen=True, kw_only=True):
    """One page of executions, newest first, with the counts of this page."""

    done: int
    accepted: int
    refused: int
    executions: list[ControlledDocument]
    next_page_token: str | UnsetType = UNSET


class StepPage(Document, frozen=True, kw_only=True):
    steps: list[StepDocument]
    next_page_token: str | UnsetType = UNSET


class EventPage(Document, frozen=True, kw_only=True):
    events: list[AnyJson]
    last_sequence: Annotated[int, Meta(description="Of the newest event of the execution.")]


class SnapshotFrame(Document, frozen=True, kw_only=True):
    """First frame of a stream that was asked for a snapshot."""

    sequence: int
    execution_id: str
    type: str = "snapshot"
    execution: ExecutionDocument


class OpenedFrame(Document, frozen=True, kw_only=True):
    """First frame of a stream over all executions that begins now."""

    type: str = "stream.opened"
    cursor: str


class FactDocument(Document, frozen=True, kw_only=True):
    """An event without its values."""

    sequence: int
    type: str
    node_id: str | UnsetType = UNSET
    iteration: list[int] | UnsetType = UNSET


class ChangeProgress(Document, frozen=True, kw_only=True):
    """Without the total where loops leave it open."""

    completed_steps: int
    total_steps: int | UnsetType = UNSET
    percent: float | UnsetType = UNSET
    eta: Annotated[Instant, Meta(description="When a running one will have ended.")] | UnsetType = UNSET


class ChangeFrameDocument(Document, frozen=True, kw_only=True):
    """Events of one execution that were committed together, and how it stands after them."""

    type: str = "execution.changed"
    cursor: str
    execution_id: str
    workflow_id: str
    workflow_name: str
    status: StatusWord
    mode: ModeWord
    sequence: Annotated[int, Meta(description="Of the newest of the events.")]
    time: Instant
    progress: ChangeProgress
    events: Annotated[list[FactDocument], Meta(description="The newest of them, 16 at most.")]
    event_count: int
    error_code: str | UnsetType = UNSET


class AnalysisDocument(Document, frozen=True, kw_only=True):
    complexity: ComplexityDocument


class ValidationProblem(Document, frozen=True, kw_only=True):
    path: Annotated[str, Meta(description="JSON Pointer into the definition.")]
    code: str
    message: str
    hint: str | UnsetType = UNSET


class ValidationDocument(Document, frozen=True, kw_only=True):
    valid: bool
    problems: list[ValidationProblem]


class NodeTypeDocument(Document, frozen=True, kw_only=True):
    type: str
    title: str
    description: str
    config_schema: AnyJson | UnsetType = UNSET
    handles: list[str]
    external: Annotated[bool, Meta(description="Acts on the outside world.")]
    human: Annotated[bool, Meta(description="Waits for a person.")]
    container: Annotated[bool, Meta(description="Holds child nodes.")]
    typical_duration_ms: Milliseconds
    example: AnyJson | UnsetType = UNSET


class NodeTypeList(Document, frozen=True, kw_only=True):
    nodes: list[NodeTypeDocument]


class WorkflowDocument(Document, frozen=True, kw_only=True):
    """A stored definition."""

    id: str
    name: str
    version: int
    definition_hash: str
    created_at: Instant | UnsetType = UNSET
    updated_at: Instant | UnsetType = UNSET
    labels: dict[str, str]
    definition: AnyJson | UnsetType = UNSET


class WorkflowVersionDocument(Document, frozen=True, kw_only=True):
    version: int
    name: str
    definition_hash: str
    created_at: Instant | UnsetType = UNSET


class WorkflowVersionPage(Document, frozen=True, kw_only=True):
    """Newest first."""

    versions: list[WorkflowVersionDocument]
    next_page_token: str | UnsetType = UNSET


DiffWord = Annotated[str, Meta(extra_json_schema={"enum": ["added", "removed", "changed"]})]


class FieldDiffDocument(Document, frozen=True, kw_only=True):
    """One value that differs."""

    kind: DiffWord
    path: Annotated[str, Meta(description="JSON Pointer within the node, the edge or the definition.")]
    before: AnyJson | UnsetType = UNSET
    after: AnyJson | UnsetType = UNSET


class NodeDiffDocument(Document, frozen=True, kw_only=True):
    kind: DiffWord
    node_id: str
    node_type: str
    path: Annotated[str, Meta(description="JSON Pointer; of a removed node into the first definition.")]
    changes: list[FieldDiffDocument] | UnsetType = UNSET


class EdgeDiffDocument(Document, frozen=True, kw_only=True):
    """Edges are the same when their ends and their handle are."""

    kind: DiffWord
    source: str
    source_handle: str | UnsetType = UNSET
    target: str
    path: str
    changes: list[FieldDiffDocument] | UnsetType = UNSET


class WorkflowDiffDocument(Document, frozen=True, kw_only=True):
    """What two definitions differ in."""

    from_version: int
    to_version: int | UnsetType = UNSET
    same: Annotated[bool, Meta(description="Whether they mean the same.")]
    nodes: list[NodeDiffDocument]
    edges: list[EdgeDiffDocument]
    settings: list[FieldDiffDocument]


class WorkflowPage(Document, frozen=True, kw_only=True):
    workflows: list[WorkflowDocument]
    next_page_token: str | UnsetType = UNSET


class HealthDocument(Document, frozen=True, kw_only=True):
    status: str


def execution_document(execution: pb.Execution, *, with_steps: bool) -> ExecutionDocument:
    """with_steps: whether the message carries all steps, so that none means that there are none."""
    steps = [step_document(step) for step in execution.steps]
    return ExecutionDocument(
        execution_id=execution.id,
        workflow_id=execution.workflow_id,
        workflow_name=execution.workflow_name,
        workflow_version=execution.workflow_version or UNSET,
        status=status_word(execution.status),
        mode=mode_word(execution.mode),
        pending_control=_word(pb.PendingControl.Name(execution.pending_control), "PENDING_CONTROL_")
        if execution.pending_control
        else UNSET,
        created_at=instant_of(execution, "created_time"),
        started_at=instant_of(execution, "started_time"),
        completed_at=instant_of(execution, "completed_time"),
        deadline_at=instant_of(execution, "deadline_time"),
        duration_ms=_span(execution),
        complexity=complexity_document(execution.complexity) if execution.HasField("complexity") else UNSET,
        input=_json(execution.input_json),
        output=_json(execution.output_json),
        error=_error(execution),
        steps=steps if steps or with_steps else UNSET,
        steps_next_page_token=execution.steps_next_page_token or UNSET,
        progress=_progress(execution.progress) if execution.HasField("progress") else UNSET,
        waiting_reason=_waiting(execution.waiting_reason) if execution.HasField("waiting_reason") else UNSET,
        usage=usage_document(execution.usage) if execution.HasField("usage") else UNSET,
        tags=list(execution.tags),
        priority=execution.priority,
        retry_of=execution.retry_of or UNSET,
        root_id=execution.root_id or execution.id,
        parent_id=execution.parent_id or UNSET,
        definition_hash=execution.definition_hash or UNSET,
        definition=_json(execution.definition_json),
        epoch=execution.epoch,
        last_sequence=execution.last_sequence,
    )


def usage_document(usage: st.ResourceUsage) -> UsageDocument:
    return UsageDocument(
        cpu_ms=fractional_ms(usage.cpu_time),
        peak_memory_bytes=usage.peak_memory_bytes,
        bytes_in=usage.bytes_in,
        bytes_out=usage.bytes_out,
        outside_calls=usage.outside_calls,
        ai_input_tokens=usage.ai_input_tokens,
        ai_output_tokens=usage.ai_output_tokens,
    )


def fractional_ms(span: Duration) -> float:
    return round(span.seconds * 1000 + span.nanos / 1_000_000, 3)


def step_document(step: pb.Step) -> StepDocument:
    return StepDocument(
        node_id=step.node_id,
        node_type=step.node_type or UNSET,
        iteration=list(step.iteration) or UNSET,
        status=step_status_word(step.status),
        attempts=step.attempts,
        started_at=instant_of(step, "started_time"),
        completed_at=instant_of(step, "completed_time"),
        duration_ms=_span(step),
        output=_json(step.output_json),
        output_ref=PayloadRefDocument(hash=step.output_hash, bytes=step.output_bytes)
        if step.output_hash
        else UNSET,
        handle=step.handle or UNSET,
        handles=list(step.handles) or UNSET,
        error=_error(step),
        waiting=_json(step.waiting_json),
        usage=usage_document(step.usage) if step.HasField("usage") else UNSET,
        child_id=step.child_id or UNSET,
    )


def task_document(task: tk.Task) -> TaskDocument:
    return TaskDocument(
        token=task.token,
        queue=task.queue,
        execution_id=task.execution_id,
        workflow_id=task.workflow_id or UNSET,
        node_id=task.node_id,
        iteration=list(task.iteration) or UNSET,
        attempt=task.attempt,
        offer=task.offer,
        input=Raw(task.input_json.encode()),
        step_key=task.step_key,
        created_at=instant_of(task, "created_time"),
        lease_expires_at=instant_of(task, "lease_expires_time"),
        lease_ms=task.lease.ToMilliseconds(),
    )


def heartbeat_document(beat: tk.HeartbeatTaskResponse) -> HeartbeatDocument:
    return HeartbeatDocument(
        cancelled=beat.cancelled,
        reason=beat.reason or UNSET,
        lease_expires_at=instant_of(beat, "lease_expires_time"),
        lease_ms=beat.lease.ToMilliseconds() if beat.HasField("lease") else UNSET,
    )


def complexity_document(analysis: pb.ComplexityAnalysis) -> ComplexityDocument:
    return ComplexityDocument(
        mode=mode_word(analysis.mode),
        requested_mode=mode_word(analysis.requested_mode),
        explanation=analysis.explanation,
        factors=[
            FactorDocument(
                name=factor.name,
                value=_json(factor.value_json),
                threshold=_json(factor.threshold_json),
                fired=factor.fired,
                explanation=factor.explanation,
            )
            for factor in analysis.factors
        ],
        estimated_duration_ms=milliseconds_of(analysis.estimated_duration),
        node_count=analysis.node_count,
        external_call_count=analysis.external_call_count,
        loop_count=analysis.loop_count,
        max_parallel_paths=analysis.max_parallel_paths,
        human_input=analysis.human_input,
        counterfactual=analysis.counterfactual or UNSET,
        learned_nodes=analysis.learned_nodes or UNSET,
    )


def validation_document(answer: pb.ValidateWorkflowResponse) -> ValidationDocument:
    return ValidationDocument(
        valid=answer.valid,
        problems=[
            ValidationProblem(path=p.path, code=p.code, message=p.message, hint=p.hint or UNSET)
            for p in answer.problems
        ],
    )


def node_type_document(node_type: pb.NodeType) -> NodeTypeDocument:
    return NodeTypeDocument(
        type=node_type.type,
        title=node_type.title,
        description=node_type.description,
        config_schema=_json(node_type.config_schema_json),
        handles=list(node_type.handles),
        external=node_type.external,
        human=node_type.human,
        container=node_type.container,
        typical_duration_ms=milliseconds_of(node_type.typical_duration),
        example=_json(node_type.example_json),
    )


def workflow_document(workflow: wf.Workflow) -> WorkflowDocument:
    return WorkflowDocument(
        id=workflow.id,
        name=workflow.name,
        version=workflow.version,
        definition_hash=workflow.definition_hash,
        created_at=instant_of(workflow, "created_time"),
        updated_at=instant_of(workflow, "updated_time"),
        labels=dict(sorted(workflow.labels.items())),
        definition=_json(workflow.definition_json),
    )


def version_page(answer: wf.ListWorkflowVersionsResponse) -> WorkflowVersionPage:
    return WorkflowVersionPage(
        versions=[
            WorkflowVersionDocument(
                version=version.version,
                name=version.name,
                definition_hash=version.definition_hash,
                created_at=instant_of(version, "updated_time"),
            )
            for version in answer.versions
        ],
        next_page_token=answer.next_page_token or UNSET,
    )


def diff_document(answer: wf.DiffWorkflowResponse) -> WorkflowDiffDocument:
    return WorkflowDiffDocument(
        from_version=answer.from_version,
        to_version=answer.to_version or UNSET,
        same=answer.same,
        nodes=[
            NodeDiffDocument(
                kind=diff_word(node.kind),
                node_id=node.node_id,
                node_type=node.node_type,
                path=node.path,
                changes=_field_diffs(node.changes) or UNSET,
            )
            for node in answer.nodes
        ],
        edges=[
            EdgeDiffDocument(
                kind=diff_word(edge.kind),
                source=edge.source,
                source_handle=edge.source_handle or UNSET,
                target=edge.target,
                path=edge.path,
                changes=_field_diffs(edge.changes) or UNSET,
            )
            for edge in answer.edges
        ],
        settings=_field_diffs(answer.settings),
    )


def _field_diffs(fields: Iterable[wf.FieldDiff]) -> list[FieldDiffDocument]:
    return [
        FieldDiffDocument(
            kind=diff_word(field.kind),
            path=field.path,
            before=_json(field.before_json),
            after=_json(field.after_json),
        )
        for field in fields
    ]


def diff_word(kind: wf.DiffKind) -> str:
    return _word(wf.DiffKind.Name(kind), "DIFF_KIND_")


def event_page(answer: pb.ListEventsResponse) -> EventPage:
    return EventPage(events=raw_frames(answer.events), last_sequence=answer.last_sequence)


def control_page(answer: pb.ControlExecutionsResponse) -> ControlPage:
    return ControlPage(
        done=answer.done_count,
        accepted=answer.accepted_count,
        refused=answer.refused_count,
        executions=[
            ControlledDocument(
                execution_id=one.execution_id,
                status=status_word(one.status),
                effect=_word(pb.ControlEffect.Name(one.effect), "CONTROL_EFFECT_"),
                reason=one.reason or UNSET,
                message=one.message or UNSET,
                retry_execution_id=one.retry_execution_id or UNSET,
            )
            for one in answer.executions
        ],
        next_page_token=answer.next_page_token or UNSET,
    )


def raw_frames(events: Iterable[pb.Event]) -> list[Raw]:
    return [Raw(event.frame_json) for event in events]


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def status_word(status: pb.ExecutionStatus) -> str:
    return _word(pb.ExecutionStatus.Name(status), "EXECUTION_STATUS_")


@cache
def step_status_word(status: pb.StepStatus) -> str:
    return _word(pb.StepStatus.Name(status), "STEP_STATUS_")


@cache
def mode_word(mode: pb.ExecutionMode) -> str:
    return _word(pb.ExecutionMode.Name(mode), "EXECUTION_MODE_")


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _json(text: str) -> Raw | UnsetType:
    return Raw(text) if text else UNSET


def instant_of(message: Any, field: str) -> datetime | UnsetType:
    return instant(getattr(message, field)) if message.HasField(field) else UNSET


def instant(moment: Timestamp) -> datetime:
    """To the microsecond. `Timestamp.ToDatetime` checks what no answer can have, and takes much longer."""
    return EPOCH + timedelta(seconds=moment.seconds, microseconds=moment.nanos // 1000)


def _span(message: pb.Execution | pb.Step) -> int | UnsetType:
    """Milliseconds from start to end, once it has ended."""
    if not (message.HasField("started_time") and message.HasField("completed_time")):
        return UNSET
    return max(0, _nanoseconds(message.completed_time) - _nanoseconds(message.started_time)) // 1_000_000


def _nanoseconds(moment: Timestamp | Duration) -> int:
    return moment.seconds * 1_000_000_000 + moment.nanos


def milliseconds_of(span: Duration) -> int:
    return _nanoseconds(span) // 1_000_000


def _error(message: pb.Execution | pb.Step) -> ErrorDocument | UnsetType:
    if not message.HasField("error"):
        return UNSET
    error = message.error
    return ErrorDocument(
        code=error.code,
        message=error.message,
        node_id=error.node_id or UNSET,
        iteration=list(error.iteration) or UNSET,
        details=_json(error.details_json),
    )


def change_frame(change: pb.ExecutionChange) -> ChangeFrameDocument:
    total = change.progress.total_steps
    return ChangeFrameDocument(
        cursor=change.cursor,
        execution_id=change.execution_id,
        workflow_id=change.workflow_id,
        workflow_name=change.workflow_name,
        status=status_word(change.status),
        mode=mode_word(change.mode),
        sequence=change.sequence,
        time=instant(change.event_time),
        progress=ChangeProgress(
            completed_steps=change.progress.completed_steps,
            total_steps=total or UNSET,
            percent=change.progress.percent if total else UNSET,
            eta=instant_of(change.progress, "eta_time"),
        ),
        events=[
            FactDocument(
                sequence=fact.sequence,
                type=fact.type,
                node_id=fact.node_id or UNSET,
                iteration=list(fact.iteration) or UNSET,
            )
            for fact in change.facts
        ],
        event_count=change.event_count,
        error_code=change.error_code or UNSET,
    )


def _progress(progress: pb.Progress) -> ProgressDocument:
    return ProgressDocument(
        completed_steps=progress.completed_steps,
        total_steps=progress.total_steps,
        percent=progress.percent,
        eta=instant_of(progress, "eta_time"),
    )


def _waiting(reason: pb.WaitingReason) -> WaitingReasonDocument:
    return WaitingReasonDocument(
        kind=reason.kind,
        explanation=reason.explanation,
        until=instant_of(reason, "until_time"),
        node_ids=list(reason.node_ids),
        queue_position=reason.queue_position or UNSET,
        queue_oldest_ms=milliseconds_of(reason.queue_oldest_age)
        if reason.HasField("queue_oldest_age")
        else UNSET,
        key=reason.key or UNSET,
        limit=reason.limit or UNSET,
        period_ms=milliseconds_of(reason.period) if reason.HasField("period") else UNSET,
        missing_capabilities=list(reason.missing_capabilities) or UNSET,
    )
