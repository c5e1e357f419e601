"""Counts executions that have ended, and learns from them, in batches, beside everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from flow_engine.clock import Clock
from flow_engine.errors import InvalidRequest, ValueNotFound
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.steps import Step, decode_result
from flow_engine.looping import Looping
from flow_engine.workflow.graph import WorkflowGraph
from services.executor.definitions import Definitions, node_types_of, types_of
from services.executor.durations.memory import learn_all
from services.executor.history import steps_at
from services.executor.persistence.contract import ExecutionPersistence
from services.executor.persistence.statistics import EndedRow, SqlStatistics
from services.executor.persistence.transaction import Transaction
from services.executor.stats.tally import Ended
from services.executor.stats.unhurried import unhurried

BATCH = 200
MOST_STEPS = 20_000
"""Of executions that are counted together, unless one alone has more: all are in memory at once."""
REST, MOST_REST_SECONDS = 4, 30.0
"""So many times as long as it took, until it counts again, and at most: of large graphs, many executions cost
little more than one."""
FORGET_SECONDS = 3600.0


class Counting(Looping):
    """Every executor counts; what one has counted the others find no more."""

    def __init__(
        self,
        statistics: SqlStatistics,
        persistence: ExecutionPersistence,
        definitions: Definitions,
        interval_seconds: float,
        clock: Clock,
    ) -> None:
        super().__init__(interval_seconds)
        self._least_seconds = interval_seconds
        self._statistics = statistics
        self._persistence = persistence
        self._clock = clock
        self._definitions = definitions
        self._forget_at = 0.0

    async def turn(self) -> None:
        began = perf_counter()
        while await self._count_some():
            pass
        rest = min(REST * (perf_counter() - began), MOST_REST_SECONDS)
        self.interval_seconds = max(self._least_seconds, rest)
        if self._clock.monotonic() >= self._forget_at:
            self._forget_at = self._clock.monotonic() + FORGET_SECONDS
            await self._statistics.forget_old(int((await self._persistence.ping()).timestamp()))

    async def _count_some(self) -> bool:
        """Whether there may be more."""
        rows = await self._statistics.uncounted(BATCH)
        graphs: dict[str, WorkflowGraph | None] = {}
        executions: list[Ended] = []
        steps = 0
        async for row in unhurried(rows):
            executions.append(await self._whole(row, graphs))
            steps += len(executions[-1].steps)
            if steps >= MOST_STEPS:
                break

        async def learn(transaction: Transaction, counted: Sequence[Ended]) -> None:
            await learn_all(transaction, counted, lambda ended: graphs.get(ended.definition_hash))

        if executions:
            await self._statistics.count(executions, learn)
        return len(rows) == BATCH or len(executions) < len(rows)

    async def _whole(self, row: EndedRow, graphs: dict[str, WorkflowGraph | None]) -> Ended:
        """With its steps, and what types their nodes are of; the graphs of all are left in `graphs`."""
        ended, steps = row.ended, await self._steps(row)
        if ended.definition_hash not in graphs:
            graphs[ended.definition_hash] = await self._graph(ended)
        graph = graphs[ended.definition_hash]
        types = await self._types(ended) if graph is None else types_of(graph)
        return replace(ended, steps=steps, node_types=types)

    async def _steps(self, row: EndedRow) -> Sequence[Step]:
        result = None if row.result is None else decode_result(row.result)
        if result is not None and not result.steps_in_history:
            return result.steps
        record = await self._persistence.get(ExecutionId(row.ended.id), row.ended.namespace)
        if result is None and record.result is not None:  # a large one
            result = await asyncio.to_thread(decode_result, record.result)
            if not result.steps_in_history:
                return result.steps
        return (await steps_at(self._persistence, record)).steps

    async def _graph(self, ended: Ended) -> WorkflowGraph | None:
        """None where this process lacks a node type that the definition was accepted with."""
        try:
            return (await self._definitions.stored(ended.definition_hash, ended.namespace)).graph
        except (InvalidRequest, ValueNotFound):
            return None

    async def _types(self, ended: Ended) -> dict[str, str]:
        """As the definition says, be they known here or not."""
        try:
            return node_types_of(await self._persistence.definition(ended.definition_hash, ended.namespace))
        except ValueNotFound:
            return {}
