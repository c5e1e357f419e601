"""The decision step: state in, commands out. Knows no clock and no I/O.

Source of the rules: docs/semantics.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from flow_engine.interpreter import commands as c
from flow_engine.interpreter.events import Event
from flow_engine.interpreter.state import HARD, ExecutionState, StepState
from flow_engine.workflow.graph import WorkflowGraph


def decide(graph: WorkflowGraph, history: Sequence[Event]) -> list[c.Command]:
    """What to do next from what has happened.

    history: ordered by sequence from 1; the first is ExecutionCreated.
    Returns commands: cancellations first, then in node declaration order; empty means wait.
    Raises CorruptHistory if an event names a node absent from graph.
    """
    state = ExecutionState(graph)
    for event in history:
        state.apply(event)
    commands: list[c.Command] = []
    while (command := next_command(state)) is not None:
        commands.append(command)
        if isinstance(command, c.CompleteExecution | c.FailExecution | c.CancelExecution):
            break
        if isinstance(command, c.RunNode | c.ResumeNode):
            state.reserve(state.step(command.step))
    return commands


def next_command(state: ExecutionState, *, may_start: bool = True) -> c.Command | None:
    """The next order that follows from the state; None means wait.

    `may_start=False` (quiescing) holds back everything that begins an attempt, as a pause does. The
    caller carries it out before it asks again: an order is given once, but for the one that ends
    the execution.
    """
    if state.ended:
        return None
    may_start = may_start and not state.pause_requested
    return (
        (_cancellation(state) if state.doomed else None)
        or (_container_end(state) if state.finished_loops else None)
        or (_skip(state) if state.unreachable else None)
        or (_execution_end(state) if state.top.over else None)
        or (_beginning(state) if may_start else None)
    )


def _beginning(state: ExecutionState) -> c.Command | None:
    return (
        (_condition(state) if state.undecided_loops else None)
        or (_distribution(state) if state.undistributed else None)
        or (_resumption(state) if state.woken else None)
        or _start(state)
    )


def _cancellation(state: ExecutionState) -> c.Command | None:
    while state.doomed:
        step, reason = state.doomed.popleft()
        if (step.node.parent_id, step.iteration) in state.scopes and _is_cancelled(step, reason):
            step.cancelling = True
            return c.CancelStep(step.id, reason)
    return None


def _is_cancelled(step: StepState, reason: str) -> bool:
    """An open container ends with its iterations. A step that must not run twice is let finish when
    only a sibling failed."""
    if step.decided or step.cancelling or step.loop is not None:
        return False
    return reason in HARD or not step.node.at_most_once or step.status not in ("starting", "running")


def _container_end(state: ExecutionState) -> c.Command | None:
    while state.finished_loops:
        step = state.finished_loops.popleft()
        loop = step.loop
        if step.status != "running" or loop is None or loop.open or loop.ended:
            continue
        loop.ended = True
        if loop.failure is not None:
            return c.FailContainer(step.id, loop.failure)
        if loop.closing and loop.closing != "enough":
            return c.CancelStep(step.id, loop.closing)
        return c.CompleteContainer(step.id)
    return None


def _skip(state: ExecutionState) -> c.Command | None:
    while state.unreachable:
        step = state.unreachable.popleft()
        scope = state.scopes.get((step.node.parent_id, step.iteration))
        if step.status == "ready" and scope is not None and not scope.closing:
            return c.SkipNode(step.id)
    return None


def _execution_end(state: ExecutionState) -> c.Command:
    top = state.top
    if state.cancel_requested:
        return c.CancelExecution(state.cancel_reason)
    if top.failure is not None:
        return c.FailExecution(top.failure)
    return c.CompleteExecution()


def _condition(state: ExecutionState) -> c.Command | None:
    while state.undecided_loops:
        step = state.undecided_loops.popleft()
        loop = step.loop
        if step.status == "running" and loop is not None and not (loop.open or loop.closing or loop.ended):
            return c.CheckCondition(step.id)
    return None


def _distribution(state: ExecutionState) -> c.Command | None:
    while state.undistributed:
        step = state.undistributed.popleft()
        if step.status == "running" and step.loop is not None and step.loop.awaits_start:
            return c.StartChildren(step.id)
    return None


def _resumption(state: ExecutionState) -> c.Command | None:
    while state.woken:
        step = state.woken.popleft()
        if step.cancelling or step.status not in ("waiting", "retrying"):
            continue
        if state.running >= state.graph.max_parallel:
            state.woken.appendleft(step)
            return None
        if step.status == "retrying":
            return c.RunNode(step.id)
        return c.ResumeNode(step.id)
    return None


def _start(state: ExecutionState) -> c.Command | None:
    if state.running >= state.graph.max_parallel:
        return None
    step = state.next_ready()
    return None if step is None else c.RunNode(step.id)
