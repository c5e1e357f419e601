"""What operators see: workers, whichever executor they talk to, and what the queue is made of.

Workers are rows with heartbeats: each executor writes those that hold a session with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import (
    ColumnElement,
    Subquery,
    Text,
    and_,
    delete,
    func,
    literal_column,
    select,
    union_all,
    update,
)

from flow_engine.errors import WorkerNotFound
from flow_engine.ids import DEFAULT_NAMESPACE
from flow_engine.workflow.queue_keys import shown
from services.executor.persistence.admission import begun_since, slots_taken
from services.executor.persistence.contract import QueueState
from services.executor.persistence.database import Database
from services.executor.persistence.depth import SqlDepth
from services.executor.persistence.tables import (
    is_held,
    is_ready,
    is_status,
    names_of,
    workers,
    workflow_executions,
)
from services.executor.persistence.transaction import Transaction

SILENT_SECONDS = 15
"""A worker that no executor has heard of for so long is not alive."""
FORGOTTEN = timedelta(hours=1)
"""After so long its row goes. Until then it is remembered that it was told to drain."""
MOST_RUNNING = 100
"""Executions that are listed of each worker."""
MOST_GROUPS = 50
MOST_COUNTED = 10_000
"""Of the queue, for those who only want to know how much more there is than they can do."""

_e = workflow_executions.c
_w = workers.c
_LEASED_COLUMNS = (
    _e.id,
    _e.lease_owner,
    _e.workflow_id,
    _e.workflow_name,
    _e.started_at,
    _e.lease_expires_at,
)
_WORKER_COLUMNS = names_of(workers)
_DIVIDED = (
    *(_e.namespace, _e.priority, _e.workflow_id, _e.pending_since, _e.slot_wanted, _e.concurrency_limit),
    *(_e.rate_wanted, _e.rate_limit, _e.rate_period_ms),
)
_HEARD = ("executor_id", "slots", "free_slots", "capabilities", "seen_at", "connected")
"""What a heartbeat changes of a worker that is known."""


@dataclass(frozen=True, slots=True)
class WorkerWord:
    """What a worker says of itself."""

    worker_id: str
    hostname: str = ""
    process_id: int = 0
    version: str = ""
    slots: int = 0
    free_slots: int = 0
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveWorker:
    word: WorkerWord
    executor_id: str
    started_at: datetime
    seen_at: datetime
    draining: bool


@dataclass(frozen=True, slots=True)
class Leased:
    """An execution under a worker's lease."""

    execution_id: str
    owner: str
    workflow_id: str
    workflow_name: str
    started_at: datetime
    lease_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Depth:
    """A part of the queue. name: the priority, namespace or workflow id that it has in common."""

    name: str
    pending: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class KeyDepth:
    """A key that executions wait for. taken: slots, or starts within the last period."""

    kind: str  # concurrency, rateLimit
    workflow_id: str
    key: str
    limit: int
    period_ms: int
    taken: int
    waiting: int


@dataclass(frozen=True, slots=True)
class QueueOverview:
    now: datetime
    pending: int
    ready: int  # may be claimed now
    running: int
    waiting: int
    oldest_pending_seconds: float | None
    oldest_ready_seconds: float | None
    priorities: Sequence[Depth]
    namespaces: Sequence[Depth]
    workflows: Sequence[Depth]
    keys: Sequence[KeyDepth]
    partial: bool  # priorities and all that follows it tell of the oldest MOST_COUNTED of either kind


