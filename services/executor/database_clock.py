"""The database's time without asking it each time: one sample, and what has passed since."""

from __future__ import annotations

from datetime import datetime, timedelta

from flow_engine.clock import Clock
from flow_engine.looping import Looping
from services.executor.persistence.contract import ExecutionPersistence

RESAMPLE_SECONDS = 30.0
"""Crystals drift by some 50 µs a second."""


class DatabaseClock(Looping):
    """Never goes back, also when a new sample is behind."""

    def __init__(self, persistence: ExecutionPersistence, clock: Clock) -> None:
        super().__init__(RESAMPLE_SECONDS)
        self._persistence = persistence
        self._clock = clock
        self._sampled_at = clock.monotonic()
        self._sample = clock.now()
        self._last = self._sample

    async def start(self) -> None:
        """Raises Unavailable when the database does not answer."""
        await self.turn()
        self._last = self._sample
        await super().start()

    async def turn(self) -> None:
        before = self._clock.monotonic()
        sample = await self._persistence.ping()
        # The answer was made somewhere between asking and now.
        self._sampled_at = (before + self._clock.monotonic()) / 2
        self._sample = sample

    def now(self) -> datetime:
        elapsed = self._clock.monotonic() - self._sampled_at
        self._last = max(self._last, self._sample + timedelta(seconds=elapsed))
        return self._last
