"""What executions that ended add to the counts. Additions of many are summed before they are stored."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from flow_engine.interpreter.steps import Step
from flow_engine.metering import Usage
from services.executor.stats.histogram import RATIO_UNIT, bucket_of
from services.executor.stats.periods import FINE

MICROSECOND = timedelta(microseconds=1)
SHORT = timedelta(seconds=1)
"""Whoever runs for less had no need of the queue."""
CLOSE = 1.5
"""An estimate within this factor of the truth was good."""

DURATION, QUEUE_WAIT, RATIO = "duration", "wait", "ratio"
"""What is measured: microseconds of the first two, thousandths of the last."""

ALL, WORKFLOW, NODE_TYPE, NODE = "all", "workflow", "type", "node"


class Subject(NamedTuple):
    """What counts are about. Fields that do not matter for the scope are empty."""

    scope: str  # all, workflow, type, node
    workflow_id: str = ""
    node_id: str = ""
    node_type: str = ""

    def key(self, namespace: str) -> int:
        """The same 63 bits everywhere: rows of counts name their subject by it."""
        text = "\0".join((namespace, *self)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that has ended, with all that is counted of it."""

    id: str
    namespace: str
    workflow_id: str
    status: str
    mode: str  # that it ended in
    decided_mode: str  # that it began in; empty: not known
    estimate_ms: float | None
    retry_of: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime
    error_code: str = ""
    error_message: str = ""
    definition_hash: str = ""
    steps: Sequence[Step] = ()
    node_types: Mapping[str, str] = field(default_factory=dict)

    @property
    def duration_us(self) -> int | None:
        """Of running; None when it never began."""
        return None if self.started_at is None else microseconds(self.started_at, self.completed_at)

    @property
    def promoted(self) -> bool:
        return self.decided_mode == "immediate" and self.mode == "queued"


COUNTERS = (
    "runs",
    "completed",
    "failed",
    "cancelled",
    "immediate",
    "retries",  # of executions: those that retry another one; of nodes: attempts beyond the first
    "step_retries",
    "promotions",
    "queued_short",
    "estimates",
    "estimates_close",
    "timed",  # of which duration_us is the sum
    "duration_us",
    "waited",
    "wait_us",
    "cpu_us",
    "bytes_in",
    "bytes_out",
    "outside_calls",
    "input_tokens",
    "output_tokens",
)
"""All are sums; `peak_memory` beside them is a maximum."""

Place = tuple[str, Subject, int]
"""(namespace, subject, fine period)."""


@dataclass(slots=True)
class Counts:
    sums: Counter[str] = field(default_factory=Counter)
    peak_memory: int = 0
    histograms: dict[str, dict[int, int]] = field(default_factory=dict)  # by measure

    def use(self, usage: Usage) -> None:
        self.sums["cpu_us"] += usage.cpu_us
        self.sums["bytes_in"] += usage.bytes_in
        self.sums["bytes_out"] += usage.bytes_out
        self.sums["outside_calls"] += usage.outside_calls
        self.sums["input_tokens"] += usage.input_tokens
        self.sums["output_tokens"] += usage.output_tokens
        self.peak_memory = max(self.peak_memory, usage.peak_memory)

    def __add__(self, other: Counts) -> Counts:
        total = Counts()
        total.add(self)
        total.add(other)
        return total

    def add(self, other: Counts) -> None:
        for name, count in other.sums.items():
            self.sums[name] += count
        self.peak_memory = max(self.peak_memory, other.peak_memory)
        self.add_histograms(other.histograms)

    def add_histograms(self, more: Mapping[str, Mapping[int, int]]) -> None:
        for measure, added in more.items():
            histogram = self.histograms.setdefault(measure, {})
            for bucket, count in added.items():
                histogram[bucket] = histogram.get(bucket, 0) + count

    def measure(self, name: str, value: float) -> None:
        histogram = self.histograms.setdefault(name, {})
        bucket = bucket_of(value)
        histogram[bucket] = histogram.get(bucket, 0) + 1


@dataclass(slots=True)
class ErrorCount:
    count: int = 0
    execution_id: str = ""
    message: str = ""

    def __add__(self, other: ErrorCount) -> ErrorCount:
        newest = max(self, other, key=lambda each: each.execution_id)
        return ErrorCount(self.count + other.count, newest.execution_id, newest.message)