class SqlOperations:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._depth = SqlDepth(database)

    # Workers ----------------------------------------------------------------------------------

    async def heartbeat(self, executor_id: str, words: Collection[WorkerWord]) -> None:
        """These hold a session with this executor; others that did hold none any more."""

        async def work(transaction: Transaction) -> None:
            now = await transaction.now()
            rows = [_row(word, executor_id, now) for word in sorted(words, key=lambda word: word.worker_id)]
            changes = ", ".join(f"{name} = excluded.{name}" for name in _HEARD)
            await transaction.insert(
                workers, _WORKER_COLUMNS, rows, f"ON CONFLICT (worker_id) DO UPDATE SET {changes}"
            )
            gone = and_(
                _w.executor_id == executor_id,
                _w.connected.is_(True),
                _w.worker_id.not_in([word.worker_id for word in words]),
            )
            await transaction.execute(update(workers).where(gone).values(connected=False))
            await transaction.execute(delete(workers).where(_w.seen_at < now - FORGOTTEN))

        await self._database.write(work)

    async def now(self) -> datetime:
        return await self._database.time()

    async def live_workers(self) -> list[LiveWorker]:
        """Those that have been there longest come first."""
        now = await self._database.time()
        alive = and_(_w.connected.is_(True), _w.seen_at > now - timedelta(seconds=SILENT_SECONDS))
        statement = select(workers).where(alive).order_by(_w.started_at, _w.worker_id)
        return [_live_worker(row) for row in await self._database.read(statement)]

    async def drain(self, worker_id: str, *, draining: bool) -> LiveWorker:
        """Raises WorkerNotFound."""

        async def work(transaction: Transaction) -> None:
            await transaction.execute(
                update(workers).where(_w.worker_id == worker_id).values(draining=draining)
            )

        await self._database.write(work)
        for live in await self.live_workers():
            if live.word.worker_id == worker_id:
                return live
        raise WorkerNotFound(worker_id)

    async def schema(self) -> str:
        """Revision of the database."""
        rows = await self._database.read(sqlalchemy.text("SELECT version_num FROM alembic_version"))
        return str(rows[0].version_num) if rows else ""

    async def overdue_leases(self) -> int:
        """Executions whose lease ran out a minute ago or more: the sweepers should have seen that."""
        since = await self._database.time() - timedelta(seconds=60)
        statement = select(func.count().label("number")).where(
            is_status("running"), _e.lease_expires_at < since
        )
        (row,) = await self._database.read(statement)
        return int(row.number)

    async def needs_of_ready(self) -> list[tuple[str, ...]]:
        """What executions that may be claimed need of a worker, where they need something."""
        statement = select(_e.needs).where(is_ready(), _e.needs != "").distinct().limit(MOST_GROUPS)
        return [tuple(json.loads(row.needs)) for row in await self._database.read(statement)]

    async def leased(self, namespace: str) -> list[Leased]:
        """What workers run of a namespace, by worker, longest running first."""
        place = func.row_number().over(partition_by=_e.lease_owner, order_by=(_e.started_at, _e.id))
        of_workers = and_(
            is_status("running"), _e.lease_owner.startswith("worker:"), _e.namespace == namespace
        )
        ranked = select(*_LEASED_COLUMNS, place.label("place")).where(of_workers).subquery()
        statement = select(ranked).where(ranked.c.place <= MOST_RUNNING).order_by(ranked.c.place)
        return [Leased(*row[: len(_LEASED_COLUMNS)]) for row in await self._database.read(statement)]

    async def lease_counts(self) -> dict[str, int]:
        """How many executions each owner has leased."""
        statement = select(_e.lease_owner, func.count().label("number")).where(is_status("running"))
        rows = await self._database.read(statement.group_by(_e.lease_owner))
        return {row.lease_owner: row.number for row in rows}

    # The queue --------------------------------------------------------------------------------

    async def depth(self) -> QueueState:
        """Of all namespaces, counted up to MOST_COUNTED: cheap enough to be asked each second."""
        return await self._depth.state(MOST_COUNTED)

    async def queue(self, namespace: str, *, every_namespace: bool) -> QueueOverview:
        """every_namespace: tell how deep the queues of others are too."""
        visible = sqlalchemy.true() if every_namespace else _e.namespace == namespace
        now = await self._database.time()
        ready, oldest_ready = await self._count(and_(is_ready(), visible))
        held, oldest_held = await self._count(and_(is_held(), visible))
        oldest = [since for since in (oldest_ready, oldest_held) if since is not None]
        mine = self._in(namespace)
        parts = sqlalchemy.true() if every_namespace else mine
        return QueueOverview(
            now=now,
            pending=ready + held,
            ready=ready,
            running=(await self._count(and_(is_status("running"), visible)))[0],
            waiting=(await self._count(and_(_e.status == "waiting", _e.completed_at.is_(None), visible)))[0],
            oldest_pending_seconds=_age(now, min(oldest, default=None)),
            oldest_ready_seconds=_age(now, oldest_ready),
            priorities=await self._depths("priority", parts, now, by_name=True),
            namespaces=await self._depths("namespace", parts, now),
            workflows=await self._depths("workflow_id", mine, now),
            keys=[*await self._slots(namespace), *await self._rates(namespace, now)],
            partial=max(ready, held) > MOST_COUNTED,
        )

    def _in(self, namespace: str) -> ColumnElement[bool]:
        """For the oldest of a namespace. With the plus, SQLite uses no index that begins with it, which would
        make it sort all that is pending."""
        sqlite = literal_column(f"+{_e.namespace}", Text)
        return (sqlite if self._database.is_sqlite else _e.namespace) == namespace

    async def _slots(self, namespace: str) -> list[KeyDepth]:
        """The slots that most wait for."""
        number, held = func.count().label("number"), _oldest(is_held(), self._in(namespace)).c
        statement = (
            select(held.workflow_id, held.slot_wanted, func.max(held.concurrency_limit).label("most"), number)
            .where(held.slot_wanted != "")
            .group_by(held.workflow_id, held.slot_wanted)
        )
        found = []
        for row in await self._database.read(statement.order_by(number.desc()).limit(MOST_GROUPS)):
            (taken,) = await self._database.read(slots_taken(namespace, row.slot_wanted))
            key = shown(row.slot_wanted)
            found.append(KeyDepth("concurrency", row.workflow_id, key, row.most, 0, taken.number, row.number))
        return found

    async def _rates(self, namespace: str, now: datetime) -> list[KeyDepth]:
        """The rates that most wait for."""
        held = _oldest(is_held(), self._in(namespace)).c
        number, most = func.count().label("number"), func.max(held.rate_limit).label("most")
        period = func.max(held.rate_period_ms).label("period")
        statement = (
            select(held.workflow_id, held.rate_wanted, most, period, number)
            .where(held.rate_wanted != "")
            .group_by(held.workflow_id, held.rate_wanted)
        )
        found = []
        for row in await self._database.read(statement.order_by(number.desc()).limit(MOST_GROUPS)):
            since = now - timedelta(milliseconds=row.period)
            (begun,) = await self._database.read(begun_since(namespace, row.rate_wanted, since))
            key = shown(row.rate_wanted)
            depth = KeyDepth(
                "rateLimit", row.workflow_id, key, row.most, row.period, begun.number, row.number
            )
            found.append(depth)
        return found

    async def _count(self, which: ColumnElement[bool]) -> tuple[int, datetime | None]:
        statement = select(func.count().label("number"), func.min(_e.pending_since).label("oldest")).where(
            which
        )
        (row,) = await self._database.read(statement)
        return row.number, row.oldest

    async def _depths(
        self, name: str, which: ColumnElement[bool], now: datetime, *, by_name: bool = False
    ) -> list[Depth]:
        """The deepest parts; by_name: in the order of what they have in common."""
        both = [_oldest(kind, which) for kind in (is_ready(), is_held())]
        pending = union_all(*(select(one.c[name], one.c.pending_since) for one in both)).subquery().c
        count, oldest = func.count().label("number"), func.min(pending.pending_since).label("oldest")
        statement = select(pending[name].label("name"), count, oldest).group_by(pending[name])
        ordered = statement.order_by(pending[name] if by_name else count.desc(), pending[name])
        return [
            Depth(str(row.name), row.number, _age(now, row.oldest) or 0.0)
            for row in await self._database.read(ordered.limit(MOST_GROUPS))
        ]


