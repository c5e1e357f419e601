"""What operators read about workers and the queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flow_engine.v1 import operations_pb2 as pb
from services.cli.reports import moment
from services.cli.spans import format_ms, milliseconds_between
from services.cli.tables import table


def worker_table(answer: pb.ListWorkersResponse) -> Table:
    """One line a worker, and one for each execution that it runs."""
    now = moment(answer.database_time)
    made = table("WORKER", "HOST", "PROCESS", "VERSION", "UP", "FREE", "RUNS", "")
    for worker in answer.workers:
        made.add_row(
            worker.id,
            worker.hostname,
            str(worker.process_id),
            worker.version,
            format_ms(milliseconds_between(moment(worker.started_time), now)),
            f"{worker.free_slots}/{worker.slots}",
            str(worker.running_count),
            Text("draining", style="yellow") if worker.draining else "",
        )
        for one in worker.executions:
            since = format_ms(milliseconds_between(moment(one.started_time), now))
            what = f"  {one.execution_id}  {one.workflow_id or one.workflow_name}  {since}"
            made.add_row(Text(what, style="dim"))
    return made


MARKS = {
    pb.CHECK_STATE_OK: ("✓", "green"),
    pb.CHECK_STATE_WARNING: ("!", "yellow"),
    pb.CHECK_STATE_ERROR: ("✗", "red"),
}


def check_lines(checks: Sequence[pb.Check]) -> Iterator[RenderableType]:
    """A line for each finding, and one below for what mends it."""
    for check in checks:
        mark, style = MARKS.get(check.state, ("?", ""))
        yield Text.assemble((mark, style), f" {check.name:<14} {check.finding}")
        if check.remedy:
            yield Text(f"  {'':<14} → {check.remedy}", style=style)


def queue_report(queue: pb.GetQueueResponse) -> Iterator[RenderableType]:
    """Totals, workers, then a table for each way to divide the queue."""
    oldest = f", the oldest for {_age(queue, 'oldest_pending_age')}" if queue.pending_count else ""
    held = queue.pending_count - queue.ready_count
    yield Text(f"{queue.pending_count:,} pending{oldest}", style="bold")
    if held:
        yield Text(f"{queue.ready_count:,} may be claimed, {held:,} wait for a slot or the rate of their key")
    yield Text(f"{queue.running_count:,} running, {queue.waiting_count:,} waiting")
    workers = "worker" if queue.worker_count == 1 else "workers"
    yield Text(
        f"{queue.worker_count} {workers} with {queue.free_slots} of {queue.slots} slots free",
        style="" if queue.worker_count else "yellow",
    )
    if queue.partial:
        yield Text("\nof the oldest 10,000 that may be claimed, and as many that may not:", style="dim")
    if queue.priorities:
        yield ""
        yield _depths("PRIORITY", [(str(depth.priority), depth) for depth in queue.priorities])
    if queue.workflows:
        yield ""
        yield _depths("WORKFLOW", [(depth.workflow_id or "-", depth) for depth in queue.workflows])
    if len(queue.namespaces) > 1:
        yield ""
        yield _depths("NAMESPACE", [(depth.namespace, depth) for depth in queue.namespaces])
    if queue.keys:
        yield ""
        yield _keys(queue)


def _depths(name: str, depths: list[tuple[str, Any]]) -> Table:
    made = table(name, "PENDING", "OLDEST")
    for label, depth in depths:
        made.add_row(label, f"{depth.pending_count:,}", _age(depth, "oldest_pending_age"))
    return made


def _keys(queue: pb.GetQueueResponse) -> Table:
    made = table("KEY", "WORKFLOW", "KIND", "TAKEN", "WAITING")
    for key in queue.keys:
        per = f" per {_age(key, 'period')}" if key.HasField("period") else ""
        taken = f"{key.taken_count}/{key.limit}{per}"
        made.add_row(key.key, key.workflow_id or "-", key.kind, taken, f"{key.waiting_count:,}")
    return made


def _age(message: Any, field: str) -> str:
    return format_ms(getattr(message, field).ToMilliseconds())
