"""How an execution is run: what both ways have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flow_engine.ids import ExecutionId
from flow_engine.workflow.graph import WorkflowGraph
from services.executor.history import steps_at
from services.executor.persistence.contract import (
    TERMINAL,
    ExecutionPersistence,
    ExecutionRecord,
    Move,
    NewExecution,
    Started,
)
from services.executor.progress import Progress, item_of, progress_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """A start that is valid in every respect. Nothing of it is stored yet."""

    new: NewExecution
    graph: WorkflowGraph
    budget_seconds: float  # of an immediate run
    at_once: bool = True  # commit before anything runs: somebody watches, or wants an answer now
    typical_ms: Mapping[str, float] = field(default_factory=dict)  # by node id, where history tells


class Run(Protocol):
    """A start on its way."""

    @property
    def execution_id(self) -> ExecutionId: ...

    @property
    def record(self) -> ExecutionRecord | None:
        """Its row, where the commit that started it also ended it, or put it into the queue."""
        ...

    async def accepted(self) -> Started:
        """Returns once the start is committed. Raises what refused it."""
        ...

    async def settled(self, timeout_seconds: float | None) -> None:
        """Returns when it has ended, waits or was handed to the queue, or when the time is over."""
        ...


class ExecutionStrategy(Protocol):
    """One way to run executions. Control is the same in both: written to the history, then told."""

    mode: str  # immediate or queued

    async def execute(self, start: Prepared) -> Run: ...
    async def get_status(self, execution_id: ExecutionId, namespace: str) -> ExecutionRecord: ...
    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move: ...
    async def resume(self, execution_id: ExecutionId, namespace: str) -> Move: ...
    async def cancel(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move: ...
    async def progress(self, record: ExecutionRecord, graph: WorkflowGraph) -> Progress: ...


class DurableControl:
    """Control by history: one conditional write, then `told`, so that its runner looks at once.

    A runner elsewhere is told by its own executor a moment later.
    """

    def __init__(self, persistence: ExecutionPersistence, told: Callable[[ExecutionId], None]) -> None:
        self._persistence = persistence
        self._told = told

    async def get_status(self, execution_id: ExecutionId, namespace: str) -> ExecutionRecord:
        return await self._persistence.get(execution_id, namespace)

    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        return self._tell(await self._persistence.pause(execution_id, reason, namespace))

    async def resume(self, execution_id: ExecutionId, namespace: str) -> Move:
        return self._tell(await self._persistence.resume(execution_id, namespace))

    async def cancel(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        return self._tell(await self._persistence.cancel(execution_id, reason, namespace))

    async def progress(self, record: ExecutionRecord, graph: WorkflowGraph) -> Progress:
        view = await steps_at(self._persistence, record)
        return progress_of(graph, view.steps, ended=record.status in TERMINAL, top=item_of(record))

    def _tell(self, move: Move) -> Move:
        if move.changed and move.record.status == "running":
            self._told(move.record.id)
        return move
