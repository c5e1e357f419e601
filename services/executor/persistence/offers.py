"""What a runner's report means for the tasks of `task.external` steps: pure reading of events."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from flow_engine.ids import Iteration
from flow_engine.payload import PayloadRef


@dataclass(frozen=True, slots=True)
class NewTask:
    """A step that began to wait for a program."""

    node_id: str
    iteration: Iteration
    attempt: int
    queue: str
    step_key: str
    input: str | None  # JSON text; None: the payload `input_hash`
    input_hash: str = ""

    def id(self, execution_id: str) -> str:
        """The same however often the task is written."""
        place = f"task {self.attempt} {iteration_text(self.iteration)} {self.node_id}"
        return str(uuid.uuid5(uuid.UUID(execution_id), place))


@dataclass(frozen=True, slots=True)
class TaskChanges:
    """Tasks that a report offers, and steps whose tasks it puts an end to."""

    offered: tuple[NewTask, ...] = ()
    ended: frozenset[tuple[str, Iteration]] = frozenset()


class _StepHeader(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    node_id: str = ""
    iteration: Iteration = ()
    attempt: int = 0
    wait: dict[str, Any] | None = None
    input: Raw | UnsetType = UNSET
    input_ref: PayloadRef | None = None


_steps = msgspec.json.Decoder(list[_StepHeader])
_ENDING = frozenset(("step.completed", "step.failed", "step.cancelled", "step.retrying", "timer.fired"))


def task_changes(events_json: bytes) -> TaskChanges:
    """What the events mean, in their order. Raises msgspec.MsgspecError."""
    offered: dict[tuple[str, Iteration], NewTask] = {}
    ended: set[tuple[str, Iteration]] = set()
    for step in _steps.decode(events_json):
        place = (step.node_id, step.iteration)
        if step.type in _ENDING:
            offered.pop(place, None)
            ended.add(place)
        elif step.type == "step.waiting" and step.wait is not None and step.wait.get("kind") == "task":
            offered[place] = _new(step, step.wait)
    return TaskChanges(tuple(offered.values()), frozenset(ended))


def _new(step: _StepHeader, wait: dict[str, Any]) -> NewTask:
    queue, step_key = str(wait.get("queue", "")), str(wait.get("stepKey", ""))
    task = NewTask(step.node_id, step.iteration, step.attempt, queue, step_key, "null")
    if step.input_ref is not None:
        return replace(task, input=None, input_hash=step.input_ref.hash)
    if step.input is not UNSET:
        return replace(task, input=bytes(step.input).decode())
    return task


def iteration_text(iteration: Iteration) -> str:
    """As rows hold it: a JSON list of integers."""
    return json.dumps(list(iteration))
