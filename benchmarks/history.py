"""A synthetic history in PostgreSQL: executions of many workflows over a month, loaded by COPY.

What is rare in a real one is rare here: a handful of paused executions, one error code of a dozen that
occurs five times, tags of single customers. The counts are made by the code that counts in earnest.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any, LiteralString

import psycopg
import uvloop
from psycopg import sql
from sqlalchemy import Boolean, Column, Integer, LargeBinary, Table

from flow_engine.interpreter.events import Failure
from flow_engine.interpreter.steps import Result, Step
from flow_engine.payload import encode
from services.executor.persistence.contract import TERMINAL
from services.executor.persistence.stats_tables import ended_executions
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.persistence.tables import (
    Instant,
    duration_class,
    execution_errors,
    execution_events,
    execution_tags,
    workflow_executions,
)
from services.executor.stats.tally import Ended

DAYS = 30
WORKFLOWS = 200
PORTION = 10_000
IN = {"namespace": "default"}
LOADED = (workflow_executions, execution_tags, execution_errors, execution_events)
NODE_TYPES = {
    "fetch": "http.request",
    "shape": "data.transform",
    "keep": "database.query",
    "tell": "email.send",
}
ERRORS = ("TIMEOUT", "HTTP_STATUS", "CONNECT_FAILED", "EXPRESSION_FAILED", "OUTPUT_INVALID", "WORKER_LOST")
RARE_ERROR = "STEP_IN_DOUBT"
RARE_TEXT = "the moon is in the wrong phase"
RARE_EVERY = 200_000
"""One in so many executions is of each rare kind."""


@dataclass(frozen=True, slots=True)
class Made:
    """An execution as it is counted, and its row."""

    ended: Ended
    row: dict[str, Any]
    tags: tuple[str, ...]
    error: Failure | None


def make(count: int, until: datetime, numbers: range) -> Iterator[Made]:
    """Those of `count` executions that have these numbers: oldest first, the last one just before `until`."""
    chance = random.Random(numbers.start)
    step = timedelta(days=DAYS) / count
    for n in numbers:
        yield made(chance, n, until - step * (count - n))


def made(chance: random.Random, n: int, created: datetime) -> Made:
    workflow = f"workflow-{min(int(chance.paretovariate(0.7)), WORKFLOWS)}"
    mode = "queued" if chance.random() < 0.3 else "immediate"
    status = chance.choices(["completed", "failed", "cancelled"], [94, 4.5, 1.5])[0]
    rare = n % RARE_EVERY
    if rare in (1, 2):
        status, mode = ("paused", "waiting")[rare - 1], "queued"
    started = created + timedelta(milliseconds=chance.expovariate(1 / 300) if mode == "queued" else 0)
    took = timedelta(milliseconds=chance.lognormvariate(5, 1.5) * (10_000 if rare == 3 else 1))
    ended_at = started + took
    error = failure(chance, rare) if status == "failed" or rare in (4, 5) else None
    status = "failed" if error else status
    tags = tuple(
        tag
        for tag, share in (("nightly", 0.2), ("eu", 0.4), (f"customer-{n % 50_000}", 0.1))
        if chance.random() < share
    )
    estimate = took / timedelta(milliseconds=1) * chance.lognormvariate(0, 0.3)
    id_ = execution_id(created, chance)
    ended = Ended(
        id=id_,
        namespace="default",
        workflow_id=workflow,
        status=status,
        mode=mode,
        decided_mode="queued" if mode == "queued" and chance.random() < 0.9 else "immediate",
        estimate_ms=estimate,
        retry_of="",
        created_at=created,
        started_at=started,
        completed_at=ended_at,
        error_code=error.code if error else "",
        error_message=error.message if error else "",
        steps=steps(chance, started, took),
        node_types=NODE_TYPES,
    )
    return Made(ended, row_of(ended, tags, error), tags, error)


def failure(chance: random.Random, rare: int) -> Failure:
    if rare == 4:
        return Failure(RARE_ERROR, "whether it took effect is unknown")
    if rare == 5:
        return Failure("HTTP_STATUS", f"the server says: {RARE_TEXT}")
    code = chance.choice(ERRORS)
    return Failure(
        code, f"{code.lower()} after {chance.randrange(100_000)} ms at host-{chance.randrange(500)}"
    )


def steps(chance: random.Random, started: datetime, took: timedelta) -> list[Step]:
    share = took / len(NODE_TYPES)
    return [
        Step(
            node, "completed", 1 + (chance.random() < 0.02), started + n * share, started + (n + 1) * share, 0
        )
        for n, node in enumerate(NODE_TYPES)
    ]


def row_of(ended: Ended, tags: Sequence[str], error: Failure | None) -> dict[str, Any]:
    over, took = ended.status in TERMINAL, ended.duration_us or 0
    return {
        "id": ended.id,
        "namespace": ended.namespace,
        "workflow_id": ended.workflow_id,
        "workflow_name": ended.workflow_id.title(),
        "definition_hash": "definition",
        "requested_mode": "auto",
        "priority": 5,
        "tags": encode(tags).decode(),
        "metadata": encode(
            {"complexity": {"mode": ended.decided_mode, "estimatedDurationMs": ended.estimate_ms}}
        ).decode(),
        "root_id": ended.id,
        "created_at": ended.created_at,
        "status": ended.status,
        "execution_mode": ended.mode,
        "started_at": ended.started_at,
        "completed_at": ended.completed_at if over else None,
        "duration_class": duration_class(took // 1000) if over else None,
        "result": encode(Result(output=1, steps=list(ended.steps))).decode() if over else None,
        "error": encode(error).decode() if error else None,
        "last_sequence": 10,
        "last_event_at": ended.completed_at,
        "queue_order": ended.created_at,
    }


def execution_id(created: datetime, chance: random.Random) -> str:
    """A UUIDv7 of that moment."""
    value = int(created.timestamp() * 1000) << 80 | chance.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


@dataclass(frozen=True, slots=True)
class Loading:
    url: str
    count: int
    until: datetime
    events: bool

    def portion(self, first: int) -> float:
        """Executions from that one on; processor seconds of counting them, without the database's."""
        numbers = range(first, min(first + PORTION, self.count))
        portion = list(make(self.count, self.until, numbers))
        with psycopg.connect(self.url, autocommit=True) as connection:
            copy_all(connection, portion, events=self.events)
        began = time.process_time()
        if not self.events:
            uvloop.run(self._count([one.ended for one in portion if one.ended.status in TERMINAL]))
        return time.process_time() - began

    async def _count(self, over: Sequence[Ended]) -> None:
        # One process counts at a time, and the other may have to wait for it.
        store = SqlExecutionPersistence(f"{self.url}?options=-c%20lock_timeout%3D60s")
        await store.start()
        await store.statistics.count(over)
        await store.stop()


