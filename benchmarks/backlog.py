"""Whether a deep queue slows down those who come: starts, claims, and slots that are handed on.

Two databases of a kind stand side by side and are asked in turn, so that whatever disturbs the machine
meets both: in the one 100,000 executions are pending, in the other one of each sort. Five backlogs: one
queue, two namespaces, one concurrency key at its limit, a hundred such keys, and two namespaces in which
half may be claimed and half waits for a hundred keys.

python -m benchmarks.backlog [sqlite|postgresql] [depth]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from flow_engine.clock import SystemClock
from flow_engine.ids import new_execution_id
from flow_engine.interpreter.events import ExecutionCompleted, ExecutionCreated, encode_events
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import Payload
from services.executor.admission import Admission
from services.executor.persistence.contract import Claim, ClaimedExecution, NewExecution, Report, SlotPolicy
from services.executor.persistence.migrating import migrate
from services.executor.persistence.row import Line
from services.executor.persistence.store import SqlExecutionPersistence
from tests.infra.postgres import PostgresCluster
from tests.integration.persistence.stage import execute

DEPTH = 100_000
MOST_RATIO = 1.3
ROUNDS = 200
LOOKS = 20
SLOTS = 4
BLOCK = 2_000
WORKER = "worker:1"
HELD = [{"priority": 0, "slot": SlotPolicy(f"w/{n}", 1)} for n in range(100)]


@dataclass(frozen=True, slots=True)
class Backlog:
    """sorts: what differs between its executions, in turn."""

    name: str
    sorts: Sequence[dict[str, Any]]

    @property
    def held(self) -> list[dict[str, Any]]:
        return [sort for sort in self.sorts if "slot" in sort]


BACKLOGS = (
    Backlog("one queue", [{}]),
    Backlog("two namespaces", [{"namespace": "a"}, {"namespace": "b"}]),
    Backlog("one key at its limit", HELD[:1]),
    Backlog("a hundred keys at their limit", HELD),
    Backlog(
        "two namespaces, half of it held",
        [{"namespace": name, **sort} for held in HELD for name in ("a", "b") for sort in ({}, held)],
    ),
)


def main(arguments: Sequence[str]) -> int:
    kinds = arguments[:1] or ["postgresql", "sqlite"]
    depth = int(arguments[1]) if len(arguments) > 1 else DEPTH
    met = True
    for kind in kinds:
        print(f"{kind}, {depth:,} pending; × what it takes with one of each sort, at most {MOST_RATIO}")
        heads = "".join(f"{head:>17}" for head in ("start", "claim of four", "slot handed on"))
        print(f"  {'':31}{heads}{'place':>11}{'depth':>11}")
        for backlog in BACKLOGS:
            with databases(kind) as urls:
                met &= uvloop.run(measure(urls, backlog, depth))
    return 0 if met else 1


async def measure(urls: Sequence[str], backlog: Backlog, depth: int) -> bool:
    """Prints a line; whether every ratio is within the bound."""
    shallow, deep = benches = [Bench(url, backlog) for url in urls]
    await shallow.open(len(backlog.sorts))
    await deep.open(depth)
    try:
        for _ in range(ROUNDS):
            for bench in benches:
                await bench.round()
        looks = await deep.looks()
    finally:
        for bench in benches:
            await bench.store.stop()
    columns, worst = "", 0.0
    for small, great in zip(shallow.times, deep.times, strict=True):
        if not great:
            columns += f"{'–':>17}"
            continue
        ratio = statistics.median(great) / statistics.median(small)
        worst = max(worst, ratio)
        columns += f"{1000 * statistics.median(great):8.2f} ms ×{ratio:5.2f}"
    columns += "".join(f"{1000 * seconds:8.2f} ms" for seconds in looks)
    print(f"  {backlog.name:31}{columns}{'' if worst <= MOST_RATIO else '  NOT MET'}", flush=True)
    return worst <= MOST_RATIO


class Bench:
    """A database with a backlog. Of each key in it somebody holds the only slot."""

    def __init__(self, url: str, backlog: Backlog) -> None:
        self.url = url
        self.store = SqlExecutionPersistence(url)
        self.starts: list[float] = []
        self.claims: list[float] = []
        self.hand_ons: list[float] = []
        self._backlog = backlog
        self._admission = Admission(self.store.admission, lambda: None, SystemClock())
        self._holders: list[ClaimedExecution] = []
        self._last = new()

    @property
    def times(self) -> tuple[list[float], ...]:
        """Seconds of each start, claim, and slot handed on."""
        return self.starts, self.claims, self.hand_ons

    async def open(self, depth: int) -> None:
        migrate(self.url)
        await self.store.start()
        for sort in self._backlog.held:
            await self.store.create(new(**sort))
            await self._admit(sort)
            self._holders += await self._claim(1)
        sorts = self._backlog.sorts
        for begin in range(0, depth, BLOCK):
            some = [new(**sorts[n % len(sorts)]) for n in range(begin, min(depth, begin + BLOCK))]
            await asyncio.gather(*(self.store.create(each) for each in some))
            self._last = some[-1]
        # What autovacuum does within a minute, and who runs SQLite may do at any time.
        execute(self.url, "ANALYZE" if self.store.database.is_sqlite else "VACUUM ANALYZE")

    async def round(self) -> None:
        """Some start, are claimed and end; where there are keys, the first of a line takes over a slot."""
        for n in range(SLOTS):
            # Before everything that is pending, so that these come and go and the backlog stays.
            namespace = self._backlog.sorts[n % len(self._backlog.sorts)].get("namespace", "default")
            probe = new(namespace=namespace, priority=0)
            self.starts.append(await timed(self.store.create(probe)))
        began = time.perf_counter()
        claimed = await self._claim(SLOTS)
        self.claims.append(time.perf_counter() - began)
        assert len(claimed) == SLOTS
        await asyncio.gather(*(complete(self.store, one) for one in claimed))
        if self._holders:
            await self._hand_on(self._backlog.held[0])

    async def _hand_on(self, sort: dict[str, Any]) -> None:
        await self.store.create(new(**sort))  # the line stays as long as it is
        await complete(self.store, self._holders[0])
        self.hand_ons.append(await timed(self._admit(sort)))
        (self._holders[0],) = await self._claim(1, sort.get("namespace", ""))

    async def _admit(self, sort: dict[str, Any]) -> None:
        self._admission.opened([Line(sort.get("namespace", "default"), sort["slot"].key, None)])
        await self._admission.turn()

    async def _claim(self, slots: int, namespace: str = "") -> list[ClaimedExecution]:
        return await self.store.claim_next(Claim(WORKER, new_execution_id(), slots, namespace=namespace))

    async def looks(self) -> tuple[float, float]:
        """Seconds to tell the place of the one that came last, and how deep the queue is."""
        last, store = self._last, self.store
        place, state = [], []
        for _ in range(LOOKS):
            if last.slot is None:
                place.append(await timed(store.queue_position(last.id, last.namespace)))
            else:
                place.append(
                    await timed(store.admission.slot_standing(last.id, last.namespace, last.slot.key))
                )
            state.append(await timed(store.queue_state(DEPTH)))
        return statistics.median(place), statistics.median(state)


async def timed(call: Awaitable[object]) -> float:
    began = time.perf_counter()
    await call
    return time.perf_counter() - began


async def complete(store: SqlExecutionPersistence, claimed: ClaimedExecution) -> None:
    end = ExecutionCompleted(time=datetime.now(UTC), output=1)
    give_up = GiveUp("completed", result=b'{"output":1,"steps":[]}')
    report = Report(
        owner=WORKER,
        execution_id=claimed.execution_id,
        epoch=claimed.epoch,
        report_no=1,
        seen_sequence=claimed.last_sequence,
        events_json=encode_events([end]),
        event_count=1,
        entry=Entry([end], give_up=give_up),
    )
    await store.report(report)


def new(*, priority: int = 5, **more: Any) -> NewExecution:
    execution_id = new_execution_id()
    created = ExecutionCreated(
        time=datetime.now(UTC),
        definition_hash="d",
        mode="queued",
        requested_mode="auto",
        root_id=execution_id,
        workflow_id="w",
        priority=priority,
    )
    return NewExecution(execution_id, created, "d", b"{}", Payload.of(None), b"{}", **more)


@contextmanager
def databases(kind: str) -> Iterator[Sequence[str]]:
    """Two of a kind, with nothing in them."""
    if kind == "postgresql":
        cluster = PostgresCluster(durable=True)
        try:
            cluster.start()
            yield cluster.create_database(), cluster.create_database()
        finally:
            cluster.remove()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield [f"sqlite:///{Path(folder) / name}" for name in ("shallow.db", "deep.db")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
