"""The queue as one execution in it sees it: what keeps it, and whether anybody will ever take it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from flow_engine.ids import ExecutionId
from flow_engine.workflow.requirements import lacking
from services.executor.persistence.admission import Standing
from services.executor.persistence.contract import ExecutionRecord
from services.executor.queue_gauge import QueueGauge
from services.executor.roster import Roster
from services.executor.waiting import Queue


class Positions(Protocol):
    async def queue_position(self, execution_id: ExecutionId, namespace: str = ...) -> int: ...


class Standings(Protocol):
    async def slot_standing(self, execution_id: str, namespace: str, key: str) -> Standing: ...
    async def rate_standing(
        self, execution_id: str, namespace: str, key: str, limit: int, period_ms: int
    ) -> Standing: ...


class QueueView:
    """workers: how many are alive, as far as somebody has said so already."""

    def __init__(
        self,
        positions: Positions,
        standings: Standings,
        gauge: QueueGauge,
        roster: Roster,
        workers: Callable[[], int],
    ) -> None:
        self._positions = positions
        self._standings = standings
        self._gauge = gauge
        self._roster = roster
        self._workers = workers

    async def of(self, record: ExecutionRecord) -> Queue:
        """record: pending."""
        standing, position = await self._standing(record), 0
        if standing is None:
            position = await self._positions.queue_position(record.id, record.namespace)
        oldest = self._gauge.oldest_pending_seconds
        return Queue(position, *self._able(record, oldest), standing)

    def glance(self, record: ExecutionRecord) -> Queue:
        """What is known without asking the database."""
        return Queue(None, *self._able(record, None))

    def _able(
        self, record: ExecutionRecord, oldest: float | None
    ) -> tuple[int, float | None, tuple[str, ...]]:
        takers = [live.word.capabilities for live in self._roster.workers if not live.draining]
        if not self._roster.workers:
            return self._workers(), oldest, ()
        return len(takers), oldest, least_lacking(record.needs, takers)

    async def _standing(self, record: ExecutionRecord) -> Standing | None:
        if record.rate_wanted:
            limit, period_ms = record.rate_limit, record.rate_period_ms
            return await self._standings.rate_standing(
                record.id, record.namespace, record.rate_wanted, limit, period_ms
            )
        if record.slot_wanted:
            return await self._standings.slot_standing(record.id, record.namespace, record.slot_wanted)
        return None


def least_lacking(needs: Collection[str], workers: Collection[Collection[str]]) -> tuple[str, ...]:
    """What the worker that comes closest lacks; empty when one can run it, or there is none."""
    gaps = [tuple(lacking(needs, able)) for able in workers]
    return min(gaps, key=len, default=())
