"""Plays an execution from its start to its end, over as many runners as it takes.

play = Play(workflow(data("a", x=1), edges="a > b"))
await play.to_end()
assert play.trace == [...]
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from flow_engine.callbacks import Callbacks
from flow_engine.interpreter import events as e
from flow_engine.interpreter.journal import GiveUp
from flow_engine.interpreter.runner import RunEnd, Runner
from flow_engine.interpreter.state import ExecutionState, parse_timer_id
from flow_engine.interpreter.steps import StepsView
from flow_engine.nodes.registry import NodeRegistry
from flow_engine.payload import JsonValue, Payload, decode
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.validation import compile_workflow
from tests.unit.interpreter.memory_journal import TERMINAL, Fault, MemoryExecution, MemoryJournal, no_fault
from tests.unit.interpreter.node_types import TYPES, World
from tests.unit.interpreter.virtual_time import advance, database_now

EXECUTION_ID = "0198c0de-0000-7000-8000-000000000001"


# Definitions in short


def node(node_id: str, type_name: str = "flow.noop", /, **fields: Any) -> dict[str, Any]:
    """A node; `config` fields are those that no node has: node("a", "data.set", values={…}, join="any")."""
    own = {"name", "parentId", "join", "onError", "retry", "timeoutMs", "atMostOnce", "config"}
    config = {**{k: v for k, v in fields.items() if k not in own}, **fields.get("config", {})}
    return {
        "id": node_id,
        "type": type_name,
        "config": config,
        **{k: v for k, v in fields.items() if k in own and k != "config"},
    }


def edges(text: str) -> list[dict[str, str]]:
    """Edges out of "a > b > c; b:error > d"."""
    found: list[dict[str, str]] = []
    for way in filter(None, map(str.strip, text.split(";"))):
        stops = [stop.strip() for stop in way.split(">")]
        for start, end in pairwise(stops):
            source, _, handle = start.partition(":")
            edge = {"source": source, "target": end.partition(":")[0]}
            found.append({**edge, "sourceHandle": handle} if handle else edge)
    return found


def workflow(*nodes: dict[str, Any], ways: str = "", **fields: Any) -> dict[str, Any]:
    return {"name": "test", "nodes": list(nodes), "edges": edges(ways), **fields}


def compiled(definition: dict[str, Any], types: NodeRegistry = TYPES) -> WorkflowGraph:
    return compile_workflow(definition, types)


# Playing


class Play:
    """One execution. What it does outside goes to `world`; its row and history are `execution`."""

    def __init__(
        self,
        definition: dict[str, Any] | WorkflowGraph,
        input: JsonValue = None,  # noqa: A002
        *,
        mode: str = "queued",
        max_retries: int | None = None,
        deadline_seconds: float | None = None,
        forked: e.ExecutionForked | None = None,
        budget_seconds: float | None = None,
        within: e.Within | None = None,
        snapshot_after: int = 1,
    ) -> None:
        self.graph = definition if isinstance(definition, WorkflowGraph) else compiled(definition)
        self.world = World()
        self.execution = MemoryExecution(mode=mode)
        self.budget_seconds = budget_seconds
        self.snapshot_after = snapshot_after
        self.runner: Runner | None = None
        given = Payload.of(input)
        self.execution.store(given)
        now = database_now()
        created = e.ExecutionCreated(
            time=now,
            definition_hash=self.graph.definition_hash,
            mode=mode,
            requested_mode=mode,
            root_id=EXECUTION_ID,
            within=within,
            max_retries=max_retries,
            deadline_at=None if deadline_seconds is None else now + timedelta(seconds=deadline_seconds),
            **e.placed(given, "input"),
        )
        self.execution.write([created, *([forked] if forked else [])])
        self.execution.move("pending" if mode == "queued" else "running")

    # Runners

    async def run(self, fault: Fault = no_fault) -> RunEnd:
        """One runner, from what is committed to its end. Claims the execution if it is pending."""
        self.begin(fault)
        return await self.finish()

    def begin(self, fault: Fault = no_fault) -> asyncio.Task[RunEnd]:
        self.claim()
        budget = self.budget_seconds
        self.runner = Runner(
            self.graph,
            self.execution.history[self.execution.snapshot_sequence :],
            MemoryJournal(self.execution, fault),
            self.execution,
            self.world,
            EXECUTION_ID,
            snapshot=self.execution.snapshot,
            snapshot_after=self.snapshot_after,
            callbacks=Callbacks("https://flow.example/callback/", EXECUTION_ID, b"key"),
            budget_ends_at=None if budget is None else asyncio.get_running_loop().time() + budget,
        )
        self._running = asyncio.create_task(self.runner.run())
        return self._running

    async def finish(self) -> RunEnd:
        end = await self._running
        self.runner = None
        assert self.execution.status == end.status
        return end

    def claim(self) -> None:
        if self.execution.status == "pending":
            self.execution.epoch += 1
            self.execution.write(
                [e.ExecutionClaimed(time=database_now(), worker_id="w", epoch=self.execution.epoch)]
            )
            self.execution.move("running")
        assert self.execution.status == "running", self.execution.status

    def lose_runner(self) -> None:
        """What the sweeper does when the lease has run out."""
        if self.execution.status == "running":
            if self.execution.pending_control == "cancel":
                self.execution.write([e.ExecutionCancelled(time=database_now())])
                self.execution.move("cancelled")
                return
            self.execution.given_up = None
            if self.execution.mode == "immediate":
                self.execution.write([e.ExecutionPromoted(time=database_now(), reason="executorLost")])
                self.execution.mode = "queued"
            self.execution.epoch += 1
            if self.execution.pending_control == "pause":
                self.execution.write([e.ExecutionPaused(time=database_now())])
                self.execution.move("paused")
            else:
                self.execution.move("pending")

    async def die(self) -> None:
        """The process is killed with the runner in it; the sweeper hands the execution on."""
        assert self.runner is not None
        self.runner.abandon()
        with pytest.raises(asyncio.CancelledError):
            await self._running
        self.runner = None
        self.lose_runner()

    def cut(self, sequence: int) -> Play:
        """As if the process had died when the history was committed up to `sequence`."""
        other = Play(self.graph)
        other.execution = MemoryExecution(
            history=self.history[:sequence], payloads=dict(self.execution.payloads), mode=self.execution.mode
        )
        other.lose_runner()
        return other

    async def to_end(self, answers: dict[str, JsonValue] | None = None) -> RunEnd:
        """Run, wake and answer until the execution has ended."""
        while True:
            end = await self.run()
            if end.status in TERMINAL:
                return end
            self.wake(answers)

    def wake(self, answers: dict[str, JsonValue] | None = None) -> None:
        """Answer what waits for one of these nodes, do its task or end its child; else let time pass."""
        if self.execution.status != "waiting":
            return
        for step in self.view.steps:
            if step.awaits_answer and step.node_id in (answers or {}):
                self.answer(step.node_id, (answers or {})[step.node_id], step.iteration)
                return
            if step.status == "waiting" and step.waiting is not None and step.waiting["kind"] == "task":
                self.answer(step.node_id, {"output": step.node_id}, step.iteration)
                return
            if step.status == "waiting" and step.waiting is not None and step.waiting["kind"] == "child":
                self.child_ended(step.node_id, output=step.node_id, iteration=step.iteration)
                return
        self.sweep_timer()

    # What others do to it

    def write(self, *events: e.Event) -> None:
        """Others write to the history; a runner is told."""
        self.execution.write(events)
        if self.runner is not None:
            self.runner.nudge()

    def answer(self, node_id: str, payload: JsonValue, iteration: Sequence[int] = ()) -> None:
        value = Payload.of(payload)
        self.execution.store(value)
        self.write(
            e.SignalReceived(
                time=database_now(),
                node_id=node_id,
                iteration=tuple(iteration),
                **e.placed(value, "payload"),
            )
        )
        if self.execution.status == "waiting":
            self.execution.move("pending")

    def child_ended(
        self,
        node_id: str,
        status: str = "completed",
        output: JsonValue = None,
        iteration: Sequence[int] = (),
        index: int | None = None,
    ) -> None:
        """The child execution that a step waits for ends."""
        value = Payload.of(output)
        self.execution.store(value)
        self.write(
            e.ChildFinished(
                time=database_now(),
                node_id=node_id,
                iteration=tuple(iteration),
                child_id=next(
                    event.child_id
                    for event in reversed(self.history)
                    if isinstance(event, e.ChildStarted)
                    and (event.node_id, event.iteration, event.index) == (node_id, tuple(iteration), index)
                ),
                index=index,
                status=status,
                error=e.Failure("BROKEN", "it broke") if status == "failed" else None,
                **(e.placed(value, "output") if status == "completed" else {}),
            )
        )
        if self.execution.status == "waiting":
            self.execution.move("pending")

    def sweep_timer(self) -> None:
        """The earliest timer of a waiting or paused execution fires."""
        give_up = self.execution.given_up
        assert give_up is not None
        assert give_up.wake_at is not None, f"nothing would ever wake it: {give_up}"
        advance(max(0.0, (give_up.wake_at - database_now()).total_seconds()))
        self._fire(give_up)
        if self.execution.status == "waiting":
            self.execution.move("pending")

    def _fire(self, give_up: GiveUp) -> None:
        node_id, iteration = parse_timer_id(give_up.wake_timer)
        self.write(
            e.TimerFired(
                time=database_now(), timer_id=give_up.wake_timer, node_id=node_id, iteration=iteration
            )
        )

    def pause(self) -> None:
        if self.execution.status == "running":
            self.execution.pending_control = self.execution.pending_control or "pause"
            self.write(e.ExecutionPauseRequested(time=database_now()))
        else:
            self.write(e.ExecutionPaused(time=database_now()))
            self.execution.move("paused")

    def resume(self) -> None:
        """A paused execution goes back to waiting if there is nothing else to do."""
        self.write(e.ExecutionResumed(time=database_now()))
        if self.execution.status == "running":
            self.execution.pending_control = ""
            return
        give_up = self.execution.given_up
        due = give_up is not None and give_up.wake_at is not None and give_up.wake_at <= database_now()
        if give_up is not None and due:
            self._fire(give_up)
        waits = give_up is not None and give_up.all_waiting and not due
        self.execution.move("waiting" if waits else "pending")

    def cancel(self, reason: str = "") -> None:
        if self.execution.status == "running":
            self.execution.pending_control = "cancel"
            self.write(e.ExecutionCancelRequested(time=database_now(), reason=reason))
        else:
            self.write(e.ExecutionCancelled(time=database_now(), reason=reason))
            self.execution.move("cancelled")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the runner work until the condition holds."""
        await _until(condition, self._running)

    async def until_running(self, *node_ids: str) -> None:
        await self.until(lambda: set(node_ids) <= {node_id for node_id, _ in self.world.running})

    # Reading

    @property
    def history(self) -> list[e.AnyEvent]:
        return self.execution.history

    @property
    def trace(self) -> list[str]:
        """The history in short: "a started", "a completed true", "b[2] failed BROKEN", "completed"."""
        return [line for event in self.history if (line := short(event))]

    @property
    def outcomes(self) -> dict[str, str]:
        """What became of each step: {"a": "completed", "b[0]": "failed BROKEN"}."""
        return outcomes(self.history)

    @property
    def view(self) -> StepsView:
        return StepsView.of(self.history)

    @property
    def state(self) -> ExecutionState:
        return folded(self.graph, self.history)

    @property
    def output(self) -> JsonValue:
        """Of the execution, which must have completed."""
        event = self.history[-1]
        assert isinstance(event, e.ExecutionCompleted), self.trace
        return self.value(event.output, event.output_ref)

    @property
    def error(self) -> e.Failure:
        event = self.history[-1]
        assert isinstance(event, e.ExecutionFailed), self.trace
        return event.error

    def output_of(self, node_id: str, *iteration: int) -> JsonValue:
        for event in self.history:
            if isinstance(event, e.StepCompleted) and (event.node_id, event.iteration) == (
                node_id,
                iteration,
            ):
                return self.value(event.output, event.output_ref)
        raise AssertionError(f"{node_id} did not complete: {self.trace}")

    def error_of(self, node_id: str, *iteration: int) -> e.Failure:
        for event in self.history:
            if isinstance(event, e.StepFailed) and (event.node_id, event.iteration) == (node_id, iteration):
                return event.error
        raise AssertionError(f"{node_id} did not fail: {self.trace}")

    def time_of(self, line: str) -> datetime:
        """When the first event happened that reads so in the trace."""
        return next(event.time for event in self.history if short(event) == line)

    def seconds_between(self, first: str, then: str) -> float:
        return (self.time_of(then) - self.time_of(first)).total_seconds()

    def value(self, inline: Any, ref: Any) -> JsonValue:
        return inline if ref is None else decode(self.execution.payloads[ref.hash])


