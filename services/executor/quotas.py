"""What one namespace may use of the installation: a share that is empty leaves the others alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flow_engine.clock import Clock
from flow_engine.errors import QuotaExceeded
from flow_engine.looping import Looping

INTERVAL_SECONDS = 1.0
STORAGE_SECONDS = 30.0
"""Between two counts of what is stored: they read much more than those of what is live."""
BURST_SECONDS = 2.0
"""So many seconds' worth of starts may come at once."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """Of each namespace; 0 is without limit."""

    running: int = 0
    queued: int = 0
    starts_per_second: float = 0.0
    storage_bytes: int = 0


class UsageSource(Protocol):
    async def live(self) -> Mapping[str, tuple[int, int]]:
        """(running, pending) by namespace."""
        ...

    async def stored(self) -> Mapping[str, int]:
        """Bytes of histories, values and definitions, by namespace."""
        ...


class QuotaKeeper(Looping):
    """The database's counts, at most a second old, and what was accepted here since.

    Other executors accept meanwhile too: a quota may be passed by what they take in a second.
    """

    def __init__(self, usage: UsageSource, quotas: Quotas, clock: Clock) -> None:
        super().__init__(INTERVAL_SECONDS)
        self._usage = usage
        self._quotas = quotas
        self._clock = clock
        self._running: defaultdict[str, int] = defaultdict(int)
        self._queued: defaultdict[str, int] = defaultdict(int)
        self._stored: Mapping[str, int] = {}
        self._count_stored_at = float("-inf")
        self._starts: dict[str, tuple[float, float]] = {}  # (left, as of)

    @property
    def full(self) -> Sequence[str]:
        """Namespaces that run as much as they may: nothing of them is claimed."""
        most = self._quotas.running
        return [name for name, running in self._running.items() if running >= most] if most else []

    async def turn(self) -> None:
        quotas = self._quotas
        if quotas.running or quotas.queued:
            live = await self._usage.live()
            self._running = defaultdict(int, {name: running for name, (running, _) in live.items()})
            self._queued = defaultdict(int, {name: queued for name, (_, queued) in live.items()})
        if quotas.storage_bytes and self._clock.monotonic() >= self._count_stored_at:
            self._stored = await self._usage.stored()
            self._count_stored_at = self._clock.monotonic() + STORAGE_SECONDS
        self._forget_idle()

    def admit(self, namespace: str, mode: str) -> None:
        """Count one more start in. Raises QuotaExceeded."""
        quotas = self._quotas
        if 0 < quotas.storage_bytes <= self._stored.get(namespace, 0):
            raise QuotaExceeded("storage", quotas.storage_bytes, "FLOW_NAMESPACE_STORAGE_BYTES", 60)
        count, most, name, setting = (
            (self._running, quotas.running, "running", "FLOW_NAMESPACE_RUNNING")
            if mode == "immediate"
            else (self._queued, quotas.queued, "queued", "FLOW_NAMESPACE_QUEUED")
        )
        if 0 < most <= count[namespace]:
            raise QuotaExceeded(name, most, setting, 5)
        self._take_turn(namespace)
        count[namespace] += 1

    def _take_turn(self, namespace: str) -> None:
        rate = self._quotas.starts_per_second
        if not rate:
            return
        now, most = self._clock.monotonic(), max(1.0, rate * BURST_SECONDS)
        left, as_of = self._starts.get(namespace, (most, now))
        left = min(most, left + (now - as_of) * rate)
        if left < 1:
            self._starts[namespace] = left, now
            raise QuotaExceeded("starts per second", rate, "FLOW_NAMESPACE_STARTS_PER_SECOND", 1)
        self._starts[namespace] = left - 1, now

    def _forget_idle(self) -> None:
        before = self._clock.monotonic() - 60
        for namespace in [name for name, (_, as_of) in self._starts.items() if as_of < before]:
            del self._starts[namespace]