def load(url: str, count: int, *, days_ago: int = 0, events: bool = False) -> str:
    """Fill an empty, migrated database; what it took, in words.

    days_ago: when the history ends. events: give each execution a batch of events too, and count none, as
    what deletes them finds it. Indexes are made when the rows are there.
    """
    until = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days_ago)
    loading = Loading(url, count, until, events)
    began = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as connection:
        with without_indexes(connection), ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            counting = sum(pool.map(loading.portion, range(0, count, PORTION)))
            rows = time.perf_counter() - began
        connection.execute("VACUUM ANALYZE")
    indexes = time.perf_counter() - began - rows
    each = f", counting {counting / count * 1e6:.0f} µs of processor each" if not events else ""
    return f"rows {rows:.0f} s, indexes {indexes:.0f} s{each}"


@contextmanager
def without_indexes(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """They, and primary keys, are made anew from all rows at once."""
    names = [table.name for table in LOADED]
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND indexname NOT LIKE 'pk_%%'",
        (names,),
    ).fetchall()
    keys = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'p' AND conrelid = ANY(%s::regclass[])",
        (names,),
    ).fetchall()
    for table, name, _ in keys:
        run(connection, "ALTER TABLE {} DROP CONSTRAINT {}", table, name)
    for name, _ in indexes:
        run(connection, "DROP INDEX {}", name)
    yield
    connection.execute("SET maintenance_work_mem = '256MB'")
    for table, name, definition in keys:
        constraint = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} ").format(*map(sql.Identifier, (table, name)))
        connection.execute(constraint + sql.SQL(definition))
    for _, definition in indexes:
        connection.execute(sql.SQL(definition))


def run(connection: psycopg.Connection[Any], statement: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def copy_all(connection: psycopg.Connection[Any], portion: Sequence[Made], *, events: bool) -> None:
    copy(connection, workflow_executions, (one.row for one in portion))
    copy(
        connection,
        execution_tags,
        (
            {
                "namespace": "default",
                "tag": tag,
                "created_at": one.ended.created_at,
                "execution_id": one.ended.id,
            }
            for one in portion
            for tag in one.tags
        ),
    )
    copy(
        connection,
        execution_errors,
        (
            {
                **IN,
                "execution_id": one.ended.id,
                "created_at": one.ended.created_at,
                "code": one.error.code,
                "message": one.error.message,
            }
            for one in portion
            if one.error
        ),
    )
    if events:
        copy(connection, execution_events, (batch_of(one.ended) for one in portion))
    else:
        over = (one for one in portion if one.ended.status in TERMINAL)
        copy(
            connection, ended_executions, ({"execution_id": o.ended.id, "namespace": "default"} for o in over)
        )


def batch_of(ended: Ended) -> dict[str, Any]:
    return {
        "execution_id": ended.id,
        "first_sequence": 1,
        "last_sequence": 10,
        "namespace": "default",
        "format": 1,
        "events": b"[" + b'{"type":"step.completed","output":"%s"},' % (b"x" * 100) * 9 + b"{}]",
    }


def copy(connection: psycopg.Connection[Any], table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Columns that a row leaves out hold the emptiest value that they may."""
    empty = {column.name: None if column.nullable else _empty(column) for column in table.columns}
    names = sql.SQL(", ").join(map(sql.Identifier, empty))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), names)
    with connection.cursor() as cursor, cursor.copy(statement) as writer:
        for row in rows:
            writer.write_row([*({**empty, **row}).values()])


def _empty(column: Column[Any]) -> Any:
    match column.type:
        case Instant():
            return datetime(2000, 1, 1, tzinfo=UTC)
        case LargeBinary():
            return b""
        case Boolean():
            return False
        case Integer():
            return 0
        case _:
            return ""
