"""The steps of an execution as people read them: a fold over its events.

The runner folds as it goes, for the `result` it writes at the end; the executor
folds the stored history of executions that are still open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from flow_engine.ids import Iteration, content_hash
from flow_engine.interpreter.events import (
    TERMINAL_EVENTS,
    AnyEvent,
    ChildFinished,
    ChildStarted,
    Event,
    ExecutionForked,
    Failure,
    KeptStep,
    SignalReceived,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
    TimerFired,
)
from flow_engine.metering import Usage
from flow_engine.payload import JsonValue, Payload, PayloadRef, decode, encode

StepKey = tuple[str, Iteration]

MILLISECOND = timedelta(milliseconds=1)
FINISHED = frozenset({"completed", "failed", "skipped", "cancelled"})


class Step(msgspec.Struct, rename="camel", omit_defaults=True):
    """One node's run. Its JSON is the public one; the first six fields are always there."""

    node_id: str
    status: str  # running, waiting, completed, failed, skipped, cancelled
    attempts: int  # 0: it never ran
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    iteration: Iteration = ()
    output: Any | UnsetType = UNSET
    output_ref: PayloadRef | None = None
    handle: str = ""  # the branch taken
    handles: tuple[str, ...] = ()  # the branches, where several were taken at once
    error: Failure | None = None  # of the last attempt, when failed or waiting for another one
    handled: str = ""  # what became of a failure: fail, continue, branch
    waiting: dict[str, JsonValue] | None = None  # {kind, until?, …} while it waits
    item_count: int | None = None  # of a foreach, once it has opened
    answer_hash: str = ""  # SHA-256 of the answer's JSON text, once there is one
    child_id: str = ""  # the execution that it started
    items_finished: int = 0  # of a distributed loop
    usage: Usage | None = None  # of all attempts, where it is worth telling
    kept: bool = False  # taken over from the execution that this one retries

    @property
    def key(self) -> StepKey:
        return self.node_id, self.iteration

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def awaits_answer(self) -> bool:
        """Whether a person or an outside system may answer it now."""
        asks = self.waiting is not None and self.waiting.get("kind") in ANSWERABLE
        return self.status == "waiting" and asks and not self.answer_hash


ANSWERABLE = ("person", "callback")


@dataclass(slots=True)
class StepsView:
    """Steps in order of their first start, up to the newest event applied."""

    steps: list[Step] = field(default_factory=list)
    forked: ExecutionForked | None = None
    last_sequence: int = 0
    _by_key: dict[StepKey, Step] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[AnyEvent]) -> StepsView:
        view = cls()
        for event in events:
            view.apply(event)
        return view

    def get(self, node_id: str, iteration: Iteration = ()) -> Step | None:
        return self._by_key.get((node_id, iteration))

    def apply(self, event: Event) -> None:
        """Take in the next event, in order of sequence."""
        if event.sequence:
            self.last_sequence = event.sequence
        used = getattr(event, "usage", None)
        if used is not None:
            self._use(event, used)
        match event:
            case StepStarted():
                self._start(event)
            case StepCompleted():
                step = self._finish(event, "completed")
                step.output, step.output_ref = event.output, event.output_ref
                step.handle, step.handles = event.handle, event.handles
            case StepSkipped():
                self._finish(event, "skipped")
            case StepWaiting():
                step = self._step(event.node_id, event.iteration)
                step.status, step.waiting, step.answer_hash = "waiting", wait_of(event), ""
            case StepRetrying():
                step = self._step(event.node_id, event.iteration)
                step.status, step.error = "waiting", event.error
                step.waiting = {"kind": "retry", "until": rfc3339(event.retry_at)}
            case StepFailed():
                step = self._finish(event, "failed")
                step.error, step.handled = event.error, event.handled
            case StepCancelled():
                self._finish(event, "cancelled")
            case SignalReceived():
                self._answer(event)
            case ChildStarted(index=None):
                self._step(event.node_id, event.iteration).child_id = event.child_id
            case ChildFinished() if event.index is not None:
                self._step(event.node_id, event.iteration).items_finished += 1
            case TimerFired():
                pass
            case ExecutionForked():
                self._fork(event)
            case _ if isinstance(event, TERMINAL_EVENTS):
                self._close(event.time)

    def _use(self, event: Any, used: Usage) -> None:
        step = self._step(event.node_id, event.iteration)
        step.usage = used if step.usage is None else step.usage.plus(used)

    def _step(self, node_id: str, iteration: Iteration) -> Step:
        key = (node_id, iteration)
        step = self._by_key.get(key)
        if step is None:
            step = self._by_key[key] = Step(node_id, "running", 0, None, None, None, iteration)
            self.steps.append(step)
        return step

    def _start(self, event: StepStarted) -> None:
        step = self._step(event.node_id, event.iteration)
        step.status, step.waiting, step.error = "running", None, None
        step.attempts = max(step.attempts, event.attempt)
        step.started_at = step.started_at or event.time
        if event.loop is not None:
            step.item_count = event.loop.item_count

    def _finish(self, event: StepCompleted | StepFailed | StepSkipped | StepCancelled, status: str) -> Step:
        step = self._step(event.node_id, event.iteration)
        step.attempts = max(step.attempts, event.attempt)
        _end(step, status, event.time)
        return step

    def _answer(self, event: SignalReceived) -> None:
        step = self._by_key.get((event.node_id, event.iteration))
        if step is not None:
            ref = event.payload_ref
            step.answer_hash = ref.hash if ref else content_hash(encode(event.payload))

    def _fork(self, event: ExecutionForked) -> None:
        self.forked = event
        for kept in event.kept:
            step = step_kept(kept)
            self._by_key[step.key] = step
            self.steps.append(step)

    def _close(self, time: datetime) -> None:
        """Whatever is open when the execution ends, ends with it."""
        for step in self.steps:
            if not step.finished:
                _end(step, "cancelled", time)


