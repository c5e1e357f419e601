"""Looks at everything that an executor needs, and says how to mend what is wrong."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from flow_engine.clock import Clock
from flow_engine.errors import FlowEngineError
from flow_engine.workflow.requirements import lacking
from services.executor.persistence.contract import QueueState
from services.executor.persistence.operations import LiveWorker

OK, WARNING, ERROR = "ok", "warning", "error"

MOST_SKEW_SECONDS = 1.0
"""Beyond it, times that executors write and times that the database writes do not fit together."""
SLOW_SECONDS = 0.25
OLD_SECONDS = 60.0
LEAST_FREE_BYTES = 1 << 30
LEAST_FREE_SHARE = 0.05
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: str  # ok, warning, error
    finding: str
    remedy: str = ""


class Rows(Protocol):
    async def live_workers(self) -> list[LiveWorker]: ...
    async def overdue_leases(self) -> int: ...
    async def needs_of_ready(self) -> list[tuple[str, ...]]: ...
    async def schema(self) -> str: ...


class Persistence(Protocol):
    async def ping(self) -> datetime: ...
    async def queue_state(self, most: int) -> QueueState: ...


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """ping_redis: raises Unavailable. needed_schema: revision. folder: of data and logs."""

    persistence: Persistence
    rows: Rows
    ping_redis: Callable[[], Awaitable[None]]
    needed_schema: Callable[[], str]
    database: str  # its kind, for people
    folder: Path
    most_pending: int
    clock: Clock

    async def checks(self) -> list[Check]:
        """In the order in which to mend; without a database nothing is said of what is in it."""
        first = await self._guarded("database", self._database, DATABASE_REMEDY)
        found = [*first]
        if first[0].state != ERROR:
            for name, look in (
                ("schema", self._schema),
                ("workers", self._workers),
                ("queue", self._queue),
                ("leases", self._leases),
            ):
                found += await self._guarded(name, look, DATABASE_REMEDY)
        found += await self._guarded("redis", self._redis, REDIS_REMEDY)
        found += await self._guarded("disk", self._disk, "see to FLOW_DATA_DIR")
        return found

    async def _guarded(
        self, name: str, look: Callable[[], Awaitable[list[Check]]], remedy: str
    ) -> list[Check]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await look()
        except TimeoutError:
            return [Check(name, ERROR, f"no answer within {PATIENCE_SECONDS:g} s", remedy)]
        except (FlowEngineError, OSError) as error:
            return [Check(name, ERROR, str(error), remedy)]

    async def _database(self) -> list[Check]:
        began, before = time.perf_counter(), self.clock.now()
        now = await self.persistence.ping()
        seconds = time.perf_counter() - began
        middle = before + (self.clock.now() - before) / 2
        return [
            database_check(self.database, seconds),
            skew_check("databaseClock", "database", (now - middle).total_seconds()),
        ]

    async def _schema(self) -> list[Check]:
        return [schema_check(await self.rows.schema(), self.needed_schema())]

    async def _workers(self) -> list[Check]:
        return workers_checks(await self.rows.live_workers(), await self.rows.needs_of_ready())

    async def _queue(self) -> list[Check]:
        return [queue_check(await self.persistence.queue_state(self.most_pending), self.most_pending)]

    async def _leases(self) -> list[Check]:
        overdue = await self.rows.overdue_leases()
        if not overdue:
            return [Check("leases", OK, "no lease has run out unnoticed")]
        finding = f"{overdue:,} executions have leases that ran out a minute ago"
        return [Check("leases", ERROR, finding, "no executor sweeps: look for loop.failed in their logs")]

    async def _redis(self) -> list[Check]:
        began = time.perf_counter()
        await self.ping_redis()
        return [Check("redis", OK, f"answers in {1000 * (time.perf_counter() - began):.1f} ms")]

    async def _disk(self) -> list[Check]:
        usage = await asyncio.to_thread(shutil.disk_usage, self.folder)
        return [disk_check(str(self.folder), usage.free, usage.total)]


DATABASE_REMEDY = "start the database that DATABASE_URL names, or correct it; starts are refused until then"
REDIS_REMEDY = (
    "start the server that REDIS_URL names, or correct it; meanwhile starts are accepted, and workers ask "
    "for work every 2 s instead of being told"
)


def database_check(kind: str, seconds: float) -> Check:
    finding = f"{kind} answers in {1000 * seconds:.1f} ms"
    if seconds <= SLOW_SECONDS:
        return Check("database", OK, finding)
    return Check("database", WARNING, finding, "every step waits for it: see to its load and its network")


def skew_check(name: str, whose: str, seconds: float) -> Check:
    """seconds: how far that clock is ahead of ours."""
    direction = "ahead of" if seconds > 0 else "behind"
    finding = f"the {whose}'s clock is {abs(seconds):.1f} s {direction} ours"
    if abs(seconds) <= MOST_SKEW_SECONDS:
        return Check(name, OK, f"the {whose}'s clock agrees with ours")
    return Check(name, WARNING, finding, "let NTP keep both; leases go by the database's, logs by ours")


def schema_check(found: str, needed: str) -> Check:
    if found == needed:
        return Check("schema", OK, f"at revision {found}")
    finding = f"the database is at revision {found or 'none'}, this program needs {needed}"
    newer = found > needed
    return Check("schema", ERROR, finding, "update the program" if newer else "run `flow db upgrade`")


def workers_checks(workers: Sequence[LiveWorker], needs: Collection[tuple[str, ...]]) -> list[Check]:
    """needs: what executions that may be claimed need of a worker."""
    takers = [live for live in workers if not live.draining]
    slots, free = (sum(getattr(live.word, name) for live in takers) for name in ("slots", "free_slots"))
    versions = sorted({live.word.version for live in workers})
    if not workers:
        return [Check("workers", ERROR, "no worker is alive", "start one with `flow worker`")]
    if not takers:
        return [Check("workers", ERROR, "all workers drain", "start one, or `flow drain --undo ID`")]
    finding = f"{len(takers)} take work, {free} of {slots} slots free, version {', '.join(versions)}"
    checks = [Check("workers", OK, finding)]
    for need in sorted(needs):
        if all(lacking(need, live.word.capabilities) for live in takers):
            what = ", ".join(need)
            remedy = "start a worker that has it, or purge what needs it"
            checks.append(Check("workers", WARNING, f"executions are pending that need {what}", remedy))
    return checks


def queue_check(state: QueueState, most: int) -> Check:
    finding = f"{state.pending:,} pending, the oldest for {state.oldest_pending_seconds:.0f} s"
    if state.pending >= most:
        return Check("queue", ERROR, finding, "it is full (FLOW_QUEUE_MAX_PENDING): add workers or purge")
    if state.ready and state.oldest_pending_seconds > OLD_SECONDS:
        return Check("queue", WARNING, finding, "add workers, or see `flow queue` for what they wait for")
    return Check("queue", OK, finding if state.pending else "nothing is pending")


def disk_check(folder: str, free: int, total: int) -> Check:
    finding = f"{free / (1 << 30):.1f} GiB free of {total / (1 << 30):.0f} at {folder}"
    if free < LEAST_FREE_BYTES // 10:
        return Check("disk", ERROR, finding, "make room: the database stops when the disk is full")
    if free < LEAST_FREE_BYTES or free < LEAST_FREE_SHARE * total:
        return Check("disk", WARNING, finding, "make room before the database stops")
    return Check("disk", OK, finding)
