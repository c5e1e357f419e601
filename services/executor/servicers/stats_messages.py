"""Statistics: the request checked and made whole, figures as messages."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from flow_engine.errors import InvalidRequest, Problem
from flow_engine.v1 import stats_pb2 as pb
from services.executor.servicers.messages import duration, milliseconds, timestamp
from services.executor.stats.figures import Figures, Group, StatsQuery
from services.executor.stats.histogram import RATIO_UNIT, quantile
from services.executor.stats.periods import DAY, FINE, MOST_POINTS, grain_at, rounded_out, usual_bucket
from services.executor.stats.tally import DURATION, QUEUE_WAIT, RATIO

DEFAULT_RANGE = timedelta(days=1)
MOST_LISTED = 100
DEFAULT_LISTED = 20
LONGEST_RANGE_SECONDS = 20 * 366 * DAY


def stats_query(
    request: pb.GetStatsRequest, now: datetime, namespace: str, waiting_types: Collection[str]
) -> StatsQuery:
    """Raises InvalidRequest with every problem."""
    problems: list[Problem] = []
    end = _seconds(request.end_time) if request.HasField("end_time") else int(now.timestamp()) + 1
    start = end - DEFAULT_RANGE // timedelta(seconds=1)
    if request.HasField("start_time"):
        start = _seconds(request.start_time)
    if start >= end:
        problems.append(Problem("/startTime", "OUT_OF_RANGE", "must be before the end of the range"))
    elif end - start > LONGEST_RANGE_SECONDS:
        problems.append(Problem("/startTime", "OUT_OF_RANGE", "the range is longer than 20 years"))
    if not 0 <= request.limit <= MOST_LISTED:
        message = f"must be between 1 and {MOST_LISTED}, not {request.limit}"
        problems.append(Problem("/limit", "OUT_OF_RANGE", message))
    seconds = milliseconds(request.bucket) / 1000 if request.HasField("bucket") else None
    if seconds is not None and (seconds <= 0 or seconds % FINE):
        problems.append(Problem("/bucket", "OUT_OF_RANGE", "must be a multiple of 5 minutes"))
    if problems:
        raise InvalidRequest(problems)
    now_seconds = int(now.timestamp())
    start, end = rounded_out(start, end, now_seconds)
    bucket = usual_bucket(start, end, now_seconds) if seconds is None else int(seconds)
    bucket += -bucket % grain_at(start, now_seconds)
    if (end - start) / bucket > MOST_POINTS:
        message = f"a series has at most {MOST_POINTS:,} points; choose larger buckets or a shorter range"
        raise InvalidRequest([Problem("/bucket", "OUT_OF_RANGE", message)])
    return StatsQuery(
        namespace=namespace,
        workflow_id=request.workflow_id or None,
        start=start,
        end=end,
        bucket=bucket,
        limit=request.limit or DEFAULT_LISTED,
        waiting_types=tuple(waiting_types),
        latest=end > now_seconds,
    )


def stats_response(query: StatsQuery, figures: Figures) -> pb.GetStatsResponse:
    return pb.GetStatsResponse(
        start_time=_instant(query.start),
        end_time=_instant(query.end),
        total=_execution_stats(figures.total),
        workflows=[
            pb.WorkflowStats(workflow_id=group.names["workflow_id"], stats=_execution_stats(group))
            for group in figures.workflows
        ],
        node_types=map(_node_stats, figures.node_types),
        slowest_nodes=map(_node_stats, figures.slowest_nodes),
        errors=[
            pb.ErrorStats(
                code=error.code,
                workflow_id=error.workflow_id,
                count=error.count,
                execution_id=error.execution_id,
                message=error.message,
            )
            for error in figures.errors
        ],
        throughput=[
            pb.ThroughputPoint(
                start_time=_instant(begin), completed=completed, failed=failed, cancelled=cancelled
            )
            for begin, completed, failed, cancelled in figures.series
        ],
        bucket=duration(1000 * query.bucket),
        uncounted=figures.uncounted,
    )


def _execution_stats(group: Group) -> pb.ExecutionStats:
    sums = _Sums(group)
    regret = sums["promotions"] + sums["queued_short"]
    ratios = group.histograms.get(RATIO, {})
    return pb.ExecutionStats(
        runs=sums["runs"],
        completed=sums["completed"],
        failed=sums["failed"],
        cancelled=sums["cancelled"],
        success_rate=_success_rate(sums),
        immediate=sums["immediate"],
        queued=sums["runs"] - sums["immediate"],
        duration=_quantiles(group, DURATION, sums["duration_us"], sums["timed"]),
        queue_wait=_quantiles(group, QUEUE_WAIT, sums["wait_us"], sums["waited"]),
        step_retries=sums["step_retries"],
        retries=sums["retries"],
        promotions=sums["promotions"],
        mode_regret=pb.ModeRegret(
            immediate_promoted=sums["promotions"],
            queued_short=sums["queued_short"],
            rate=regret / sums["runs"] if sums["runs"] else 0.0,
        ),
        estimates=pb.EstimateAccuracy(
            runs=sums["estimates"],
            close_rate=sums["estimates_close"] / sums["estimates"] if sums["estimates"] else 0.0,
            ratio_p50=(quantile(ratios, 0.5) or 0.0) / RATIO_UNIT,
            ratio_p95=(quantile(ratios, 0.95) or 0.0) / RATIO_UNIT,
        ),
        usage=_usage(sums),
    )


def _node_stats(group: Group) -> pb.NodeStats:
    sums = _Sums(group)
    return pb.NodeStats(
        runs=sums["runs"],
        completed=sums["completed"],
        failed=sums["failed"],
        cancelled=sums["cancelled"],
        success_rate=_success_rate(sums),
        retries=sums["retries"],
        duration=_quantiles(group, DURATION, sums["duration_us"], sums["timed"]),
        usage=_usage(sums),
        node_type=group.names.get("node_type", ""),
        node_id=group.names.get("node_id", ""),
        workflow_id=group.names.get("workflow_id", ""),
    )


class _Sums(dict[str, int]):
    """Of a group; what was not counted is zero."""

    def __init__(self, group: Group) -> None:
        super().__init__(group.sums)

    def __missing__(self, name: str) -> int:
        return 0


def _success_rate(sums: _Sums) -> float | None:
    judged = sums["completed"] + sums["failed"]
    return sums["completed"] / judged if judged else None


def _quantiles(group: Group, measure: str, sum_us: int, count: int) -> pb.DurationQuantiles | None:
    histogram = group.histograms.get(measure)
    if not histogram or not count:
        return None
    p50, p95, p99 = (duration((quantile(histogram, share) or 0.0) / 1000) for share in (0.5, 0.95, 0.99))
    return pb.DurationQuantiles(p50=p50, p95=p95, p99=p99, mean=duration(sum_us / count / 1000))


def _usage(sums: _Sums) -> pb.ResourceUsage:
    return pb.ResourceUsage(
        cpu_time=duration(sums["cpu_us"] / 1000),
        peak_memory_bytes=sums["peak_memory"],
        bytes_in=sums["bytes_in"],
        bytes_out=sums["bytes_out"],
        outside_calls=sums["outside_calls"],
        ai_input_tokens=sums["input_tokens"],
        ai_output_tokens=sums["output_tokens"],
    )


def _seconds(moment: Timestamp) -> int:
    return moment.seconds


def _instant(seconds: int) -> Timestamp | None:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
