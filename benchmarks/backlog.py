"""Whether a deep queue slows down those who come: starts and claims with 100,000 executions pending, against
an empty queue.

Three backlogs: plain ones, all of one concurrency key that is at its limit, and a hundred such keys. Each is
compared with the empty queue before it on the same database.

python -m benchmarks.backlog [sqlite|postgresql] [depth]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks.persistence import private_cluster
from flow_engine.ids import new_execution_id
from flow_engine.interpreter.events import ExecutionCompleted, ExecutionCreated, encode_events
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import Payload
from services.executor.persistence.contract import (
    Claim,
    ClaimedExecution,
    ImmediateRun,
    NewExecution,
    Report,
    SlotPolicy,
)
from services.executor.persistence.migrating import migrate
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import execute

DEPTH = 100_000
MOST_RATIO = 1.3
ROUNDS = 300
SLOTS = 4
BLOCK = 2_000
BUSY = SlotPolicy("w/busy", 1)


def main(arguments: Sequence[str]) -> int:
    kinds = arguments[:1] or ["postgresql", "sqlite"]
    depth = int(arguments[1]) if len(arguments) > 1 else DEPTH
    met = True
    for kind in kinds:
        with database(kind) as url:
            met &= uvloop.run(measure(kind, url, depth))
    return 0 if met else 1


async def measure(kind: str, url: str, depth: int) -> bool:
    """Prints a table; whether every ratio is within the bound."""
    migrate(url)
    store = SqlExecutionPersistence(url)
    await store.start()
    await store.create(new(slot=BUSY), ImmediateRun("executor:1"))  # takes the only slot for good
    met = True
    try:
        await figures(store)  # fills caches
        empty = await figures(store)
        print(f"{kind}, {depth:,} pending, median of {ROUNDS} (limit: {MOST_RATIO} times the empty queue)")
        print(f"  {'empty':28} start {1000 * empty[0]:6.2f} ms         claim {1000 * empty[1]:6.2f} ms")
        for name, fill in BACKLOGS.items():
            await pile_up(store, depth, fill)
            refresh(url)
            full = await figures(store)
            ratios = [full[0] / empty[0], full[1] / empty[1]]
            met &= max(ratios) <= MOST_RATIO
            print(
                f"  {name:28} start {1000 * full[0]:6.2f} ms x {ratios[0]:4.2f}  "
                f"claim {1000 * full[1]:6.2f} ms x {ratios[1]:4.2f}"
                f"{'' if max(ratios) <= MOST_RATIO else '  NOT MET'}"
            )
            clear(url)
            refresh(url)
            empty = await figures(store)
    finally:
        await store.stop()
    return met


async def figures(store: SqlExecutionPersistence) -> tuple[float, float]:
    """Median seconds of a start and of a claim of four; what was claimed is completed."""
    starts: list[float] = []
    claims: list[float] = []
    for _ in range(ROUNDS):
        for _ in range(SLOTS):
            # Before everything that is pending, so that these come and go and the backlog stays.
            starts.append(await timed(lambda: store.create(new(priority=0, workflow_id="probe"))))
        claimed: list[ClaimedExecution] = []

        async def claim(claimed: list[ClaimedExecution] = claimed) -> None:
            claimed += await store.claim_next(Claim("worker:1", new_execution_id(), SLOTS, namespace=""))

        claims.append(await timed(claim))
        assert len(claimed) == SLOTS
        await asyncio.gather(*(complete(store, one) for one in claimed))
    return statistics.median(starts), statistics.median(claims)


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


async def complete(store: SqlExecutionPersistence, claimed: ClaimedExecution) -> None:
    end = ExecutionCompleted(time=datetime.now(UTC), output=1)
    give_up = GiveUp("completed", result=b'{"output":1,"steps":[]}')
    report = Report(
        owner="worker:1",
        execution_id=claimed.execution_id,
        epoch=claimed.epoch,
        report_no=1,
        seen_sequence=claimed.last_sequence,
        events_json=encode_events([end]),
        event_count=1,
        entry=Entry([end], give_up=give_up),
    )
    await store.report(report)


async def pile_up(store: SqlExecutionPersistence, depth: int, fill: Callable[[int], NewExecution]) -> None:
    for begin in range(0, depth, BLOCK):
        await asyncio.gather(*(store.create(fill(n)) for n in range(begin, min(depth, begin + BLOCK))))


def new(*, priority: int = 5, workflow_id: str = "w", **more: object) -> NewExecution:
    execution_id = new_execution_id()
    created = ExecutionCreated(
        time=datetime.now(UTC),
        definition_hash="d",
        mode="queued",
        requested_mode="auto",
        root_id=execution_id,
        workflow_id=workflow_id,
        priority=priority,
    )
    return NewExecution(execution_id, created, "d", b"{}", Payload.of(None), b"{}", **more)  # type: ignore[arg-type]


BACKLOGS: dict[str, Callable[[int], NewExecution]] = {
    "one queue": lambda n: new(),
    "one key at its limit": lambda n: new(priority=0, slot=BUSY),
    "a hundred keys at their limit": lambda n: new(priority=0, slot=SlotPolicy(f"w/{n % 100}", 1)),
}


def clear(url: str) -> None:
    for table, column in (
        ("execution_events", "execution_id"),
        ("outbox", "execution_id"),
        ("workflow_executions", "id"),
    ):
        execute(
            url,
            f"DELETE FROM {table} WHERE {column} IN "
            "(SELECT id FROM workflow_executions WHERE status = 'pending')",
        )


def refresh(url: str) -> None:
    """What autovacuum does within a minute."""
    execute(url, "ANALYZE" if url.startswith("sqlite") else "VACUUM ANALYZE")


@contextmanager
def database(kind: str) -> Iterator[str]:
    if kind == "postgresql":
        with private_cluster() as url:
            yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'flow.db'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
