"""A folded state as it is stored: what a long history amounts to, so that it need not be folded again.

A snapshot holds facts only, and is taken when nothing runs. Values above 4 KiB are in it by their
hash, as they are in the events. Source of the rule: docs/protocol.md, "Reporting".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, get_type_hints

import msgspec

from flow_engine.ids import Iteration
from flow_engine.interpreter import events as e
from flow_engine.interpreter.commands import StepId
from flow_engine.interpreter.state import ExecutionState, Scope, StepState, Stored
from flow_engine.workflow.graph import WorkflowGraph

FORMAT = 4
"""Of what `take` writes. Raise it with any change to the state: others then fold the whole history."""
MAX_BYTES = 2 << 20
"""Of a snapshot: it travels with the last events. A larger state is folded from its history."""

PLAIN = (
    "created mode started ended pause_requested cancel_requested cancel_reason "
    "last_time started_at running history_bytes"
).split()
QUEUES = "woken unreachable finished_loops undecided_loops undistributed".split()

_STEP_FIELDS = [field.name for field in fields(StepState) if field.name != "node"]
_StepTaken: Any = msgspec.defstruct(
    "_StepTaken",
    [("node_id", str), *((name, get_type_hints(StepState)[name]) for name in _STEP_FIELDS)],
)


class _ScopeTaken(msgspec.Struct):
    container_id: str | None
    iteration: Iteration
    undecided: int
    steps: list[_StepTaken]
    counts: dict[str, tuple[int, int]]
    open: list[str]  # node ids, in the order in which they opened
    closing: str
    failure: e.Failure | None
    returned: Stored | None


class _Taken(msgspec.Struct):
    format: int  # first: `format_of` reads no further
    created: e.ExecutionCreated | None
    mode: str
    started: bool
    ended: str
    pause_requested: bool
    cancel_requested: bool
    cancel_reason: str
    last_time: datetime | None
    started_at: datetime | None
    running: int
    history_bytes: int
    scopes: list[_ScopeTaken]
    woken: list[StepId]
    unreachable: list[StepId]
    finished_loops: list[StepId]
    undecided_loops: list[StepId]
    undistributed: list[StepId]
    doomed: list[tuple[StepId, str]]
    ready: list[tuple[int, Iteration]]
    kept: list[e.KeptStep]
    generations: list[tuple[StepId, int]]


class _Format(msgspec.Struct):
    format: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Taken)
_format_decoder = msgspec.json.Decoder(_Format)


def take(state: ExecutionState, extra: Sequence[e.Event] = ()) -> bytes:
    """The state after `extra`, for `restore`; empty when it is too large to be worth it."""
    text = _encoder.encode(_taken(state))
    if len(text) > MAX_BYTES:
        return b""
    if not extra:
        return text
    later = restore(state.graph, text)
    for event in extra:
        later.apply(event)
    return _encoder.encode(_taken(later))


def format_of(text: bytes) -> int:
    """Which `FORMAT` wrote it; 0 when it is no snapshot at all."""
    try:
        return _format_decoder.decode(text).format
    except msgspec.DecodeError:
        return 0


def restore(graph: WorkflowGraph, text: bytes) -> ExecutionState:
    """The state that `take` was given. `text` is of this `FORMAT`, of an execution of this definition."""
    taken = _decoder.decode(text)
    state = ExecutionState(graph)
    for name in PLAIN:
        setattr(state, name, getattr(taken, name))
    if state.created is not None:
        state.stand(state.created)
    for one in taken.scopes:
        scope = _scope(graph, one)
        state.scopes[scope.id] = scope
    for name in QUEUES:
        getattr(state, name).extend(map(state.step, getattr(taken, name)))
    state.doomed.extend((state.step(step_id), reason) for step_id, reason in taken.doomed)
    state.ready = taken.ready
    state.kept = {(kept.node_id, kept.iteration): kept for kept in taken.kept}
    state.generations = dict(taken.generations)
    return state


def _taken(state: ExecutionState) -> _Taken:
    copied: dict[str, Any] = {name: getattr(state, name) for name in PLAIN}
    for name in QUEUES:
        copied[name] = [step.id for step in getattr(state, name) if _is_there(state, step)]
    return _Taken(
        format=FORMAT,
        scopes=[_scope_taken(scope) for scope in state.scopes.values()],
        doomed=[(step.id, reason) for step, reason in state.doomed if _is_there(state, step)],
        ready=state.ready,
        kept=list(state.kept.values()),
        generations=list(state.generations.items()),
        **copied,
    )


def _is_there(state: ExecutionState, step: StepState) -> bool:
    """Its scope is open: nothing becomes of the others."""
    return (step.node.parent_id, step.iteration) in state.scopes


def _scope_taken(scope: Scope) -> _ScopeTaken:
    return _ScopeTaken(
        container_id=scope.graph.container_id,
        iteration=scope.iteration,
        undecided=scope.undecided,
        steps=[
            _StepTaken(step.node.id, *(getattr(step, name) for name in _STEP_FIELDS))
            for step in scope.steps.values()
        ],
        counts=scope.counts,
        open=list(scope.open),
        closing=scope.closing,
        failure=scope.failure,
        returned=scope.returned,
    )


def _scope(graph: WorkflowGraph, taken: _ScopeTaken) -> Scope:
    scope = Scope(
        graph.scopes[taken.container_id],
        taken.iteration,
        taken.undecided,
        counts=taken.counts,
        closing=taken.closing,
        failure=taken.failure,
        returned=taken.returned,
    )
    for one in taken.steps:
        values = {name: getattr(one, name) for name in _STEP_FIELDS}
        scope.steps[one.node_id] = StepState(graph.nodes[one.node_id], **values)
    scope.open = {node_id: scope.steps[node_id] for node_id in taken.open}
    return scope
