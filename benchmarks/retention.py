"""Starts while old executions are deleted beside them, in PostgreSQL: a million of them by default.

The bound that must hold: the 95th percentile of a start is at most 1.5 times that of the same database at
rest. Stretches of rest lie between those of deleting, so that what else the machine does falls on both.

python -m benchmarks.retention [count]
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Collection, Sequence

import uvloop

from benchmarks.history import load
from benchmarks.persistence import new, private_cluster
from services.executor.persistence.database import Database
from services.executor.persistence.migrating import migrate
from services.executor.persistence.retention import SqlRetention
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.retention import RetentionSweeper, parse_retention

COUNT = 1_000_000
LIMIT = 1.5
QUIET_SECONDS, BUSY_SECONDS = 2.0, 8.0
PAUSE_SECONDS = 0.02
"""Between two starts: a usual load, not a flood."""


class CountedRetention(SqlRetention):
    """`idle` while no batch is under way."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.idle = asyncio.Event()
        self.idle.set()
        self.deleted, self.batches, self.seconds = 0, 0, 0.0

    async def delete(self, ids: Collection[str]) -> int:
        self.idle.clear()
        began = time.perf_counter()
        deleted = await super().delete(ids)
        self.seconds += time.perf_counter() - began
        self.deleted, self.batches = self.deleted + deleted, self.batches + 1
        self.idle.set()
        return deleted


class GatedSweeper(RetentionSweeper):
    """Begins no batch while the gate is shut."""

    gate: asyncio.Event

    async def _delete(self, ids: list[str]) -> int:
        await self.gate.wait()
        return await super()._delete(ids)


async def measure(url: str) -> int:
    store = SqlExecutionPersistence(url)
    await store.start()
    retention = CountedRetention(store.database)
    sweeper = GatedSweeper(parse_retention("30d"), retention, store, 600.0)
    sweeper.gate = gate = asyncio.Event()
    sweeping = asyncio.create_task(sweeper.turn())
    quiet: list[float] = []
    busy: list[float] = []
    await starts(store, QUIET_SECONDS)  # connections are made, statements prepared
    for stretch in itertools.count():
        deleting = stretch % 2 == 1
        if deleting:
            gate.set()
        else:
            gate.clear()
            await retention.idle.wait()
            if sweeping.done():
                break
        into, seconds = (busy, BUSY_SECONDS) if deleting else (quiet, QUIET_SECONDS)
        into += await starts(store, seconds, sweeping)
    await sweeping
    await store.stop()
    return told(retention, quiet, busy)


def told(retention: CountedRetention, quiet: Sequence[float], busy: Sequence[float]) -> int:
    ratio = p95(busy) / p95(quiet)
    size, milliseconds = retention.deleted / retention.batches, 1000 * retention.seconds / retention.batches
    print(f"{retention.deleted:,} deleted, {size:.0f} in a batch, which took {milliseconds:.0f} ms")
    for name, times in (("quiet", quiet), ("while deleting", busy)):
        print(f"  {len(times):6} starts, {name:14} p50 {p50(times):6.1f} ms, p95 {p95(times):6.1f} ms")
    print(f"  {ratio:.2f} × quiet (at most {LIMIT}): {'ok' if ratio <= LIMIT else 'BROKEN'}")
    return int(ratio > LIMIT)


async def starts(
    store: SqlExecutionPersistence, seconds: float, meanwhile: asyncio.Task[None] | None = None
) -> list[float]:
    """Milliseconds until each was committed; ends early when `meanwhile` has ended."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and not (meanwhile and meanwhile.done() and found):
        began = time.perf_counter()
        await store.create(new("queued"))
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


def p50(times: Sequence[float]) -> float:
    return sorted(times)[len(times) // 2]


def p95(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def main(arguments: Sequence[str]) -> int:
    count = int(arguments[0]) if arguments else COUNT
    with private_cluster() as url:
        migrate(url)
        print(f"{count:,} executions: {load(url, count, days_ago=60, events=True)}", flush=True)
        return uvloop.run(measure(url))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
