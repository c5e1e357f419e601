"""database.query against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.services import SharedServices
from tests.infra.egress import LOOPBACK_GUARD
from tests.infra.ports import free_port
from tests.infra.postgres import PostgresCluster
from tests.integration.nodes.servers import serve_bytes
from tests.unit.nodes import contexts

NEAR = SharedServices(LOOPBACK_GUARD)


@pytest.fixture(scope="module")
def database(postgres_cluster: PostgresCluster) -> Iterator[str]:
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture
def url(database: str) -> str:
    """A database with a table `orders` of three rows."""
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE IF EXISTS orders")
        connection.execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY, total numeric(10, 2), tags text[], extra jsonb)"
        )
        connection.execute(
            """INSERT INTO orders VALUES (1, 12.50, '{a,b}', '{"n": 9007199254740993}'), (2, 7, '{}', NULL),
               (9007199254740993, NULL, NULL, '[]')"""
        )
    return database


async def output(url: str, sql: str, **changes: Any) -> Any:
    return (
        await contexts.completed("database.query", {"url": url, "sql": sql, **changes}, services=NEAR)
    ).output


async def failure(url: str, sql: str, **changes: Any) -> Failure:
    return (
        await contexts.failed("database.query", {"url": url, "sql": sql, **changes}, services=NEAR)
    ).failure


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert row is not None
    return int(row[0])


async def test_rows_come_as_objects_and_keep_their_values(url: str) -> None:
    got = await output(url, "SELECT * FROM orders WHERE id > :least ORDER BY id", parameters={"least": 0})
    assert got == {
        "rows": [
            {"id": 1, "total": "12.50", "tags": ["a", "b"], "extra": {"n": 2**53 + 1}},
            {"id": 2, "total": "7.00", "tags": [], "extra": None},
            {"id": 2**53 + 1, "total": None, "tags": None, "extra": []},
        ],
        "rowCount": 3,
        "columns": ["id", "total", "tags", "extra"],
    }


VALUES = {
    "sum(id)": 2**53 + 4,
    "'2026-01-02'::date": "2026-01-02",
    "'2026-01-02 03:04:05+00'::timestamptz at time zone 'UTC'": "2026-01-02T03:04:05",
    "'03:04'::time": "03:04:00",
    "'90 seconds'::interval": 90.0,
    "'\\x0001'::bytea": "AAE=",
    "'NaN'::float8": "nan",
    "'6b1b9c0e-8b1f-4c7e-9d55-0f6a1c2d3e4f'::uuid": "6b1b9c0e-8b1f-4c7e-9d55-0f6a1c2d3e4f",
    "'10.0.0.1'::inet": "10.0.0.1",
    "array[[1,2],[3,4]]": [[1, 2], [3, 4]],
    "100 % 7": 2,
}


async def test_values_of_many_types(url: str) -> None:
    columns = ", ".join(f"{expression} AS c{number}" for number, expression in enumerate(VALUES))
    [row] = (await output(url, f"SELECT {columns} FROM orders"))["rows"]
    assert list(row.values()) == list(VALUES.values())


async def test_parameters_are_values_and_never_sql(url: str) -> None:
    hostile = "x'; DROP TABLE orders; --"
    got = await output(
        url,
        r"SELECT :text AS text, :big\:\:numeric AS big, :list\:\:int[] AS list, "
        r":object AS object, :none AS none",
        parameters={"text": hostile, "big": 10**25, "list": [1, 2], "object": {"a": [1]}, "none": None},
    )
    assert got["rows"] == [
        {"text": hostile, "big": 10**25, "list": [1, 2], "object": {"a": [1]}, "none": None}
    ]
    assert count(url) == 3


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders (id) VALUES (4)",
        "INSERT INTO orders (id) VALUES (4) RETURNING id",
        "SELECT 1; INSERT INTO orders (id) VALUES (4)",
        "COMMIT; INSERT INTO orders (id) VALUES (4)",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "DO $$ BEGIN COMMIT; INSERT INTO orders (id) VALUES (4); END $$",
        "DO $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO orders (id) VALUES (4); END $$",
    ],
)
async def test_nothing_is_changed_unless_asked(url: str, sql: str) -> None:
    failed = await failure(url, sql)
    assert failed.code in ("DB_READ_ONLY", "DB_QUERY")
    assert not failed.retryable
    assert count(url) == 3


async def test_changes_are_committed_when_asked(url: str) -> None:
    got = await output(url, "INSERT INTO orders (id) VALUES (:id)", parameters={"id": 4}, readOnly=False)
    assert got == {"rows": [], "rowCount": 1, "columns": []}
    got = await output(url, "DELETE FROM orders WHERE id IN (2, 4) RETURNING id", readOnly=False)
    assert got["rows"] == [{"id": 2}, {"id": 4}]
    assert count(url) == 2


async def test_several_statements_are_refused_even_when_changes_are_allowed(url: str) -> None:
    sql = "INSERT INTO orders (id) VALUES (5); INSERT INTO orders (id) VALUES (6)"
    assert (await failure(url, sql, readOnly=False)).code == "DB_QUERY"
    assert count(url) == 3


@pytest.mark.parametrize(
    ("sql", "changes", "code", "state"),
    [
        ("SELEC 1", {}, "DB_QUERY", "42601"),
        ("SELECT 1/0", {}, "DB_QUERY", "22012"),
        ("INSERT INTO orders (id) VALUES (1)", {"readOnly": False}, "DB_QUERY", "23505"),
        ("SELECT :a", {}, "DB_PARAMETERS", None),
        ("SELECT 1", {"parameters": {"a": 1}}, "DB_PARAMETERS", None),
        ("SELECT generate_series(1, 11)", {"maxRows": 10}, "DB_TOO_MANY_ROWS", None),
        ("SELECT repeat('x', 1000000) FROM generate_series(1, 10)", {}, "DB_TOO_LARGE", None),
        ("SELECT 'a' || chr(0)", {}, "DB_QUERY", "54000"),
        ("SELECT :a", {"parameters": {"a": "\0"}}, "DB_QUERY", None),
    ],
)
async def test_what_the_database_refuses_fails_for_good(
    url: str, sql: str, changes: dict[str, Any], code: str, state: str | None
) -> None:
    failed = await failure(url, sql, **changes)
    assert (failed.code, failed.retryable) == (code, False)
    assert failed.details.get("sqlstate") == state


async def test_a_slow_statement_is_stopped(url: str) -> None:
    failed = await failure(url, "SELECT pg_sleep(60)", timeoutMs=300)
    assert (failed.code, failed.retryable) == ("DB_TIMEOUT", True)


async def test_cancelling_stops_the_statement(url: str) -> None:
    running = asyncio.create_task(output(url, "SELECT pg_sleep(60)"))
    watcher = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with watcher:
        await until_sleeping(watcher, 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until_sleeping(watcher, 0)


async def until_sleeping(watcher: psycopg.AsyncConnection, wanted: int) -> None:
    """Until so many statements of the node run."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
    async with asyncio.timeout(10):
        while True:
            row = await (await watcher.execute(sql)).fetchone()
            if row == (wanted,):
                return
            await asyncio.sleep(0)


