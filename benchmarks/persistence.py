"""Committed starts and reports per second, against what the database does for a bare commit.

python -m benchmarks.persistence [URL …]; without one: a private PostgreSQL cluster and a private SQLite file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import uvloop

from flow_engine.ids import ExecutionId, new_execution_id
from flow_engine.interpreter.events import (
    ExecutionCompleted,
    ExecutionCreated,
    StepCompleted,
    StepStarted,
    encode_events,
)
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import Payload
from services.executor.persistence.contract import Claim, ImmediateRun, NewExecution, Report, ReportOutcome
from services.executor.persistence.migrating import migrate
from services.executor.persistence.store import SqlExecutionPersistence

CALLERS = 32
SECONDS = 3.0
STEPS = 12
"""Of an execution: two events each, with created and completed 26 events in all."""


def main(arguments: Sequence[str] = ()) -> None:
    for url in arguments or private_urls():
        print(f"{url.partition(':')[0]}, {CALLERS} callers")
        for name, rate in uvloop.run(measure(url)).items():
            print(f"  {name:34} {rate:8,.0f}/s")


async def measure(url: str) -> dict[str, float]:
    rates = {"bare commits, one after the other": await asyncio.to_thread(bare_commits, url)}
    migrate(url)
    store = SqlExecutionPersistence(url)
    await store.start()
    rates["whole immediate runs (26 events)"] = await rate(lambda: immediate_run(store))
    rates["queued starts"] = await rate(lambda: queued_start(store))
    runner_ids = [await leased(store) for _ in range(CALLERS)]
    rates["reports of two events"] = await rate_of_reports(store, runner_ids)
    rates["claims of 16"] = await rate(lambda: claim(store), callers=4)
    await store.stop()
    return rates


async def rate(call: Callable[[], Awaitable[object]], callers: int = CALLERS) -> float:
    done = 0
    end = time.perf_counter() + SECONDS

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (time.perf_counter() - began)


async def rate_of_reports(store: SqlExecutionPersistence, ids: list[ExecutionId]) -> float:
    numbers = dict.fromkeys(ids, 0)
    free = list(ids)
    step = encode_events(steps(1))

    async def report() -> None:
        execution_id = free.pop()
        numbers[execution_id] += 1
        number = numbers[execution_id]
        reply = await store.report(Report(execution_id, 1, "executor:1", number, 2 * number - 1, step, 2))
        assert reply.outcome is ReportOutcome.OK
        free.append(execution_id)

    return await rate(report)


async def queued_start(store: SqlExecutionPersistence) -> None:
    await store.create(new("queued"))


async def leased(store: SqlExecutionPersistence) -> ExecutionId:
    started = await store.create(new("immediate"), ImmediateRun("executor:1"))
    return started.execution_id


async def immediate_run(store: SqlExecutionPersistence) -> None:
    end = ExecutionCompleted(time=datetime.now(UTC), output=1)
    entry = Entry([*steps(STEPS), end], give_up=GiveUp("completed", result=b'{"output":1,"steps":[]}'))
    await store.create(new("immediate"), ImmediateRun("executor:1", entry))


async def claim(store: SqlExecutionPersistence) -> None:
    await store.claim_next(Claim("worker:1", new_execution_id(), 16))


def steps(count: int) -> list[StepStarted | StepCompleted]:
    now = datetime.now(UTC)
    return [
        event
        for n in range(count)
        for event in (
            StepStarted(time=now, node_id=f"n{n}"),
            StepCompleted(time=now, node_id=f"n{n}", output={"n": n, "text": "some text of usual length"}),
        )
    ]


def new(mode: str) -> NewExecution:
    execution_id = new_execution_id()
    created = ExecutionCreated(
        time=datetime.now(UTC), definition_hash="d", mode=mode, requested_mode="auto", root_id=execution_id
    )
    return NewExecution(execution_id, created, "d", b"{}", Payload.of(None), b"{}")


def bare_commits(url: str) -> float:
    """One row of 200 bytes in a transaction of its own, as fast as the driver can."""
    row = b"x" * 200
    end = time.perf_counter() + SECONDS / 2
    began, done = time.perf_counter(), 0
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE bare (row BLOB)",
        ):
            connection.execute(statement)
        while time.perf_counter() < end:
            connection.execute("INSERT INTO bare VALUES (?)", (row,))
            done += 1
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as postgres:
            postgres.execute("CREATE TABLE bare (row bytea)")
            while time.perf_counter() < end:
                postgres.execute("INSERT INTO bare VALUES (%b)", (row,))
                done += 1
    return done / (time.perf_counter() - began)


def private_urls() -> Iterator[str]:
    with private_cluster() as url:
        yield url
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'flow.db'}"


@contextmanager
def private_cluster() -> Iterator[str]:
    from tests.infra.postgres import PostgresCluster

    cluster = PostgresCluster(durable=True)
    try:
        cluster.start()
        yield cluster.create_database()
    finally:
        cluster.remove()


if __name__ == "__main__":
    main(sys.argv[1:])
