"""How full the queue is, known without asking the database at each start."""

from __future__ import annotations

from flow_engine.errors import QueueFull
from flow_engine.looping import Looping
from services.executor.persistence.contract import ExecutionPersistence

INTERVAL_SECONDS = 1.0


class QueueGauge(Looping):
    """The database's count, at most a second old, and what was queued here since. It ends at the limit.

    Other executors queue meanwhile too: the limit may be passed by what they accept in a second.
    """

    def __init__(self, persistence: ExecutionPersistence, most: int) -> None:
        super().__init__(INTERVAL_SECONDS)
        self.oldest_pending_seconds = 0.0
        self.ready = 0  # of those that may be claimed
        self._persistence = persistence
        self._most = most
        self._pending = 0

    @property
    def pending(self) -> int:
        return self._pending

    async def turn(self) -> None:
        state = await self._persistence.queue_state(self._most)
        self._pending, self.ready = state.pending, state.ready
        self.oldest_pending_seconds = state.oldest_pending_seconds

    def admit(self) -> None:
        """Count one more in. Raises QueueFull."""
        if self._pending >= self._most:
            raise QueueFull(self._most)
        self._pending += 1
