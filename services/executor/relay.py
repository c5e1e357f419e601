"""Carries what happened to one execution to its relatives: starts children, tells parents, passes control on.

The outbox says what is to be done; it is done in one transaction with the removal of its row. Doing it
twice, late, or in several executors at once changes nothing.
Source: docs/protocol.md, "Children".
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import structlog
from msgspec import UNSET

from flow_engine.errors import ExecutionNotFound, FlowEngineError, InvalidInput
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import ChildStarted, ExecutionCreated, Parent, Within, placed
from flow_engine.looping import Looping
from flow_engine.payload import Payload, decode
from flow_engine.workflow.graph import Child, WorkflowGraph
from flow_engine.workflow.requirements import requirements
from services.executor.database_clock import DatabaseClock
from services.executor.definitions import Definition, Definitions
from services.executor.history import created_event
from services.executor.persistence.contract import (
    ExecutionPersistence,
    ExecutionRecord,
    NewExecution,
    Signal,
)
from services.executor.starts import limits

log = structlog.get_logger()

BATCH = 200

_started = msgspec.json.Decoder(ChildStarted)


class Relay(Looping):
    """Takes due signals each interval and right after a commit that left some (`hint`).

    told: called for executions whose history grew while they run.
    """

    def __init__(
        self,
        persistence: ExecutionPersistence,
        definitions: Definitions,
        database_clock: DatabaseClock,
        told: Callable[[ExecutionId], None],
        interval_seconds: float,
    ) -> None:
        super().__init__(interval_seconds)
        self._persistence = persistence
        self._definitions = definitions
        self._database_clock = database_clock
        self._told = told

    async def turn(self) -> None:
        while True:
            signals = await self._persistence.take_signals(BATCH)
            by_kind: dict[str, list[Signal]] = defaultdict(list)
            for signal in signals:
                by_kind[signal.kind].append(signal)
            await self._start(by_kind["start"])
            for parent_id, ended in _by(by_kind["finished"], lambda signal: signal.target):
                await self._finish(ExecutionId(parent_id), ended)
            for signal in by_kind["control"]:
                self._tell(await self._persistence.control_children(signal))
            if len(signals) < BATCH:
                return

    async def start_children(self, parent_id: ExecutionId) -> None:
        """At once, so that nobody hears of a child before it is there; what fails is left to a later turn."""
        try:
            await self._start(await self._persistence.due_starts(parent_id))
        except FlowEngineError as error:
            log.warning("child.not_started", parent_id=parent_id, error=str(error))

    async def _finish(self, parent_id: ExecutionId, ended: Sequence[Signal]) -> None:
        children = [ExecutionId(signal.source) for signal in ended]
        parent = await self._persistence.finish_children(parent_id, children)
        self._tell([] if parent is None else [parent])

    def _tell(self, records: Iterable[ExecutionRecord]) -> None:
        for record in records:
            if record.status == "running":
                self._told(record.id)

    # Starts -----------------------------------------------------------------------------------

    async def _start(self, signals: Sequence[Signal]) -> None:
        """Those of one parent are read for together; all are committed together."""
        starts = []
        for parent_id, some in _by(signals, lambda signal: signal.source):
            try:
                starts += await self._prepared(ExecutionId(parent_id), some)
            except FlowEngineError as error:
                # A node type is missing here, say: another executor, or this one later, may have it.
                log.warning("child.not_started", parent_id=parent_id, error=str(error))
        await asyncio.gather(*(self._persistence.create(new) for new in starts))

    async def _prepared(self, parent_id: ExecutionId, signals: Sequence[Signal]) -> list[NewExecution]:
        namespace = signals[0].namespace
        try:
            parent = await self._persistence.get(parent_id, namespace)
        except ExecutionNotFound:
            await self._persistence.forget_signals(signals)
            return []
        created = await created_event(self._persistence, parent)
        definition = await self._definitions.stored(parent.definition_hash, namespace)
        found = []
        for signal in signals:
            started = _started.decode(signal.body)
            given = await self._input(started, namespace)
            child = child_of(definition, parent, started)
            found.append(self._new(parent, created, started, child, given))
        return found

    async def _input(self, started: ChildStarted, namespace: str) -> Payload:
        if started.input_ref is None:
            return Payload.of(None if started.input is UNSET else started.input)
        text = await self._persistence.payload(started.input_ref.hash, namespace)
        return Payload(decode(text), text)

    def _new(
        self,
        parent: ExecutionRecord,
        created: ExecutionCreated,
        started: ChildStarted,
        child: Child,
        given: Payload,
    ) -> NewExecution:
        """The start of a child: it goes to the queue, with the priority and the tags of its parent."""
        graph, id_ = child.graph, ExecutionId(started.child_id)
        own = ExecutionCreated(
            time=self._database_clock.now(),
            definition_hash=graph.definition_hash,
            mode="queued",
            requested_mode="queued",
            root_id=parent.root_id,
            key_root=id_,
            workflow_id=child.workflow_id,
            workflow_name=graph.name,
            priority=parent.priority,
            tags=tuple(dict.fromkeys([*graph.tags, *parent.tags])),
            max_retries=created.max_retries,
            trace_parent=created.trace_parent,
            parent=Parent(
                execution_id=parent.id,
                node_id=started.node_id,
                iteration=started.iteration,
                index=started.index,
                waits=started.waits,
            ),
            within=within(started),
            **placed(given, "input"),
        )
        return NewExecution(
            id=id_,
            created=own,
            definition_hash=graph.definition_hash,
            definition=child.definition,
            input=given,
            complexity=b"",
            timeout_ms=None if started.index is not None else graph.timeout_ms,
            deadline_at=parent.deadline_at if started.waits else None,
            workflow_version=child.version,
            parent_waits=started.wakes if started.waits else "",
            **({"needs": requirements(graph)} if own.within else _limits(graph, own, given)),
            namespace=parent.namespace,
        )


def child_of(definition: Definition, parent: ExecutionRecord, started: ChildStarted) -> Child:
    """What a child runs: the workflow of a detached sub-flow, or of an item the definition of its parent."""
    if started.index is None:
        return definition.graph.children[started.node_id]
    return Child(definition.graph, definition.text, "", 0)


def within(started: ChildStarted) -> Within | None:
    if started.index is None:
        return None
    return Within(
        node_id=started.node_id,
        iteration=(*started.iteration, started.index),
        outer_ref=started.outer_ref,
    )


def _limits(graph: WorkflowGraph, created: ExecutionCreated, given: Payload) -> dict[str, Any]:
    """Those of the child's workflow. Its parent's history says already that it started: it waits its turn,
    whatever the definition says of starts beyond a limit, and a key that cannot be worked out limits nothing.
    """
    try:
        found = limits(graph, created, given, created.key_root)
    except InvalidInput:
        return {"needs": requirements(graph)}
    for name in ("slot", "rate"):
        if found[name] is not None:
            found[name] = replace(found[name], on_limit="queue")
    return found


def _by(signals: Sequence[Signal], key: Callable[[Signal], str]) -> list[tuple[str, list[Signal]]]:
    groups: dict[str, list[Signal]] = defaultdict(list)
    for signal in signals:
        groups[key(signal)].append(signal)
    return list(groups.items())
