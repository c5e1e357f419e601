"""The facts of an execution's history, as they are stored, reported and streamed.

Events are frozen. The executor numbers them from 1 without gaps when it commits
them; until then `sequence` is 0. The JSON of an event is the frame that clients
see, but for `sequence` and `executionId`, which storage implies: `frame` puts
them in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from flow_engine.metering import Usage
from flow_engine.payload import JsonValue, Payload, PayloadRef


class Failure(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why a step or an execution failed: a value, stored in history."""

    code: str  # stable, upper case: TIMEOUT, EXPRESSION_FAILED, HTTP_STATUS, …
    message: str  # for people
    retryable: bool = False
    node_id: str = ""  # where it began
    iteration: tuple[int, ...] = ()
    details: dict[str, JsonValue] = {}


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True):
    """A fact. `time` is UTC and never before that of the event ahead of it."""

    time: datetime
    sequence: int = 0


class StepEvent(Event, frozen=True, kw_only=True):
    """A fact about one step: a node, within an iteration of the loops around it."""

    node_id: str
    iteration: tuple[int, ...] = ()
    attempt: int = 0  # from 1


class ExecutionCreated(Event, frozen=True, kw_only=True, tag="execution.created"):
    """Event 1. Holds all that a runner must know besides the definition."""

    definition_hash: str
    mode: str
    requested_mode: str
    root_id: str
    workflow_id: str = ""
    workflow_name: str = ""
    input: Any | UnsetType = UNSET
    input_ref: PayloadRef | None = None
    priority: int = 5
    tags: tuple[str, ...] = ()
    max_retries: int | None = None
    deadline_at: datetime | None = None
    retry_of: str = ""
    trace_parent: str = ""  # W3C context of the call that started it, where calls are traced
    parent: Parent | None = None
    within: Within | None = None  # of an item: its input is the item
    key_root: str = ""  # of children: step keys and ids of children are derived from it, not from rootId


