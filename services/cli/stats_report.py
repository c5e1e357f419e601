"""What people read about executions that ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flow_engine.v1 import stats_pb2 as pb
from services.cli.reports import local, moment
from services.cli.spans import format_ms

BARS = " ▁▂▃▄▅▆▇█"


def stats_report(stats: pb.GetStatsResponse) -> Iterator[RenderableType]:
    total = stats.total
    span = f"{local(moment(stats.start_time))} to {local(moment(stats.end_time))}"
    yield Text.assemble((f"{total.runs:,} executions ended", "bold"), f"  {span}")
    if stats.uncounted:
        yield Text(f"{stats.uncounted:,} more are being counted", style="dim")
    if not total.runs:
        return
    yield Text(
        f"completed {total.completed:,}  failed {total.failed:,}  cancelled {total.cancelled:,}"
        f"  immediate {total.immediate:,}  queued {total.queued:,}  promoted {total.promotions:,}"
        f"  retries {total.retries:,}, of steps {total.step_retries:,}"
    )
    regret, estimates = total.mode_regret, total.estimates
    yield Text(
        f"mode regret {regret.rate:.1%}: {regret.immediate_promoted:,} immediate but promoted, "
        f"{regret.queued_short:,} queued but short"
    )
    if estimates.runs:
        yield Text(
            f"estimates: {estimates.close_rate:.0%} within a factor of 1.5, truth typically "
            f"{estimates.ratio_p50:.2f} × estimate"
        )
    yield Text(f"{_bars([point.completed + point.failed + point.cancelled for point in stats.throughput])}")
    yield _table("", ["WORKFLOW"], [([one.workflow_id], one.stats) for one in stats.workflows], waits=True)
    yield _table("", ["NODE TYPE"], [([one.node_type], one) for one in stats.node_types])
    yield _table(
        "slowest nodes",
        ["WORKFLOW", "NODE", "TYPE"],
        [([one.workflow_id, one.node_id, one.node_type], one) for one in stats.slowest_nodes],
    )
    if stats.errors:
        errors = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("ERROR", "WORKFLOW", "COUNT", "EXECUTION", ""):
            errors.add_column(name, justify="right" if name == "COUNT" else "left", overflow="fold")
        for one in stats.errors:
            row = (one.code, one.workflow_id, f"{one.count:,}", one.execution_id, one.message)
            errors.add_row(*map(Text, row))
        yield errors


def _table(
    title: str, names: Sequence[str], rows: Sequence[tuple[Sequence[str], Any]], *, waits: bool = False
) -> RenderableType:
    """One row for each: what it is, how often it ran, how long that took."""
    if not rows:
        return ""
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title=title or None,
        title_justify="left", title_style="dim",
    )  # fmt: skip
    for name in names:
        table.add_column(name, overflow="fold")
    numbers = ["RUNS", "OK", "P50", "P95", "P99", *(["WAIT P95"] if waits else [])]
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for texts, stats in rows:
        rate = f"{stats.success_rate:.1%}" if stats.HasField("success_rate") else "–"
        spans = [_ms(stats, "duration", which) for which in ("p50", "p95", "p99")]
        wait = [_ms(stats, "queue_wait", "p95")] if waits else []
        table.add_row(*(Text(text or "–") for text in texts), f"{stats.runs:,}", rate, *spans, *wait)
    return table


def _ms(stats: Any, field: str, which: str) -> str:
    if not stats.HasField(field):
        return "–"
    span = getattr(getattr(stats, field), which)
    return format_ms(span.seconds * 1000 + span.nanos / 1_000_000)


def _bars(values: Sequence[int]) -> str:
    """▁▃█: each bucket against the fullest."""
    most = max(values, default=0)
    return "".join(BARS[-(-value * (len(BARS) - 1) // most)] if most else BARS[0] for value in values)
