"""What a run looks like so far, folded from its event frames: plain data for the live tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.cli.spans import milliseconds_between

Frame = Mapping[str, Any]

STEP_STATUS_BY_EVENT = {
    "step.started": "running",
    "step.retrying": "pending",
    "step.waiting": "waiting",
    "step.completed": "completed",
    "step.failed": "failed",
    "step.skipped": "skipped",
    "step.cancelled": "cancelled",
}
EXECUTION_STATUS_BY_EVENT = {
    "execution.created": "pending",
    "execution.started": "running",
    "execution.claimed": "running",
    "execution.promoted": "pending",
    "execution.paused": "paused",
    "execution.resumed": "pending",
    "execution.waiting": "waiting",
    "execution.completed": "completed",
    "execution.failed": "failed",
    "execution.cancelled": "cancelled",
}
ENDED = ("completed", "failed", "cancelled")
DECIDED = (*ENDED, "skipped")
LOUDEST_FIRST = ("failed", "waiting", "running", "pending", "cancelled", "completed", "skipped")


@dataclass(slots=True)
class StepProgress:
    """One step: a node within an iteration of the loops around it."""

    status: str = "pending"
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    detail: str = ""


@dataclass(slots=True)
class NodeProgress:
    """A node of the definition and its steps by iteration path."""

    id: str
    type: str
    depth: int = 0
    children: list[str] = field(default_factory=list)
    steps: dict[tuple[int, ...], StepProgress] = field(default_factory=dict)
    opened: int = 0  # containers: iterations known so far

    @property
    def status(self) -> str:
        """That of its loudest step."""
        present = {step.status for step in self.steps.values()}
        return next((status for status in LOUDEST_FIRST if status in present), "pending")

    @property
    def counts(self) -> Counter[str]:
        return Counter(step.status for step in self.steps.values())

    @property
    def attempts(self) -> int:
        return max((step.attempts for step in self.steps.values()), default=0)

    @property
    def detail(self) -> str:
        """What its newest step has to say."""
        return next((step.detail for step in reversed(self.steps.values()) if step.detail), "")

    def duration_ms(self, now: datetime) -> float | None:
        """From its first start to its last end, or to now while a step is open."""
        starts = [step.started_at for step in self.steps.values() if step.started_at]
        if not starts:
            return None
        ends = [step.ended_at or now for step in self.steps.values() if step.started_at]
        return max(0.0, milliseconds_between(min(starts), max(ends)))


class RunProgress:
    """Folds frames; each must come once and in order of sequence."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.execution_id = ""
        self.name = str(definition.get("name") or definition.get("id") or "workflow")
        self.status = "pending"
        self.mode = ""
        self.error: Mapping[str, Any] | None = None
        self.last_sequence = 0
        self.created_at: datetime | None = None
        self.newest_at: datetime | None = None
        self.nodes: dict[str, NodeProgress] = {}
        self._roots = self._place(_nodes_of(definition))

    def _place(self, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
        """Take in the nodes, children right after their container; returns the ids at the top."""
        below: dict[str | None, list[Mapping[str, Any]]] = {}
        for node in nodes:
            below.setdefault(node.get("parentId") or None, []).append(node)

        def place(parent: str | None, depth: int) -> list[str]:
            ids = []
            for node in below.pop(parent, ()):
                known = self.nodes[node["id"]] = NodeProgress(node["id"], str(node.get("type", "")), depth)
                known.children = place(known.id, depth + 1)
                ids.append(known.id)
            return ids

        return place(None, 0)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def done_steps(self) -> int:
        return sum(step.status in DECIDED for node in self.nodes.values() for step in node.steps.values())

    @property
    def known_steps(self) -> int:
        """Grows when loops open; never below what was seen."""
        inside = sum(node.opened * len(node.children) for node in self.nodes.values())
        seen = sum(len(node.steps) for node in self.nodes.values())
        return max(len(self._roots) + inside, seen)

    def apply(self, frame: Frame) -> None:
        self.last_sequence = max(self.last_sequence, frame.get("sequence", 0))
        self.execution_id = frame.get("executionId", self.execution_id)
        at = instant(frame.get("time"))
        self.newest_at = at or self.newest_at
        kind = frame.get("type", "")
        if kind == "execution.created":
            self.created_at, self.mode = at, frame.get("mode", "")
        if kind == "execution.promoted":
            self.mode = "queued"
        if kind == "execution.failed":
            self.error = frame.get("error")
        self.status = EXECUTION_STATUS_BY_EVENT.get(kind, self.status)
        if kind == "execution.forked":
            for kept in frame.get("kept", ()):
                self._keep(kept)
        if kind in STEP_STATUS_BY_EVENT:
            self._apply_to_step(kind, frame, at)

    def _keep(self, kept: Mapping[str, Any]) -> None:
        step = self._step(kept)
        step.status = kept.get("status", "completed")
        step.started_at, step.ended_at = instant(kept.get("startedAt")), instant(kept.get("completedAt"))
        step.detail = "kept"

    def _apply_to_step(self, kind: str, frame: Frame, at: datetime | None) -> None:
        step = self._step(frame)
        step.status = STEP_STATUS_BY_EVENT[kind]
        step.attempts = max(step.attempts, frame.get("attempt", 0))
        step.started_at = step.started_at or (at if kind == "step.started" else None)
        if step.status in DECIDED:
            step.ended_at = at
        step.detail = step_detail(frame)
        self.nodes[frame["nodeId"]].opened += frame.get("loop", {}).get("itemCount") or 0

    def _step(self, place: Mapping[str, Any]) -> StepProgress:
        node = self.nodes.setdefault(place["nodeId"], NodeProgress(place["nodeId"], ""))
        return node.steps.setdefault(tuple(place.get("iteration", ())), StepProgress())

    def waiting_for_people(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        """(node id, iteration) of steps that wait for an answer."""
        for node in self.nodes.values():
            for iteration, step in node.steps.items():
                if step.status == "waiting" and step.detail.startswith("asks"):
                    yield node.id, iteration


def step_detail(frame: Frame) -> str:
    """What an event says beside its type, in a few words."""
    match frame.get("type"):
        case "step.completed":
            ways = frame.get("handles") or [frame.get("handle", "")]
            return f"→ {' '.join(ways)}" if any(ways) else ""
        case "step.failed":
            return _failure(frame) + (
                "" if frame.get("handled", "fail") == "fail" else f" ({frame['handled']})"
            )
        case "step.retrying":
            return f"{_failure(frame)}; again at {str(frame.get('retryAt', ''))[11:19]}"
        case "step.waiting":
            wait = frame.get("wait")
            until = f" until {str(frame['until'])[:19]}" if frame.get("until") else ""
            return (f"asks: {wait.get('title') or wait.get('kind', '')}" if wait else "sleeps") + until
        case "step.cancelled":
            return str(frame.get("reason", ""))
        case "step.started" if frame.get("loop", {}).get("itemCount") is not None:
            return f"{frame['loop']['itemCount']} items"
        case _:
            return ""


def event_detail(frame: Frame) -> str:
    """The same for any event."""
    kind = frame.get("type", "")
    match kind:
        case "execution.created":
            return f"{frame.get('mode', '')} (asked: {frame.get('requestedMode', 'auto')})"
        case "execution.claimed":
            return f"by {frame.get('workerId', '')}, epoch {frame.get('epoch', '')}"
        case "execution.failed":
            return _failure(frame)
        case "execution.waiting":
            return f"until {frame['wakeAt']}" if frame.get("wakeAt") else ""
        case "execution.forked":
            return f"keeps {len(frame.get('kept', ()))} steps"
        case "timer.fired":
            return str(frame.get("timerId", ""))
        case _:
            return step_detail(frame) or str(frame.get("reason", ""))


def step_name(frame: Mapping[str, Any]) -> str:
    """`order`, or `order[2,0]` within loops; empty for events about the execution."""
    path = ",".join(map(str, frame.get("iteration", ())))
    return f"{frame.get('nodeId', '')}{f'[{path}]' if path else ''}"


def instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _failure(frame: Frame) -> str:
    error = frame.get("error") or {}
    return f"{error.get('code', '')}: {error.get('message', '')}"


def _nodes_of(definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The nodes that have an id; the executor tells what is wrong with the rest."""
    nodes = definition.get("nodes")
    if not isinstance(nodes, list):
        return []
    return [node for node in nodes if isinstance(node, dict) and isinstance(node.get("id"), str)]
