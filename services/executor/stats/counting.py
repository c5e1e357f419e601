"""Counts executions that have ended, in batches, beside everything else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flow_engine.clock import Clock
from flow_engine.errors import ValueNotFound
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.steps import Step, decode_result
from flow_engine.looping import Looping
from services.executor.definitions import Recent, node_types_of
from services.executor.history import steps_at
from services.executor.persistence.contract import ExecutionPersistence
from services.executor.persistence.statistics import EndedRow, SqlStatistics
from services.executor.stats.tally import Ended

BATCH = 200
LARGE_BYTES = 64 << 10
"""Larger results are decoded in a thread."""
FORGET_SECONDS = 3600.0


class Counting(Looping):
    """Every executor counts; what one has counted the others find no more."""

    def __init__(
        self,
        statistics: SqlStatistics,
        persistence: ExecutionPersistence,
        interval_seconds: float,
        clock: Clock,
    ) -> None:
        super().__init__(interval_seconds)
        self._statistics = statistics
        self._persistence = persistence
        self._clock = clock
        self._node_types: Recent[dict[str, str]] = Recent(256)
        self._forget_at = 0.0

    async def turn(self) -> None:
        while len(await self._count_some()) == BATCH:
            pass
        if self._clock.monotonic() >= self._forget_at:
            self._forget_at = self._clock.monotonic() + FORGET_SECONDS
            await self._statistics.forget_old(int((await self._persistence.ping()).timestamp()))

    async def _count_some(self) -> list[EndedRow]:
        rows = await self._statistics.uncounted(BATCH)
        if rows:
            await self._statistics.count([await self._whole(row) for row in rows])
        return rows

    async def _whole(self, row: EndedRow) -> Ended:
        """With its steps, and what types their nodes are of."""
        steps = await self._steps(row)
        return replace(row.ended, steps=steps, node_types=await self._types(row.ended) if steps else {})

    async def _steps(self, row: EndedRow) -> list[Step]:
        result = None
        if row.result is not None:
            large = len(row.result) > LARGE_BYTES
            result = (
                await asyncio.to_thread(decode_result, row.result) if large else decode_result(row.result)
            )
        if result is not None and not result.steps_in_history:
            return result.steps
        record = await self._persistence.get(ExecutionId(row.ended.id), row.ended.namespace)
        return (await steps_at(self._persistence, record)).steps

    async def _types(self, ended: Ended) -> dict[str, str]:
        known = self._node_types.get(ended.definition_hash)
        if known is None:
            try:
                text = await self._persistence.definition(ended.definition_hash, ended.namespace)
                known = node_types_of(text)
            except ValueNotFound:
                known = {}
            self._node_types.put(ended.definition_hash, known)
        return known
