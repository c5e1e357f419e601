"""Statements on SQLite: one way to the thread and back each, and nothing more is written than differs."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from services.executor.persistence import one_hop
from services.executor.persistence.moves import Draft
from services.executor.persistence.row import COLUMNS, Row
from services.executor.persistence.sqlite import update_of


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[one_hop.OneHopConnection]:
    connection = one_hop.connect(path / "one.db", isolation_level=None)
    await connection
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_statement_goes_to_the_thread_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hops = 0
    go: Any = one_hop.OneHopConnection._execute

    async def counted(self: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal hops
        hops += 1
        return await go(self, *arguments, **more)

    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'one.db'}",
        isolation_level="AUTOCOMMIT",
        connect_args={"async_creator_fn": one_hop.connect},
    )
    async with engine.connect() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER)"))
        monkeypatch.setattr(one_hop.OneHopConnection, "_execute", counted)
        added = await connection.execute(text("INSERT INTO t VALUES (:n)"), [{"n": 1}, {"n": 2}])
        rows = (await connection.execute(text("SELECT n FROM t WHERE n > :n"), {"n": 0})).all()
        assert (added.rowcount, [row.n for row in rows], hops) == (2, [1, 2], 2)
    await engine.dispose()


async def test_a_statement_that_fails_leaves_the_connection_as_it_was(tmp_path: Path) -> None:
    async with connected(tmp_path) as connection:
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            await connection.cursor().execute("SELEKT 1")
        cursor = await connection.cursor().execute("SELECT ?, ?", [1, None])
        assert await cursor.fetchall() == [(1, None)]
        assert [column[0] for column in cursor.description] == ["?", "?"]


def test_what_is_set_to_what_it_was_is_not_written() -> None:
    draft = Draft.of(Row(**dict.fromkeys(COLUMNS, cast(Any, ""))), datetime.now(UTC))
    draft.set(status="", claim_id="")
    assert (draft.changed, draft.written) == (True, set())
    draft.set(status="running", claim_id="")
    assert draft.written == {"status"}


@pytest.mark.parametrize("epoch", [3, 4])
async def test_the_fence_holds_where_nothing_differs(tmp_path: Path, epoch: int) -> None:
    async with connected(tmp_path) as connection:
        await connection.execute(
            "CREATE TABLE workflow_executions AS "
            "SELECT 'x' AS id, 'running' AS status, 3 AS epoch, 1 AS report_no, 7 AS last_sequence"
        )
        for names, values in ((), []), (("report_no",), [1]):
            cursor = await connection.executemany(update_of(names), [[*values, "x", "running", epoch, 1, 7]])
            assert cursor.rowcount == (1 if epoch == 3 else 0)
