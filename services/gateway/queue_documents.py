"""The documents that operators get: workers and the queue."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from flow_engine.v1 import operations_pb2 as pb
from services.gateway.documents import Document, Instant, Milliseconds, instant_of, milliseconds_of


class RunningDocument(Document, frozen=True, kw_only=True):
    """An execution that a worker runs."""

    execution_id: str
    workflow_id: str
    workflow_name: str
    started_at: Instant | UnsetType = UNSET
    lease_expires_at: Instant | UnsetType = UNSET


class WorkerDocument(Document, frozen=True, kw_only=True):
    """A worker process that is alive."""

    id: str
    hostname: str
    process_id: int
    version: str
    slots: Annotated[int, Meta(description="Executions at once.")]
    free_slots: Annotated[int, Meta(description="As it said last, a few seconds ago at most.")]
    started_at: Annotated[Instant, Meta(description="When it was heard of first.")] | UnsetType = UNSET
    seen_at: Annotated[Instant, Meta(description="When it was heard of last.")] | UnsetType = UNSET
    executor_id: Annotated[str, Meta(description="The executor that it holds its session with.")]
    draining: Annotated[bool, Meta(description="Finishes what it has and claims nothing.")]
    running_count: int
    executions: Annotated[list[RunningDocument], Meta(description="Longest running first; at most 100.")]
    capabilities: Annotated[list[str], Meta(description="Node types that it can run.")]


class WorkerList(Document, frozen=True, kw_only=True):
    """Those that have been there longest come first."""

    workers: list[WorkerDocument]
    database_time: Instant | UnsetType = UNSET


class PurgeDocument(Document, frozen=True, kw_only=True):
    """What was cancelled, or would be."""

    count: int
    execution_ids: Annotated[list[str], Meta(description="The first 100.")]
    more: Annotated[bool, Meta(description="There are more: call again.")]


class CheckDocument(Document, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    state: Annotated[str, Meta(extra_json_schema={"enum": ["ok", "warning", "error"]})]
    finding: str
    remedy: Annotated[str, Meta(description="What mends it.")] | UnsetType = UNSET


class DiagnosisDocument(Document, frozen=True, kw_only=True):
    """How an executor finds everything that it needs."""

    healthy: Annotated[bool, Meta(description="Whether no check ended in an error.")]
    checks: list[CheckDocument]
    executor_id: str
    executor_time: Instant | UnsetType = UNSET
    version: str


class PriorityDocument(Document, frozen=True, kw_only=True):
    priority: int
    pending_count: int
    oldest_pending_ms: Milliseconds


class NamespaceDepthDocument(Document, frozen=True, kw_only=True):
    namespace: str
    pending_count: int
    oldest_pending_ms: Milliseconds


class WorkflowDepthDocument(Document, frozen=True, kw_only=True):
    workflow_id: Annotated[str, Meta(description="Empty for definitions without an id.")]
    pending_count: int
    oldest_pending_ms: Milliseconds


class KeyDocument(Document, frozen=True, kw_only=True):
    """A concurrency key or rate limit that executions wait for."""

    kind: Annotated[str, Meta(extra_json_schema={"enum": ["concurrency", "rateLimit"]})]
    workflow_id: str
    key: str
    limit: int
    period_ms: Milliseconds | UnsetType = UNSET
    taken_count: Annotated[int, Meta(description="Slots that are taken, or starts in the last period.")]
    waiting_count: int


class QueueDocument(Document, frozen=True, kw_only=True):
    """The queue and who takes from it."""

    pending_count: int
    ready_count: Annotated[int, Meta(description="May be claimed now; the others wait for their key.")]
    running_count: int
    waiting_count: Annotated[int, Meta(description="For a person, a time or a callback.")]
    oldest_pending_ms: Milliseconds | UnsetType = UNSET
    oldest_ready_ms: Milliseconds | UnsetType = UNSET
    worker_count: Annotated[int, Meta(description="Alive and not draining.")]
    slots: int
    free_slots: int
    priorities: Annotated[list[PriorityDocument], Meta(description="Most urgent first.")]
    namespaces: Annotated[list[NamespaceDepthDocument], Meta(description="The deepest 50.")]
    workflows: Annotated[list[WorkflowDepthDocument], Meta(description="The deepest 50.")]
    keys: Annotated[list[KeyDocument], Meta(description="The deepest 50.")]
    partial: Annotated[
        bool,
        Meta(
            description="There are more than 10,000 that may be claimed, or as many that may not: these four"
            " are counted among the oldest of either kind."
        ),
    ]
    database_time: Instant | UnsetType = UNSET


def worker_list(answer: pb.ListWorkersResponse) -> WorkerList:
    return WorkerList(
        workers=[worker_document(worker) for worker in answer.workers],
        database_time=instant_of(answer, "database_time"),
    )


def worker_document(worker: pb.WorkerInfo) -> WorkerDocument:
    return WorkerDocument(
        id=worker.id,
        hostname=worker.hostname,
        process_id=worker.process_id,
        version=worker.version,
        slots=worker.slots,
        free_slots=worker.free_slots,
        started_at=instant_of(worker, "started_time"),
        seen_at=instant_of(worker, "seen_time"),
        executor_id=worker.executor_id,
        draining=worker.draining,
        running_count=worker.running_count,
        executions=[
            RunningDocument(
                execution_id=one.execution_id,
                workflow_id=one.workflow_id,
                workflow_name=one.workflow_name,
                started_at=instant_of(one, "started_time"),
                lease_expires_at=instant_of(one, "lease_expires_time"),
            )
            for one in worker.executions
        ],
        capabilities=list(worker.capabilities),
    )


def purge_document(answer: pb.PurgeQueueResponse) -> PurgeDocument:
    return PurgeDocument(count=answer.count, execution_ids=list(answer.execution_ids), more=answer.more)


def diagnosis_document(answer: pb.DiagnoseResponse) -> DiagnosisDocument:
    return DiagnosisDocument(
        healthy=all(check.state != pb.CHECK_STATE_ERROR for check in answer.checks),
        checks=[
            CheckDocument(
                name=check.name,
                state=state_word(check.state),
                finding=check.finding,
                remedy=check.remedy or UNSET,
            )
            for check in answer.checks
        ],
        executor_id=answer.executor_id,
        executor_time=instant_of(answer, "executor_time"),
        version=answer.version,
    )


def state_word(state: pb.CheckState) -> str:
    return pb.CheckState.Name(state).removeprefix("CHECK_STATE_").lower()


def queue_document(queue: pb.GetQueueResponse) -> QueueDocument:
    return QueueDocument(
        pending_count=queue.pending_count,
        ready_count=queue.ready_count,
        running_count=queue.running_count,
        waiting_count=queue.waiting_count,
        oldest_pending_ms=_span(queue, "oldest_pending_age"),
        oldest_ready_ms=_span(queue, "oldest_ready_age"),
        worker_count=queue.worker_count,
        slots=queue.slots,
        free_slots=queue.free_slots,
        priorities=[PriorityDocument(priority=depth.priority, **_depth(depth)) for depth in queue.priorities],
        namespaces=[
            NamespaceDepthDocument(namespace=depth.namespace, **_depth(depth)) for depth in queue.namespaces
        ],
        workflows=[
            WorkflowDepthDocument(workflow_id=depth.workflow_id, **_depth(depth)) for depth in queue.workflows
        ],
        keys=[key_document(key) for key in queue.keys],
        partial=queue.partial,
        database_time=instant_of(queue, "database_time"),
    )


def key_document(key: pb.KeyDepth) -> KeyDocument:
    return KeyDocument(
        kind=key.kind,
        workflow_id=key.workflow_id,
        key=key.key,
        limit=key.limit,
        period_ms=_span(key, "period"),
        taken_count=key.taken_count,
        waiting_count=key.waiting_count,
    )


def _depth(depth: pb.PriorityDepth | pb.NamespaceDepth | pb.WorkflowDepth) -> dict[str, Any]:
    return {
        "pending_count": depth.pending_count,
        "oldest_pending_ms": milliseconds_of(depth.oldest_pending_age),
    }


def _span(message: Any, field: str) -> int | UnsetType:
    return milliseconds_of(getattr(message, field)) if message.HasField(field) else UNSET
