"""Figures about executions that ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Meta, UnsetType

from flow_engine.v1 import stats_pb2 as pb
from services.gateway.call import Answer, Call, document
from services.gateway.documents import (
    Document,
    FractionalMs,
    Instant,
    Milliseconds,
    UsageDocument,
    fractional_ms,
    usage_document,
)

Share = Annotated[float, Meta(description="0 to 1.", extra_json_schema={"minimum": 0, "maximum": 1})]


class QuantilesDocument(Document, frozen=True, kw_only=True):
    """Spans, measured with an error below 5 %."""

    p50: FractionalMs
    p95: FractionalMs
    p99: FractionalMs
    mean: FractionalMs


class ModeRegretDocument(Document, frozen=True, kw_only=True):
    """Executions whose mode turned out to be the wrong one."""

    immediate_promoted: Annotated[int, Meta(description="Began immediate, went on in the queue.")]
    queued_short: Annotated[int, Meta(description="Queued, and ran for less than a second.")]
    rate: Share


class EstimatesDocument(Document, frozen=True, kw_only=True):
    """How good the estimates were that modes were chosen by."""

    runs: int
    close_rate: Annotated[float, Meta(description="Within a factor of 1.5; 0 to 1.")]
    ratio_p50: Annotated[float, Meta(description="Truth divided by estimate.")]
    ratio_p95: float


class ExecutionStatsDocument(Document, frozen=True, kw_only=True):
    """Of executions that ended."""

    runs: int
    completed: int
    failed: int
    cancelled: int
    success_rate: Annotated[float, Meta(description="Of completed and failed.")] | UnsetType = UNSET
    immediate: int
    queued: int
    duration_ms: QuantilesDocument | UnsetType = UNSET
    queue_wait_ms: QuantilesDocument | UnsetType = UNSET
    step_retries: int
    retries: int
    promotions: int
    mode_regret: ModeRegretDocument
    estimates: EstimatesDocument
    usage: UsageDocument


class WorkflowStatsDocument(Document, frozen=True, kw_only=True):
    workflow_id: str
    stats: ExecutionStatsDocument


class NodeStatsDocument(Document, frozen=True, kw_only=True):
    """Of steps that ran: by node type, or by node of a workflow."""

    node_type: str
    workflow_id: str | UnsetType = UNSET
    node_id: str | UnsetType = UNSET
    runs: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | UnsetType = UNSET
    retries: int
    duration_ms: QuantilesDocument | UnsetType = UNSET
    usage: UsageDocument


class ErrorStatsDocument(Document, frozen=True, kw_only=True):
    """An error that executions failed with."""

    code: str
    workflow_id: str
    count: int
    execution_id: Annotated[str, Meta(description="One of the newest.")]
    message: str


class ThroughputDocument(Document, frozen=True, kw_only=True):
    """Executions that ended within a bucket."""

    start: Instant
    completed: int
    failed: int
    cancelled: int


class StatsDocument(Document, frozen=True, kw_only=True):
    """The range is as asked, rounded outwards to whole periods."""

    start: Instant
    end: Instant
    total: ExecutionStatsDocument
    workflows: list[WorkflowStatsDocument]
    node_types: list[NodeStatsDocument]
    slowest_nodes: list[NodeStatsDocument]
    errors: list[ErrorStatsDocument]
    throughput: list[ThroughputDocument]
    bucket_ms: Milliseconds
    uncounted: Annotated[int, Meta(description="Ended, and not counted yet.")]


async def get_stats(call: Call) -> Answer:
    """Counts and measures of the executions that ended within a range."""
    query = call.query
    request = pb.GetStatsRequest(workflow_id=query.get("workflowId", ""), limit=query.get("limit", 0))
    if "from" in query:
        request.start_time.FromDatetime(query["from"])
    if "to" in query:
        request.end_time.FromDatetime(query["to"])
    if "bucketMs" in query:
        request.bucket.FromMilliseconds(query["bucketMs"])
    executor = call.services.executor
    return document(
        stats_document(await executor.ask(executor.executions.GetStats, request, call.request_id))
    )


def stats_document(answer: pb.GetStatsResponse) -> StatsDocument:
    return StatsDocument(
        start=_instant(answer.start_time),
        end=_instant(answer.end_time),
        total=_execution_stats(answer.total),
        workflows=[
            WorkflowStatsDocument(workflow_id=one.workflow_id, stats=_execution_stats(one.stats))
            for one in answer.workflows
        ],
        node_types=[_node_stats(one) for one in answer.node_types],
        slowest_nodes=[_node_stats(one) for one in answer.slowest_nodes],
        errors=[
            ErrorStatsDocument(
                code=one.code,
                workflow_id=one.workflow_id,
                count=one.count,
                execution_id=one.execution_id,
                message=one.message,
            )
            for one in answer.errors
        ],
        throughput=[
            ThroughputDocument(
                start=_instant(one.start_time),
                completed=one.completed,
                failed=one.failed,
                cancelled=one.cancelled,
            )
            for one in answer.throughput
        ],
        bucket_ms=answer.bucket.ToMilliseconds(),
        uncounted=answer.uncounted,
    )


def _execution_stats(stats: pb.ExecutionStats) -> ExecutionStatsDocument:
    regret, estimates = stats.mode_regret, stats.estimates
    return ExecutionStatsDocument(
        runs=stats.runs,
        completed=stats.completed,
        failed=stats.failed,
        cancelled=stats.cancelled,
        success_rate=_rate(stats),
        immediate=stats.immediate,
        queued=stats.queued,
        duration_ms=_quantiles(stats, "duration"),
        queue_wait_ms=_quantiles(stats, "queue_wait"),
        step_retries=stats.step_retries,
        retries=stats.retries,
        promotions=stats.promotions,
        mode_regret=ModeRegretDocument(
            immediate_promoted=regret.immediate_promoted,
            queued_short=regret.queued_short,
            rate=_rounded(regret.rate),
        ),
        estimates=EstimatesDocument(
            runs=estimates.runs,
            close_rate=_rounded(estimates.close_rate),
            ratio_p50=_rounded(estimates.ratio_p50),
            ratio_p95=_rounded(estimates.ratio_p95),
        ),
        usage=usage_document(stats.usage),
    )


def _node_stats(stats: pb.NodeStats) -> NodeStatsDocument:
    return NodeStatsDocument(
        node_type=stats.node_type,
        workflow_id=stats.workflow_id if stats.node_id else UNSET,
        node_id=stats.node_id or UNSET,
        runs=stats.runs,
        completed=stats.completed,
        failed=stats.failed,
        cancelled=stats.cancelled,
        success_rate=_rate(stats),
        retries=stats.retries,
        duration_ms=_quantiles(stats, "duration"),
        usage=usage_document(stats.usage),
    )


def _quantiles(stats: Any, field: str) -> QuantilesDocument | UnsetType:
    if not stats.HasField(field):
        return UNSET
    spans = getattr(stats, field)
    return QuantilesDocument(
        p50=fractional_ms(spans.p50),
        p95=fractional_ms(spans.p95),
        p99=fractional_ms(spans.p99),
        mean=fractional_ms(spans.mean),
    )


def _rate(stats: Any) -> float | UnsetType:
    return _rounded(stats.success_rate) if stats.HasField("success_rate") else UNSET


def _instant(moment: Timestamp) -> datetime:
    return moment.ToDatetime(UTC)


def _rounded(value: float) -> float:
    return round(value, 4)
