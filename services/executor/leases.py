"""Keeps the leases of all executions that this executor runs, by one UPDATE each third of a lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from flow_engine.clock import Clock
from flow_engine.ids import ExecutionId
from flow_engine.looping import Looping
from services.executor.persistence.contract import ExecutionPersistence

log = structlog.get_logger()

RETRY_SECONDS = 0.5
"""Between attempts while the database does not answer."""


@dataclass(slots=True)
class Lease:
    """One execution, for as long as we are sure of it."""

    execution_id: ExecutionId
    epoch: int
    sure_until: float  # by the monotonic clock
    lost: Callable[[], None]  # called once when it is no longer ours


class LeaseKeeper(Looping):
    """A lease that could not be renewed is given up a little before the database would take it."""

    def __init__(
        self, persistence: ExecutionPersistence, owner: str, lease_seconds: float, clock: Clock
    ) -> None:
        super().__init__(lease_seconds / 3)
        self.owner = owner
        self.lease_seconds = lease_seconds
        self._margin_seconds = min(5.0, lease_seconds / 5)
        self._persistence = persistence
        self._clock = clock
        self._leases: dict[ExecutionId, Lease] = {}

    def hold(self, execution_id: ExecutionId, epoch: int, asked_at: float, lost: Callable[[], None]) -> Lease:
        """asked_at: monotonic time at which the lease was asked for; the database's starts later."""
        lease = Lease(execution_id, epoch, self._end(asked_at), lost)
        self._leases[execution_id] = lease
        return lease

    def drop(self, execution_id: ExecutionId) -> None:
        self._leases.pop(execution_id, None)

    def sure(self, lease: Lease) -> bool:
        return self._clock.monotonic() < lease.sure_until

    @property
    def held(self) -> int:
        return len(self._leases)

    async def turn(self) -> None:
        leases = list(self._leases.values())
        if leases:
            async with asyncio.timeout(self.lease_seconds / 6):
                await self._renew(leases)
        self.interval_seconds = self.lease_seconds / 3

    async def _renew(self, leases: list[Lease]) -> None:
        asked_at = self._clock.monotonic()
        lost = await self._persistence.renew_leases(
            self.owner, [(lease.execution_id, lease.epoch) for lease in leases]
        )
        for lease in leases:
            if lease.execution_id in lost:
                self._lose(lease)
            else:
                lease.sure_until = self._end(asked_at)

    def failed(self, error: Exception) -> None:
        self.interval_seconds = RETRY_SECONDS
        for lease in list(self._leases.values()):
            if not self.sure(lease):
                self._lose(lease)

    def _lose(self, lease: Lease) -> None:
        if self._leases.get(lease.execution_id) is lease:  # it may have ended meanwhile
            del self._leases[lease.execution_id]
            log.warning("lease.lost", execution_id=lease.execution_id, epoch=lease.epoch)
            lease.lost()

    def _end(self, asked_at: float) -> float:
        return asked_at + self.lease_seconds - self._margin_seconds
