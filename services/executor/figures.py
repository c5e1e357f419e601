"""What an executor tells Prometheus; of queue and workers, those of the whole installation, seconds old."""

from __future__ import annotations

from flow_engine.metrics import Figure
from services.executor.queue_gauge import QueueGauge
from services.executor.roster import Roster
from services.executor.strategies.immediate import ImmediateExecutionStrategy


def figures(queue: QueueGauge, roster: Roster, immediate: ImmediateExecutionStrategy) -> list[Figure]:
    return [
        Figure(
            "flow_pending",
            "Executions in the queue, counted up to its limit.",
            lambda: queue.pending,
        ),
        Figure("flow_ready", "Of these: may be claimed now.", lambda: queue.ready),
        Figure(
            "flow_oldest_pending_seconds",
            "How long the oldest of them has been there.",
            lambda: queue.oldest_pending_seconds,
        ),
        Figure("flow_workers", "Live worker processes.", lambda: len(roster.workers)),
        Figure("flow_slots", "Executions that they run at once.", lambda: roster.slots),
        Figure("flow_busy_slots", "Of these: in use.", lambda: roster.busy_slots),
        Figure(
            "flow_load",
            "What there is for workers: what they may claim, and what they run.",
            lambda: queue.ready + roster.busy_slots,
        ),
        Figure(
            "flow_executor_immediate_running",
            "Immediate executions that run in this process.",
            lambda: immediate.live,
        ),
        Figure(
            "flow_executor_immediate_started_total",
            "Immediate executions that began in this process.",
            lambda: immediate.begun,
        ),
    ]
