"""Which workers are alive, whichever executor they hold their session with.

Each executor writes down its own every few seconds and reads them all: what it tells of them is at most
that old, and asking costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Protocol

from flow_engine.errors import Unavailable
from flow_engine.looping import Looping
from services.executor.persistence.operations import LiveWorker, WorkerWord
from services.executor.sessions import Sessions

INTERVAL_SECONDS = 4.0


class WorkerRows(Protocol):
    async def heartbeat(self, executor_id: str, words: Collection[WorkerWord]) -> None: ...
    async def live_workers(self) -> list[LiveWorker]: ...


class Roster(Looping):
    """Looks at once when a worker comes or goes."""

    def __init__(self, rows: WorkerRows, sessions: Sessions, executor_id: str) -> None:
        super().__init__(INTERVAL_SECONDS)
        self._rows = rows
        self._sessions = sessions
        sessions.changed = self.hint
        self._executor_id = executor_id
        self._written: frozenset[str] = frozenset()
        self.workers: Sequence[LiveWorker] = ()

    @property
    def slots(self) -> int:
        return sum(live.word.slots for live in self.workers)

    @property
    def busy_slots(self) -> int:
        """What a worker that drains still runs needs no worker in its place."""
        return sum(live.word.slots - live.word.free_slots for live in self.workers if not live.draining)

    async def turn(self) -> None:
        words = self._sessions.words()
        ids = frozenset(word.worker_id for word in words)
        if ids or self._written:
            await self._rows.heartbeat(self._executor_id, words)
        self._written = ids
        self.workers = await self._rows.live_workers()

    async def stop(self) -> None:
        """Our workers go to other executors now; who is not there yet counts as gone."""
        await super().stop()
        if self._written:
            self._written = frozenset()
            with suppress(Unavailable):
                await self._rows.heartbeat(self._executor_id, [])