async def played(definition: dict[str, Any] | WorkflowGraph, input: JsonValue = None, **how: Any) -> Play:  # noqa: A002
    """An execution at its end."""
    answers = how.pop("answers", None)
    play = Play(definition, input, **how)
    await play.to_end(answers)
    return play


async def _until(condition: Callable[[], bool], running: Awaitable[RunEnd]) -> None:
    while not condition():
        assert not (isinstance(running, asyncio.Task) and running.done()), "the run is over"
        await asyncio.sleep(0.0005)


def folded(graph: WorkflowGraph, history: Sequence[e.Event]) -> ExecutionState:
    state = ExecutionState(graph)
    for event in history:
        state.apply(event)
    return state


def outcomes(history: Sequence[e.Event]) -> dict[str, str]:
    found: dict[str, str] = {}
    for event in history:
        if isinstance(event, e.StepCompleted | e.StepFailed | e.StepSkipped | e.StepCancelled):
            name, _, what = short(event).partition(" ")
            found[name] = what
    return found


def short(event: e.Event) -> str:
    if isinstance(event, e.StepEvent):
        path = f"[{','.join(map(str, event.iteration))}]" if event.iteration else ""
        return f"{event.node_id}{path} {_word(event)}{_more(event)}"
    match event:
        case e.ExecutionFailed():
            return f"failed {event.error.code}"
        case e.ExecutionPromoted():
            return f"promoted {event.reason}"
        case e.ExecutionCreated() | e.ExecutionClaimed() | e.ExecutionForked():
            return ""
        case e.SignalReceived() | e.TimerFired():
            path = f"[{','.join(map(str, event.iteration))}]" if event.iteration else ""
            return f"{event.node_id}{path} {'answered' if isinstance(event, e.SignalReceived) else 'timer'}"
        case _:
            word = _word(event)
            return "" if word == "started" else word


def _word(event: e.Event) -> str:
    tag = type(event).__struct_config__.tag
    return str(tag).partition(".")[2]


def _more(event: e.StepEvent) -> str:
    match event:
        case e.StepStarted() if event.attempt > 1:
            return f" {event.attempt}"
        case e.StepCompleted() if event.handle or event.handles:
            return f" {' '.join(event.handles or (event.handle,))}"
        case e.StepFailed() | e.StepRetrying():
            return f" {event.error.code}"
        case e.StepCancelled() if event.reason:
            return f" {event.reason}"
        case _:
            return ""
