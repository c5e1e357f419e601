"""W9: starts, reads and lists on a long history, relative to the same on a short one, side by side.

Both databases are filled by the loader of the synthetic history: 2,000 executions in the short one, so that
its pages are as full as those of the long one; in that some ten thousand, which PostgreSQL then multiplies by
itself, shifted in time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks import loads
from benchmarks.figures import Figure, Target, middle
from benchmarks.history import DAYS, IN, NODE_TYPES, copy, load
from benchmarks.loads import RUN, Calls
from benchmarks.rounds import Samples, rounds
from benchmarks.shapes import chain, start_body
from benchmarks.stage import Stage
from flow_engine.interpreter.events import (
    ExecutionCompleted,
    ExecutionCreated,
    StepCompleted,
    StepStarted,
    encode_events,
)
from services.executor.persistence.migrating import migrate
from services.executor.persistence.tables import definitions
from tests.infra.stack import Stack

SHORT, SEED = 2_000, 20_000
SLICE = 40
PAGE = "/api/workflow/executions?limit=50"
LISTS = (PAGE, f"{PAGE}&status=failed", f"{PAGE}&workflowId=workflow-1", f"{PAGE}&tag=eu")
BOUND = 1.3


@dataclass(frozen=True, slots=True)
class Side:
    """An installation on one of the databases, and ids of executions that it holds."""

    url: str
    ids: Sequence[str]


def long_history(stage: Stage, count: int, seconds: float, say: Callable[[str], None]) -> list[Figure]:
    """PostgreSQL only: the loader writes by COPY."""
    assert stage.cluster is not None
    urls = stage.cluster.create_database(), stage.cluster.create_database()
    for url, size in zip(urls, (SHORT, count), strict=True):
        say(f"{size:,} finished executions are loaded")
        fill(url, size)
    with installation(stage, "short", urls[0]) as short, installation(stage, "long", urls[1]) as long:
        say("starts, reads and lists on both")
        steps = {
            f"{kind}, {name}": measuring(stage, side, kind)
            for kind in ("start", "read", "list")
            for name, side in (("short", short), ("long", long))
        }
        found = rounds(
            steps, stage.cpu, seconds=seconds, least=3, most=40, say=lambda text: say(f"W9 {text}")
        )
    return [compared(kind, count, found[f"{kind}, short"], found[f"{kind}, long"]) for kind in WHAT]


WHAT = {
    "start": "W9 start of a chain of 10",
    "read": "W9 read of a finished execution",
    "list": "W9 list of 50",
}


def compared(kind: str, count: int, short: Samples, long: Samples) -> Figure:
    """The 95th percentile of each round against that of the short history in the same round."""
    pairs = zip(long.percentiles_of_rounds(0.95), short.percentiles_of_rounds(0.95), strict=True)
    ratio = middle(one / other for one, other in pairs)
    ms = long.percentiles()
    return Figure(
        f"postgresql.W9.{kind}",
        f"{WHAT[kind]}, {count:,} finished",
        f"p95 {ms['p95']:.1f} ms",
        ms=ms,
        floor=f"{SHORT:,} finished: p95 {short.percentiles()['p95']:.1f} ms",
        ratio=ratio,
        targets=[Target(ratio, BOUND, "× the short history")],
    )


def measuring(stage: Stage, side: Side, kind: str) -> Callable[[], Calls]:
    """One caller. Reads are of executions anywhere in the history, lists of several kinds."""
    chance = random.Random(1)
    body = start_body(chain(10), "immediate")

    def start() -> Calls:
        return stage.driver(loads.http, side.url, RUN, body, b'"status":"completed"', 1, SLICE)

    def read() -> Calls:
        paths = [f"/api/workflow/execution/{each}" for each in chance.choices(side.ids, k=SLICE)]
        return stage.driver(loads.http_get, side.url, paths, 1)

    def listing() -> Calls:
        return stage.driver(loads.http_get, side.url, [LISTS[n % len(LISTS)] for n in range(SLICE)], 1)

    return {"start": start, "read": read, "list": listing}[kind]


@contextmanager
def installation(stage: Stage, name: str, url: str) -> Iterator[Side]:
    """An executor and a gateway; nothing is queued."""
    folder = Path(stage.folder, name)
    folder.mkdir()
    stack = Stack(folder, url, stage.valkey.url)
    try:
        stack.executor.start()
        stack.gateway.start()
        yield Side(stack.base_url, some_ids(url))
    finally:
        stack.stop()


def some_ids(url: str) -> list[str]:
    """Of ended executions, from the whole of the history."""
    with psycopg.connect(url) as connection:
        share = connection.execute(
            "SELECT id FROM workflow_executions WHERE completed_at IS NOT NULL AND random() < "
            "1000.0 / (SELECT count(*) FROM workflow_executions)"
        )
        return [row[0] for row in share]


# Loading

DEFINITION = {
    **IN,
    "hash": "definition",
    "definition": json.dumps(
        {"nodes": [{"id": node, "type": "flow.noop"} for node in NODE_TYPES], "edges": []}
    ).encode(),
}
"""What the loaded executions say that they ran."""
METADATA = {
    "complexity": {
        "mode": "immediate",
        "requestedMode": "auto",
        "factors": [
            {"name": name, "value": 4, "threshold": 10, "fired": False, "explanation": "4 of 10."}
            for name in ("nodeCount", "estimatedDuration", "humanInput", "executorBusy")
        ],
        "estimatedDurationMs": 100,
        "nodeCount": 4,
        "externalCallCount": 0,
        "loopCount": 0,
        "maxParallelPaths": 1,
        "humanInput": False,
        "explanation": "Small enough to run at once.",
    }
}
"""And why they ran as they did."""


def ten_events() -> bytes:
    """The same history for all, as long as the loader says that it is."""
    now = datetime.now(UTC)
    created = ExecutionCreated(
        time=now, definition_hash="definition", mode="immediate", requested_mode="auto", root_id=""
    )
    steps = [
        event
        for node in NODE_TYPES
        for event in (
            StepStarted(time=now, node_id=node),
            StepCompleted(time=now, node_id=node, output={"n": 1, "text": "some text of usual length"}),
        )
    ]
    return encode_events([created, *steps, ExecutionCompleted(time=now, output=1)])


def fill(url: str, count: int) -> None:
    """So many executions, each with a batch of events, as old as a month at most."""
    migrate(url)
    load(url, min(count, SEED), events=True)
    with psycopg.connect(url, autocommit=True) as connection:
        copy(connection, definitions, [DEFINITION])
        connection.execute("UPDATE workflow_executions SET metadata = %s", [json.dumps(METADATA)])
        connection.execute("UPDATE execution_events SET events = %b", [ten_events()])
    if count > SEED:
        multiply(url, count // SEED)


def multiply(url: str, times: int) -> None:
    """Copies of all rows, so that each is there so often, evenly spread over the time between two."""
    shift = f"interval '{DAYS} days' / {SEED} / {times} * n"
    copied = {
        "workflow_executions": ["id", "root_id"],
        "execution_tags": ["execution_id"],
        "execution_errors": ["execution_id"],
        "execution_events": ["execution_id"],
    }
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(NEW_ID)
        for table, ids in copied.items():
            columns = columns_of(connection, table)
            values = [
                f"shifted({name}, {shift})" if name in ids
                else f"{name} - {shift}" if kind == "timestamp with time zone"
                else name
                for name, kind in columns.items()
            ]  # fmt: skip
            statement = (
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
                f"FROM {table}, generate_series(1, {times - 1}) AS n"
            )
            connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


NEW_ID = """
CREATE FUNCTION shifted(id text, span interval) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT substr(time, 1, 8) || '-' || substr(time, 9, 4) || substr(id, 14) FROM (
    SELECT lpad(to_hex(('x' || lpad(replace(substr(id, 1, 13), '-', ''), 16, '0'))::bit(64)::bigint
      - (extract(epoch FROM span) * 1000)::bigint), 12, '0') AS time) AS of
$$
"""
"""A UUIDv7 begins with its milliseconds; the random rest keeps it unique."""


def columns_of(connection: psycopg.Connection, table: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [table]
    )
    return dict(rows.fetchall())
