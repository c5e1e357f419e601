"""A round in which all is well, to forge violations from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.cases import Case
from tests.chaos.oracle import Acknowledged, Call, Evidence, Stream
from tests.chaos.records import Batch, Frame, Record

ID, OTHER = "0190-a", "0190-b"
TAG = "round-0"
PATH = "/round/0"
BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
CASE = Case(
    "two-calls",
    {},
    {},
    outcomes={("a", ()): "completed", ("b", ()): "completed"},
    calls={f"{PATH}/a": ("a", ()), f"{PATH}/b": ("b", ())},
    output="done",
)

Written = tuple[int, int, Sequence[Mapping[str, Any]]]
"""(epoch, report number, events), (0, 0, …) by an executor."""

GOOD: tuple[Written, ...] = (
    (0, 0, [{"type": "execution.created", "mode": "queued"}]),
    (0, 0, [{"type": "execution.claimed", "epoch": 1}]),
    (1, 1, [{"type": "execution.started"}, {"type": "step.started", "nodeId": "a", "attempt": 1}]),
    (0, 0, [{"type": "execution.claimed", "epoch": 3}]),
    (3, 1, [{"type": "step.started", "nodeId": "a", "attempt": 2}]),
    (3, 2, [{"type": "step.completed", "nodeId": "a", "attempt": 2}]),
    (3, 3, [{"type": "step.started", "nodeId": "b", "attempt": 1}]),
    (3, 4, [{"type": "step.completed", "nodeId": "b", "attempt": 1}]),
    (3, 5, [{"type": "execution.completed", "output": "done"}]),
)
"""Its first worker was killed in the middle of a; a was called by both."""


def record(*written: Written, execution_id: str = ID, **row: Any) -> Record:
    """A record of these batches, a second between events; row: what its row says otherwise."""
    batches: list[Batch] = []
    sequence = 0
    for epoch, report_no, events in written:
        frames: list[Frame] = []
        for event in events:
            sequence += 1
            time = (BIRTH + timedelta(seconds=sequence)).isoformat()
            frames.append({"sequence": sequence, "executionId": execution_id, "time": time, **event})
        batches.append(Batch(sequence - len(events) + 1, sequence, epoch, report_no, frames))
    columns: dict[str, Any] = {
        "status": "completed",
        "mode": "queued",
        "epoch": 3,
        "last_sequence": sequence,
        "tags": [TAG],
        "error_code": "",
        **row,
    }
    return Record(id=execution_id, batches=batches, **columns)


def call(name: str, second: float, key: str = "") -> Call:
    """A call so many seconds after the birth of time."""
    return Call(f"{PATH}/{name}", key or f"key-{name}", BIRTH.timestamp() + second)


def evidence(history: Record | None = None, calls: Sequence[Call] | None = None, **changes: Any) -> Evidence:
    """All is well, but for what is given."""
    history = record(*GOOD) if history is None else history
    good = Evidence(
        acknowledged=[Acknowledged(ID, 0, CASE, "queued", "pending")],
        records={history.id: history},
        calls=[call("a", 4.1), call("a", 6.1), call("b", 8.1)] if calls is None else calls,
        streams=[Stream(ID, history.events, ended=True)],
        starts={TAG: 0},
    )
    return replace(good, **changes)


def without(index: int) -> list[Written]:
    return [written for at, written in enumerate(GOOD) if at != index]


def with_(index: int, *inserted: Written) -> list[Written]:
    """GOOD with something put in before that index."""
    return [*GOOD[:index], *inserted, *GOOD[index:]]
