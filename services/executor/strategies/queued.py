"""Runs executions on workers: commits the start; the bell and the workers do the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import ExecutionPersistence, ExecutionRecord, Started
from services.executor.strategies.strategy import DurableControl, Prepared


@dataclass(frozen=True, slots=True)
class QueuedRun:
    execution_id: ExecutionId
    started: Started

    @property
    def record(self) -> ExecutionRecord | None:
        return self.started.record

    async def accepted(self) -> Started:
        return self.started

    async def settled(self, timeout_seconds: float | None) -> None:
        """It is in the queue: there is nothing to wait for."""


class QueuedExecutionStrategy(DurableControl):
    """admit: called before each start; raises QueueFull."""

    mode = "queued"

    def __init__(
        self,
        persistence: ExecutionPersistence,
        told: Callable[[ExecutionId], None],
        admit: Callable[[], None],
    ) -> None:
        super().__init__(persistence, told)
        self._admit = admit

    async def execute(self, start: Prepared) -> QueuedRun:
        """Row, first event and bell in one transaction. Raises QueueFull."""
        self._admit()
        started = await self._persistence.create(start.new)
        return QueuedRun(started.execution_id, started)