async def test_a_broken_connection_is_retryable_unless_it_may_have_changed_something(url: str) -> None:
    sql = "SELECT pg_terminate_backend(pg_backend_pid())"
    for read_only in (True, False):
        failed = await failure(url, sql, readOnly=read_only)
        assert (failed.code, failed.retryable) == ("DB_DISCONNECTED", read_only)


async def test_no_database_is_retryable() -> None:
    failed = await failure(f"postgresql://a:secret@127.0.0.1:{free_port()}/b", "SELECT 1")
    assert (failed.code, failed.retryable) == ("DB_CONNECT", True)
    assert "secret" not in str(failed)


async def test_a_server_that_is_no_database_fails() -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serve_bytes(say) as address:
        assert (await failure(f"postgresql://a@{address}/b", "SELECT 1")).code == "DB_CONNECT"


async def test_a_silent_server_fails_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve_bytes(silent) as address:
        assert (await failure(f"postgresql://a@{address}/b", "SELECT 1", timeoutMs=200)).code == "DB_TIMEOUT"


@pytest.mark.parametrize(
    "wrong",
    [
        "sqlite:///flow.db",
        "mysql://a@b/c",
        "postgresql:///name",
        "postgresql://host",
        "postgresql://%2Ftmp/name",
        "postgresql://a@b/c?service=x",
        "postgresql://a@b/c?sslmode=sometimes",
        "nonsense",
    ],
)
def test_urls_that_lead_elsewhere_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        contexts.config("database.query", {"url": wrong, "sql": "SELECT 1"})
