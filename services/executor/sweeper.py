"""Takes back what nobody runs any more, wakes what is due, ends what is overdue.

Every executor sweeps; conditional updates make doubles harmless.
Source: docs/protocol.md, "Expiry is the sweeper's alone".
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from flow_engine.clock import Clock
from flow_engine.looping import Looping
from services.executor.dispatcher import Dispatcher
from services.executor.persistence.contract import ExecutionPersistence

log = structlog.get_logger()


class Sweeper(Looping):
    """free_slots: of the workers that this executor knows.

    Leases are expired late where the reason they were not renewed may have been ours: for a third of a
    lease after our start, and after each outage of the database for as long as it took, at most a third.
    """

    def __init__(
        self,
        persistence: ExecutionPersistence,
        dispatcher: Dispatcher,
        free_slots: Callable[[], int],
        interval_seconds: float,
        lease_seconds: float,
        clock: Clock,
    ) -> None:
        super().__init__(interval_seconds)
        self._persistence = persistence
        self._dispatcher = dispatcher
        self._free_slots = free_slots
        self._longest_grace = lease_seconds / 3
        self._clock = clock
        self._patient_until = clock.monotonic() + self._longest_grace
        self._last_success = clock.monotonic()

    async def turn(self) -> None:
        await self._persistence.ping()  # after an outage: notice it before judging anybody
        self._note_outage()
        if self._clock.monotonic() >= self._patient_until:
            expired = await self._persistence.expire_leases()
            if expired:
                log.warning("leases.expired", count=len(expired), execution_ids=expired[:10])
        await self._persistence.wake_due()
        await self._persistence.fail_overdue()
        await self._ring_for_leftovers()
        self._last_success = self._clock.monotonic()

    def _note_outage(self) -> None:
        now = self._clock.monotonic()
        silent = now - self._last_success - self.interval_seconds
        if silent > self.interval_seconds:
            self._patient_until = max(self._patient_until, now + min(silent, self._longest_grace))

    async def _ring_for_leftovers(self) -> None:
        """Bells that Redis lost: as many as could be answered, never one an execution."""
        free = self._free_slots()
        if free:
            state = await self._persistence.queue_state(2 * free)
            if state.oldest_ready_seconds > self.interval_seconds:
                await self._dispatcher.ring_idle(state.ready)
