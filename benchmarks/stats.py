"""Statistics and searches on a long history: a million executions in PostgreSQL by default.

Bounds that must hold: statistics below 300 ms, a page of any search below 50 ms. Each query is asked
a few times and its median counts; the fastest and the slowest answer tell how far others use the machine.

python -m benchmarks.stats [count | URL]      URL: of a database that such a history was loaded into
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import uvloop

from benchmarks.history import DAYS, RARE_ERROR, RARE_TEXT, load
from benchmarks.persistence import private_cluster
from flow_engine.v1 import stats_pb2 as pb
from services.executor.persistence.contract import ExecutionFilter
from services.executor.persistence.migrating import migrate
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.servicers.stats_messages import stats_query
from services.executor.stats.figures import StatsQuery

COUNT = 1_000_000
TIMES = 7
STATS_MS, PAGE_MS = 300, 50
PAGE = 50

SEARCHES: dict[str, dict[str, Any]] = {
    "everything": {},
    "a workflow": {"workflow_id": "workflow-1"},
    "a rare workflow": {"workflow_id": "workflow-150"},
    "failed": {"statuses": ("failed",)},
    "paused (a handful)": {"statuses": ("paused",)},
    "live": {"statuses": ("pending", "running", "paused", "waiting")},
    "queued": {"mode": "queued"},
    "immediate and failed": {"mode": "immediate", "statuses": ("failed",)},
    "failed of a workflow": {"workflow_id": "workflow-2", "statuses": ("failed",)},
    "a common tag": {"tags": ("eu",)},
    "a tag of one customer": {"tags": ("customer-777",)},
    "two tags": {"tags": ("eu", "nightly")},
    "two tags, one of one customer": {"tags": ("eu", "customer-777")},
    "a tag and failed": {"tags": ("nightly",), "statuses": ("failed",)},
    "a tag and paused": {"tags": ("nightly",), "statuses": ("paused",)},
    "a tag of a rare workflow": {"tags": ("eu",), "workflow_id": "workflow-150"},
    "a tag and an error code": {"tags": ("eu",), "error_code": "TIMEOUT"},
    "shorter than 10 ms": {"max_duration_ms": 10},
    "longer than 10 min": {"min_duration_ms": 600_000},
    "100 to 120 ms": {"min_duration_ms": 100, "max_duration_ms": 120},
    "longer than 1 s and failed": {"min_duration_ms": 1000, "statuses": ("failed",)},
    "longer than 1 s of a workflow": {"min_duration_ms": 1000, "workflow_id": "workflow-150"},
    "an error code": {"error_code": "TIMEOUT"},
    "a rare error code": {"error_code": RARE_ERROR},
    "a common text": {"error_text": "after"},
    "a rare text": {"error_text": RARE_TEXT},
    "no such text": {"error_text": "nobody ever said this"},
    "a text of a workflow": {"error_text": "host-77", "workflow_id": "workflow-3"},
    "a text and a code": {"error_text": "host-77", "error_code": "TIMEOUT"},
}


async def measure(url: str) -> int:
    store = SqlExecutionPersistence(url)
    await store.start()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    broken = await tell("floor: the time of the database", None, store.ping)
    for name, query in stats_queries().items():
        broken += await tell(name, STATS_MS, lambda q=query: store.statistics.read(q))  # type: ignore[misc]
    now = datetime.now(UTC)
    for name, given in SEARCHES.items():
        where = ExecutionFilter(**given)
        broken += await tell(name, PAGE_MS, lambda w=where: store.list(w, PAGE))  # type: ignore[misc]
        if name in ("everything", "failed", "a common tag"):
            old = (now - timedelta(days=DAYS - 1), "")
            broken += await tell(f"{name}, deep page", PAGE_MS, lambda w=where, o=old: store.list(w, PAGE, o))  # type: ignore[misc]
    week = {"created_after": now - timedelta(days=14), "created_before": now - timedelta(days=7)}
    for name, given in (
        ("failed in one week", {"statuses": ("failed",)}),
        ("the same of a workflow", {"statuses": ("failed",), "workflow_id": "workflow-2"}),
        ("the same with a tag", {"statuses": ("failed",), "workflow_id": "workflow-2", "tags": ("eu",)}),
    ):
        where = ExecutionFilter(**week, **given)  # type: ignore[arg-type]
        broken += await tell(name, PAGE_MS, lambda w=where: store.list(w, PAGE))  # type: ignore[misc]
    for name in ("failed", "a common tag", "a rare text", "a tag and failed"):
        where = ExecutionFilter(**SEARCHES[name])
        await tell(f"count: {name}", None, lambda w=where: store.count(w, 100_000))  # type: ignore[misc]
    await store.stop()
    return int(broken > 0)


def stats_queries() -> dict[str, StatsQuery]:
    now = datetime.now(UTC)

    def query(days: float, workflow_id: str = "") -> StatsQuery:
        request = pb.GetStatsRequest(workflow_id=workflow_id)
        request.start_time.FromDatetime(now - timedelta(days=days))
        return stats_query(request, now, "default", ())

    return {
        "stats of an hour": query(1 / 24),
        "stats of a day": query(1),
        "stats of 7 days": query(7),
        "stats of 30 days": query(30),
        "stats of a workflow, a day": query(1, "workflow-1"),
        "stats of a workflow, 30 days": query(30, "workflow-1"),
    }


async def tell(name: str, bound_ms: int | None, ask: Callable[[], Awaitable[Any]]) -> int:
    """1 when the bound is broken."""
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    median = statistics.median(times)
    verdict = "" if bound_ms is None else f"< {bound_ms} ms {'ok' if median < bound_ms else 'BROKEN'}"
    spread = f"(fastest {min(times):6.1f}, slowest {max(times):6.1f})"
    print(f"  {name:32} {median:7.1f} ms  {spread}  {verdict}", flush=True)
    return int(bound_ms is not None and median >= bound_ms)


def main(arguments: Sequence[str]) -> int:
    if arguments and "://" in arguments[0]:
        return uvloop.run(measure(arguments[0]))
    count = int(arguments[0]) if arguments else COUNT
    with private_cluster() as url:
        migrate(url)
        print(f"{count:,} executions: {load(url, count)}", flush=True)
        return uvloop.run(measure(url))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
