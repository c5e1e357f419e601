"""Starts while old executions are deleted beside them, in PostgreSQL: a million of them by default.

The bound that must hold: the 95th percentile of a start is at most 1.5 times that of the same database at
rest, before and after.

python -m benchmarks.retention [count]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence

import psycopg
import uvloop

from benchmarks.history import load
from benchmarks.persistence import new, private_cluster
from services.executor.persistence.migrating import migrate
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.retention import RetentionSweeper, parse_retention

COUNT = 1_000_000
LIMIT = 1.5
QUIET_SECONDS = 10.0
PAUSE_SECONDS = 0.02
"""Between two starts: a usual load, not a flood."""


async def measure(url: str, count: int) -> int:
    migrate(url)
    store = SqlExecutionPersistence(url)
    await store.start()
    print(f"{count:,} executions: {await asyncio.to_thread(load, url, count, days_ago=60, events=True)}")
    sweeper = RetentionSweeper(parse_retention("30d"), store.retention, store, 600.0)
    quiet = await starts(store, lasting(QUIET_SECONDS))
    before, began = rows(url), time.perf_counter()
    sweeping = asyncio.create_task(sweeper.turn())
    busy = await starts(store, lambda: not sweeping.done())
    await sweeping
    took = time.perf_counter() - began
    deleted = before + len(busy) - rows(url)
    quiet += await starts(store, lasting(QUIET_SECONDS))
    await store.stop()
    ratio = p95(busy) / p95(quiet)
    print(f"{deleted:,} of {count:,} deleted in {took:.0f} s, {deleted / took:,.0f}/s")
    print(f"  p95 of a start: quiet {p95(quiet):.1f} ms, while deleting {p95(busy):.1f} ms")
    print(f"  {ratio:.2f} × quiet (at most {LIMIT}): {'ok' if ratio <= LIMIT else 'BROKEN'}")
    return int(ratio > LIMIT)


async def starts(store: SqlExecutionPersistence, go_on: Callable[[], bool]) -> list[float]:
    """Milliseconds until each was committed."""
    found: list[float] = []
    while go_on() or not found:
        began = time.perf_counter()
        await store.create(new("queued"))
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


def lasting(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def rows(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT count(*) FROM workflow_executions").fetchone()
    assert found
    return int(found[0])


def p95(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def main(arguments: Sequence[str]) -> int:
    count = int(arguments[0]) if arguments else COUNT
    with private_cluster() as url:
        return uvloop.run(measure(url, count))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
