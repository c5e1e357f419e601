"""How far an execution is, from its steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flow_engine.interpreter.steps import Step
from flow_engine.payload import decode
from flow_engine.workflow.graph import WorkflowGraph
from services.executor.durations.estimate import LEFT_OF_LATE, LONGEST_MS
from services.executor.persistence.contract import ExecutionRecord


@dataclass(frozen=True, slots=True)
class Progress:
    completed_steps: int
    total_steps: int  # known so far: grows when loops open
    eta: datetime | None = None  # of its end, while it runs

    @property
    def percent(self) -> float:
        return 100.0 * self.completed_steps / self.total_steps if self.total_steps else 0.0


def item_of(record: ExecutionRecord) -> str | None:
    """The distributed loop whose item the execution is."""
    return None if record.parent_index is None else str(decode(record.parent_step)[0])


def progress_of(
    graph: WorkflowGraph, steps: Sequence[Step], *, ended: bool, top: str | None = None
) -> Progress:
    """steps: of one execution. What never began counts until the execution has ended; an item of a
    distributed loop counts as one step. top: the loop whose item the execution is."""
    finished = sum(step.finished + step.items_finished for step in steps)
    items = sum(step.item_count or 0 for step in steps if graph.nodes[step.node_id].type.spawns)
    if ended:
        return Progress(len(steps), len(steps))
    total = (
        len(graph.scopes[top].nodes)
        + items
        + sum(len(graph.scopes[step.node_id].nodes) * count for step, count in loops(graph, steps))
    )
    return Progress(finished, max(total, len(steps)))


def likely_end(now: datetime, started_at: datetime, estimate_ms: float, progress: Progress) -> datetime:
    """When an execution will have ended, from what was estimated when it was started.

    The estimate holds until it is over; then as much of it is left as there are steps left, or a tenth
    where nobody knows how many.
    """
    estimate = timedelta(milliseconds=min(estimate_ms, LONGEST_MS))
    if now < started_at + estimate:
        return started_at + estimate
    return now + estimate * (1 - progress.percent / 100 if progress.total_steps else LEFT_OF_LATE)


def loops(graph: WorkflowGraph, steps: Sequence[Step]) -> list[tuple[Step, int]]:
    """Containers that have opened, with how many iterations they are known to have."""
    opened = [
        step
        for step in steps
        if step.node_id in graph.scopes and step.attempts and not graph.nodes[step.node_id].type.spawns
    ]
    seen = iterations_seen(graph, steps) if opened else Counter()
    return [
        (step, step.item_count if step.item_count is not None and not step.finished else seen[step.key])
        for step in opened
    ]


def iterations_seen(graph: WorkflowGraph, steps: Sequence[Step]) -> Counter[tuple[str, tuple[int, ...]]]:
    """Iterations with at least one step, by the key of their container."""
    scopes = {
        (node.parent_id, step.iteration)
        for step in steps
        if (node := graph.nodes.get(step.node_id)) is not None and node.parent_id is not None
    }
    return Counter((container, iteration[:-1]) for container, iteration in scopes)
