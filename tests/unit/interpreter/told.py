"""Histories and commands as people write them down: past("a started", "a completed true")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from flow_engine.interpreter import commands as c
from flow_engine.interpreter import events as e
from flow_engine.interpreter.state import timer_id
from tests.unit.interpreter.virtual_time import BIRTH

_STEP = re.compile(r"(?P<node>[\w.-]+)(?:\[(?P<path>[\d,]+)\])? (?P<word>\w+)(?: (?P<rest>.*))?")
_EXECUTION: dict[str, type[e.Event]] = {
    "pauseRequested": e.ExecutionPauseRequested,
    "paused": e.ExecutionPaused,
    "resumed": e.ExecutionResumed,
    "cancelRequested": e.ExecutionCancelRequested,
    "completed": e.ExecutionCompleted,
}


def past(*lines: str) -> list[e.Event]:
    """A history that begins with `execution.created` and `execution.started`, a second an event.

    Of steps: "a started 2", "a completed true", "a failed BROKEN continue", "a skipped",
    "a cancelled request", "a waiting 60", "a waiting", "a retrying BROKEN 5", "a answered",
    "a timer 1"; of loops: "each started 3 items, 2 at once, collect".
    """
    events: list[e.Event] = [
        e.ExecutionCreated(
            time=BIRTH, definition_hash="h", mode="queued", requested_mode="queued", root_id="root"
        ),
        e.ExecutionStarted(time=BIRTH),
    ]
    for n, line in enumerate(lines, 1):
        events.append(_event(line, BIRTH + timedelta(seconds=n)))
    return events


def _event(line: str, time: datetime) -> e.Event:
    if line in _EXECUTION:
        return _EXECUTION[line](time=time)
    found = _STEP.fullmatch(line)
    assert found, line
    node_id, path, word = found["node"], found["path"], found["word"]
    words = (found["rest"] or "").split()
    where: dict[str, Any] = {
        "time": time,
        "node_id": node_id,
        "iteration": tuple(int(n) for n in path.split(",")) if path else (),
    }
    match word:
        case "started":
            loop = _loop(found["rest"] or "")
            attempt = 1 if loop or not words else int(words[0])
            return e.StepStarted(attempt=attempt, loop=loop, **where)
        case "completed":
            return e.StepCompleted(attempt=1, output=node_id, handle=words[0] if words else "", **where)
        case "failed":
            error = e.Failure(words[0], "it failed", node_id=node_id, iteration=where["iteration"])
            return e.StepFailed(
                attempt=1, error=error, handled=words[1] if len(words) > 1 else "fail", **where
            )
        case "skipped":
            return e.StepSkipped(**where)
        case "cancelled":
            return e.StepCancelled(reason=words[0], **where)
        case "waiting":
            until = time + timedelta(seconds=float(words[0])) if words else None
            return e.StepWaiting(attempt=1, until=until, wait=None if words else {"kind": "person"}, **where)
        case "retrying":
            retry_at = time + timedelta(seconds=float(words[1]))
            return e.StepRetrying(attempt=1, error=e.Failure(words[0], "", True), retry_at=retry_at, **where)
        case "answered":
            return e.SignalReceived(payload={"approved": True}, **where)
        case "timer":
            attempt = int(words[0]) if words else 1
            return e.TimerFired(timer_id=timer_id(node_id, where["iteration"], attempt), **where)
    raise AssertionError(line)


def _loop(text: str) -> e.Loop | None:
    count = re.search(r"(\d+) items", text)
    if not count:
        return None
    at_once = re.search(r"(\d+) at once", text)
    return e.Loop(
        item_count=int(count[1]),
        items=list(range(int(count[1]))),
        concurrency=int(at_once[1]) if at_once else 1,
        collect_errors="collect" in text,
    )


def orders(commands: Sequence[c.Command]) -> list[str]:
    """Commands in short: "run a", "cancel b[2] siblingFailed", "complete"."""
    return [_order(command) for command in commands]


def _order(command: c.Command) -> str:
    match command:
        case c.RunNode(step):
            return f"run {_name(step)}"
        case c.ResumeNode(step):
            return f"resume {_name(step)}"
        case c.SkipNode(step):
            return f"skip {_name(step)}"
        case c.CancelStep(step, reason):
            return f"cancel {_name(step)} {reason}"
        case c.CheckCondition(step):
            return f"check {_name(step)}"
        case c.StartChildren(step):
            return f"start children of {_name(step)}"
        case c.CompleteContainer(step):
            return f"complete {_name(step)}"
        case c.FailContainer(step, failure):
            return f"fail {_name(step)} {failure.code}"
        case c.CompleteExecution():
            return "complete"
        case c.FailExecution(failure):
            return f"fail {failure.code}"
        case c.CancelExecution():
            return "cancel"
        case _:
            assert_never(command)


def _name(step: c.StepId) -> str:
    node_id, iteration = step
    return f"{node_id}[{','.join(map(str, iteration))}]" if iteration else node_id