@dataclass(slots=True)
class Tally:
    """Additions of any number of executions."""

    counts: defaultdict[Place, Counts] = field(default_factory=lambda: defaultdict(Counts))
    errors: defaultdict[tuple[str, int, str, str], ErrorCount] = field(
        default_factory=lambda: defaultdict(ErrorCount)
    )
    """By (namespace, fine period, workflow, code)."""
    _nodes: defaultdict[tuple[str, str, int], dict[tuple[str, str], Counts]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """The counts of nodes again, by (namespace, workflow, fine period) and (node, type)."""

    @classmethod
    def of(cls, executions: Iterable[Ended]) -> Tally:
        tally = cls()
        for _ in tally.adding(executions):
            pass
        return tally

    def adding(self, executions: Iterable[Ended]) -> Iterator[None]:
        """Add all of them, stopping wherever others may go first: one may have thousands of steps."""
        for ended in executions:
            yield from self._adding(ended)
        yield from self._adding_wholes()

    def _adding(self, ended: Ended) -> Iterator[None]:
        period = int(ended.completed_at.timestamp()) // FINE * FINE
        subject = Subject(WORKFLOW, ended.workflow_id)
        _add_execution(self.counts[ended.namespace, subject, period], ended)
        nodes = self._nodes[ended.namespace, ended.workflow_id, period]
        for step in ended.steps:
            yield
            if step.attempts and not step.kept:
                node_type = ended.node_types.get(step.node_id, "")
                counts = nodes.get((step.node_id, node_type))
                if counts is None:
                    subject = Subject(NODE, ended.workflow_id, step.node_id, node_type)
                    counts = self.counts[ended.namespace, subject, period]
                    nodes[step.node_id, node_type] = counts
                _add_step(counts, step)
        if ended.status == "failed":
            error = self.errors[ended.namespace, period, ended.workflow_id, ended.error_code]
            error.count += 1
            if ended.id > error.execution_id:
                error.execution_id, error.message = ended.id, ended.error_message

    def _adding_wholes(self) -> Iterator[None]:
        """What is counted of a workflow is counted of all, what of a node is counted of its type: once for
        all their runs."""
        for (namespace, workflow_id, period), nodes in self._nodes.items():
            of_workflow = self.counts[namespace, Subject(WORKFLOW, workflow_id), period]
            self.counts[namespace, Subject(ALL), period].add(of_workflow)
            for (_, node_type), counts in nodes.items():
                yield
                self.counts[namespace, Subject(NODE_TYPE, node_type=node_type), period].add(counts)


def _add_execution(counts: Counts, ended: Ended) -> None:
    sums, duration_us = counts.sums, ended.duration_us
    sums["runs"] += 1
    sums[ended.status] += 1
    sums["immediate"] += ended.mode == "immediate"
    sums["retries"] += bool(ended.retry_of)
    sums["step_retries"] += sum(max(0, step.attempts - 1) for step in ended.steps if not step.kept)
    sums["promotions"] += ended.promoted
    for step in ended.steps:
        if step.usage is not None and not step.kept:
            counts.use(step.usage)
    if duration_us is None or ended.started_at is None:
        return
    sums["timed"] += 1
    sums["duration_us"] += duration_us
    counts.measure(DURATION, duration_us)
    if ended.decided_mode == "queued":
        wait_us = microseconds(ended.created_at, ended.started_at)
        sums["waited"] += 1
        sums["wait_us"] += wait_us
        counts.measure(QUEUE_WAIT, wait_us)
        sums["queued_short"] += ended.status == "completed" and duration_us < SHORT / MICROSECOND
    if ended.status == "completed" and ended.estimate_ms:
        ratio = duration_us / 1000 / ended.estimate_ms
        sums["estimates"] += 1
        sums["estimates_close"] += 1 / CLOSE <= ratio <= CLOSE
        counts.measure(RATIO, ratio * RATIO_UNIT)


def _add_step(counts: Counts, step: Step) -> None:
    sums = counts.sums
    sums["runs"] += 1
    sums[step.status] += 1
    if step.attempts > 1:
        sums["retries"] += step.attempts - 1
    if step.usage is not None:
        counts.use(step.usage)
    if step.started_at is not None and step.completed_at is not None:
        duration_us = microseconds(step.started_at, step.completed_at)
        sums["timed"] += 1
        sums["duration_us"] += duration_us
        counts.measure(DURATION, duration_us)


def microseconds(start: datetime, end: datetime) -> int:
    return max(0, (end - start) // MICROSECOND)