def _oldest(kind: ColumnElement[bool], which: ColumnElement[bool]) -> Subquery:
    """The oldest of a kind, by its index: to read all of them would take longer the more there are."""
    return (
        select(*_DIVIDED)
        .where(kind, which)
        .order_by(_e.pending_since)
        .limit(literal_column(str(MOST_COUNTED)))
        .subquery()
    )


def _row(word: WorkerWord, executor_id: str, now: datetime) -> list[Any]:
    values = {
        "worker_id": word.worker_id,
        "namespace": DEFAULT_NAMESPACE,
        "executor_id": executor_id,
        "hostname": word.hostname,
        "process_id": word.process_id,
        "version": word.version,
        "slots": word.slots,
        "free_slots": word.free_slots,
        "capabilities": json.dumps(word.capabilities),
        "started_at": now,
        "seen_at": now,
        "connected": True,
        "draining": False,
    }
    return [values[name] for name in _WORKER_COLUMNS]


def _live_worker(row: sqlalchemy.Row[Any]) -> LiveWorker:
    word = WorkerWord(
        worker_id=row.worker_id,
        hostname=row.hostname,
        process_id=row.process_id,
        version=row.version,
        slots=row.slots,
        free_slots=row.free_slots,
        capabilities=tuple(json.loads(row.capabilities)),
    )
    return LiveWorker(word, row.executor_id, row.started_at, row.seen_at, row.draining)


def _age(now: datetime, since: datetime | None) -> float | None:
    return None if since is None else max(0.0, (now - since).total_seconds())