def _end(step: Step, status: str, time: datetime) -> None:
    step.status, step.waiting, step.error, step.completed_at = status, None, None, time
    if step.started_at:
        step.duration_ms = (time - step.started_at) // MILLISECOND


def step_kept(kept: KeptStep) -> Step:
    """The step as it ran in the execution that is retried."""
    step = Step(
        kept.node_id,
        kept.status,
        kept.attempt,
        kept.started_at,
        kept.completed_at,
        None,
        kept.iteration,
        kept.output,
        kept.output_ref,
        kept.handle,
        kept.handles,
        kept.error,
        kept=True,
    )
    if kept.started_at and kept.completed_at:
        step.duration_ms = (kept.completed_at - kept.started_at) // MILLISECOND
    return step


def wait_of(event: StepWaiting) -> dict[str, JsonValue]:
    """What a waiting step asks for: `wait` with its kind (a bare time is a `timer`) and `until`."""
    wait: dict[str, JsonValue] = {"kind": "timer"} if event.wait is None else dict(event.wait)
    if event.until:
        wait["until"] = rfc3339(event.until)
    return wait


def rfc3339(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def as_json(steps: Iterable[Step]) -> list[JsonValue]:
    """Steps as plain JSON values, as `result` and the API show them."""
    value: list[JsonValue] = decode(_encoder.encode(list(steps)))
    return value


MAX_RESULT_BYTES = 2 << 20
"""A result travels in one message with the last events."""


class Result(msgspec.Struct, rename="camel", omit_defaults=True):
    """What `workflow_executions.result` holds: no value above 4 KiB but by its hash."""

    output: Any | UnsetType = UNSET
    output_ref: PayloadRef | None = None
    steps: list[Step] = []
    steps_in_history: bool = False  # too many or too large to be kept twice, or not all known to the runner


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Result)


def encode_result(view: StepsView | None, output: Payload | None = None) -> bytes:
    """The `result` of an execution that ended; `output` when it completed. Without a view its steps are
    left to the history."""
    result = Result(steps=view.steps) if view is not None else Result(steps_in_history=True)
    if output is not None:
        if output.inline:
            result.output = output.value
        else:
            result.output_ref = output.ref
    text = _encoder.encode(result)
    if len(text) <= MAX_RESULT_BYTES:
        return text
    result.steps, result.steps_in_history = [], True
    return _encoder.encode(result)


def decode_result(text: bytes) -> Result:
    return _decoder.decode(text)