class Within(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Of an execution that runs one iteration of a distributed loop: where in the definition it stands."""

    node_id: str  # of the loop
    iteration: tuple[int, ...]  # inside it
    outer: Any | UnsetType = UNSET  # {input, nodes, loops}: what it sees of what is around the loop
    outer_ref: PayloadRef | None = None


class Parent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The step that started a child execution."""

    execution_id: str
    node_id: str
    iteration: tuple[int, ...] = ()
    index: int | None = None  # which item of the step
    waits: bool = True  # for the child's end


class ExecutionForked(Event, frozen=True, kw_only=True, tag="execution.forked"):
    """Event 2 of a retry: finished steps that it keeps, and step generations."""

    kept: tuple[KeptStep, ...] = ()
    generations: tuple[Generation, ...] = ()


class KeptStep(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A step whose outcome a retry takes over."""

    node_id: str
    iteration: tuple[int, ...] = ()
    status: str = "completed"  # or skipped, or failed (handled)
    attempt: int = 1
    started_at: datetime | None = None
    completed_at: datetime | None = None
    output: Any | UnsetType = UNSET
    output_ref: PayloadRef | None = None
    handle: str = ""
    handles: tuple[str, ...] = ()
    error: Failure | None = None


class Generation(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How often the outcome of a step was thrown away to run it again: part of its step key."""

    node_id: str
    iteration: tuple[int, ...] = ()
    generation: int = 1


class ExecutionStarted(Event, frozen=True, kw_only=True, tag="execution.started"):
    """The first runner began."""


class ExecutionClaimed(Event, frozen=True, kw_only=True, tag="execution.claimed"):
    """A worker took it from the queue."""

    worker_id: str
    epoch: int


class ExecutionPromoted(Event, frozen=True, kw_only=True, tag="execution.promoted"):
    """An immediate run goes on in the queue."""

    reason: str  # budget, waiting, predicted, shutdown, executorLost, concurrency, rateLimit, requeued


class ExecutionPauseRequested(Event, frozen=True, kw_only=True, tag="execution.pauseRequested"):
    reason: str = ""


class ExecutionPaused(Event, frozen=True, kw_only=True, tag="execution.paused"):
    pass


class ExecutionResumed(Event, frozen=True, kw_only=True, tag="execution.resumed"):
    pass


class ExecutionCancelRequested(Event, frozen=True, kw_only=True, tag="execution.cancelRequested"):
    reason: str = ""


class ExecutionWaiting(Event, frozen=True, kw_only=True, tag="execution.waiting"):
    """Every open step waits; nobody runs it until a signal or the earliest timer."""

    wake_at: datetime | None = None


class ExecutionCompleted(Event, frozen=True, kw_only=True, tag="execution.completed"):
    output: Any | UnsetType = UNSET
    output_ref: PayloadRef | None = None


class ExecutionFailed(Event, frozen=True, kw_only=True, tag="execution.failed"):
    error: Failure


class ExecutionCancelled(Event, frozen=True, kw_only=True, tag="execution.cancelled"):
    reason: str = ""


class Loop(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a container runs its scope, settled once when it starts."""

    item_count: int | None = None  # None: as often as its condition holds
    items: Any | UnsetType = UNSET
    items_ref: PayloadRef | None = None
    concurrency: int = 1
    collect_errors: bool = False
    stop_after: int | None = None
    distributed: bool = False  # iterations are child executions


class StepStarted(StepEvent, frozen=True, kw_only=True, tag="step.started"):
    """An attempt begins. `input` is the config it works with, expressions evaluated."""

    input: Any | UnsetType = UNSET
    input_ref: PayloadRef | None = None
    loop: Loop | None = None  # containers


class StepRetrying(StepEvent, frozen=True, kw_only=True, tag="step.retrying"):
    """The attempt failed; the next begins at `retry_at`."""

    error: Failure
    retry_at: datetime
    usage: Usage | None = None


class StepWaiting(StepEvent, frozen=True, kw_only=True, tag="step.waiting"):
    """Waits for a signal (`wait` describes it), a timer (`until`), or whichever comes first."""

    until: datetime | None = None
    times_out: bool = False  # `until` is the node's own time-out: reaching it fails the attempt
    wait: dict[str, JsonValue] | None = None  # {"kind": "person"|"callback"|"task", …}
    input: Any | UnsetType = UNSET  # of a task: what whoever takes it is given
    input_ref: PayloadRef | None = None
    usage: Usage | None = None


class StepCompleted(StepEvent, frozen=True, kw_only=True, tag="step.completed"):
    """Its output is inline, or by reference above `payload.INLINE_BYTES`."""

    output: Any | UnsetType = UNSET
    output_ref: PayloadRef | None = None
    handle: str = ""  # the branch taken; empty where there is one only
    stops_children: bool = False  # child executions of the step that live still are to be cancelled
    handles: tuple[str, ...] = ()  # the branches, where several were taken at once; `handle` is empty then
    usage: Usage | None = None  # of this attempt, where it is worth telling


class StepFailed(StepEvent, frozen=True, kw_only=True, tag="step.failed"):
    """No attempt is left. `handled` tells what became of it: fail, continue or branch."""

    error: Failure
    handled: str = "fail"
    usage: Usage | None = None
    stops_children: bool = False  # child executions of the step that live still are to be cancelled


class StepSkipped(StepEvent, frozen=True, kw_only=True, tag="step.skipped"):
    """No way led to it."""


class StepCancelled(StepEvent, frozen=True, kw_only=True, tag="step.cancelled"):
    reason: str = ""  # request, siblingFailed, timeout, joinSatisfied, returned
    stops_children: bool = False


class TimerFired(Event, frozen=True, kw_only=True, tag="timer.fired"):
    """The time of a waiting step or of a retry has come. Once by timer id."""

    timer_id: str  # see state.timer_id
    node_id: str = ""
    iteration: tuple[int, ...] = ()


class SignalReceived(Event, frozen=True, kw_only=True, tag="signal.received"):
    """Somebody answered a waiting step."""

    node_id: str
    iteration: tuple[int, ...] = ()
    payload: Any | UnsetType = UNSET
    payload_ref: PayloadRef | None = None


class ChildStarted(StepEvent, frozen=True, kw_only=True, tag="child.started"):
    """The step started a child execution: it is committed together with this, and begins soon."""

    child_id: str
    index: int | None = None  # which item it runs; its `input` is the item
    at_once: int = 0  # of the items: so many live at a time, the others begin as these end
    waits: bool = True  # for the child's end
    wakes: str = "each"  # which ends go on with an execution that waits: each, failed (and the last), last
    outer_ref: PayloadRef | None = None  # of an item: what it sees of what is around the loop
    input: Any | UnsetType = UNSET
    input_ref: PayloadRef | None = None


class ChildFinished(StepEvent, frozen=True, kw_only=True, tag="child.finished"):
    """A child execution that the step waits for has ended."""

    child_id: str
    index: int | None = None
    status: str  # completed, failed, cancelled
    output: Any | UnsetType = UNSET
    output_ref: PayloadRef | None = None
    error: Failure | None = None


AnyEvent = (
    ExecutionCreated
    | ExecutionForked
    | ExecutionStarted
    | ExecutionClaimed
    | ExecutionPromoted
    | ExecutionPauseRequested
    | ExecutionPaused
    | ExecutionResumed
    | ExecutionCancelRequested
    | ExecutionWaiting
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCancelled
    | StepStarted
    | StepRetrying
    | StepWaiting
    | StepCompleted
    | StepFailed
    | StepSkipped
    | StepCancelled
    | TimerFired
    | SignalReceived
    | ChildStarted
    | ChildFinished
)

TERMINAL_EVENTS = (ExecutionCompleted, ExecutionFailed, ExecutionCancelled)
OUTCOME_EVENTS = (StepCompleted, StepFailed, StepSkipped)
FORMAT: int = 1
"""Of a stored batch: a JSON array of events without sequences."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[AnyEvent])
_raw_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def encode_events(events: Sequence[Event]) -> bytes:
    """A JSON array for `decode_events`; sequences are left to the batch."""
    return _encoder.encode(events)


def decode_events(events_json: bytes, first_sequence: int) -> list[AnyEvent]:
    """The events of a batch, numbered from `first_sequence`."""
    events = _decoder.decode(events_json)
    return [msgspec.structs.replace(event, sequence=n) for n, event in enumerate(events, first_sequence)]


def frames(execution_id: str, events_json: bytes, first_sequence: int) -> Iterable[tuple[int, bytes]]:
    """(sequence, frame JSON) of each event of a batch, without parsing its values."""
    for sequence, raw in enumerate(_raw_decoder.decode(events_json), first_sequence):
        yield (
            sequence,
            b'{"sequence":%d,"executionId":"%s",%s' % (sequence, execution_id.encode(), bytes(raw)[1:]),
        )


def placed(payload: Payload, name: str) -> dict[str, Any]:
    """Keyword arguments that put a value into an event: `{name: value}` or `{name_ref: ref}`."""
    return {name: payload.value} if payload.inline else {f"{name}_ref": payload.ref}


def value_bytes(events: Sequence[Event]) -> int:
    """About how much a history weighs: its events and the values that they refer to."""
    refs = [
        ref
        for event in events
        for ref in (
            getattr(event, "input_ref", None),
            getattr(event, "output_ref", None),
            getattr(event, "payload_ref", None),
            event.loop.items_ref if isinstance(event, StepStarted) and event.loop else None,
        )
        if ref is not None
    ]
    return len(encode_events(events)) + sum(ref.bytes for ref in refs)
