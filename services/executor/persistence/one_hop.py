"""Connections to SQLite that go to their thread and back once for each statement.

SQLAlchemy opens a cursor, executes, fetches and closes. aiosqlite takes each of these to the thread of the
connection, and going there and back is dearer than most of our statements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import aiosqlite


class OneHopConnection(aiosqlite.Connection):
    def cursor(self) -> OneHopCursor:  # type: ignore[override]  # it needs no waiting for
        return OneHopCursor(self)


class OneHopCursor(aiosqlite.Cursor):
    """A cursor that has all its rows when it has executed, and is closed then."""

    _rows: Sequence[Any] = ()

    def __init__(self, connection: OneHopConnection) -> None:
        self._conn = connection

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> OneHopCursor:
        return await self._in_one(sqlite3.Cursor.execute, sql, parameters or ())

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> OneHopCursor:
        return await self._in_one(sqlite3.Cursor.executemany, sql, parameters)

    async def _in_one(self, execute: Callable[..., Any], sql: str, parameters: Any) -> OneHopCursor:
        def in_thread() -> None:
            self._cursor = self._conn._conn.cursor()
            try:
                execute(self._cursor, sql, parameters)
                self._rows = self._cursor.fetchall()
            finally:
                self._cursor.close()

        await self._conn._execute(in_thread)  # type: ignore[no-untyped-call]
        return self

    async def fetchall(self) -> Sequence[Any]:
        return self._rows

    async def close(self) -> None:
        """It is."""


def connect(*arguments: Any, **more: Any) -> OneHopConnection:
    """As `sqlite3.connect`, but to be awaited."""
    connector: Callable[[], sqlite3.Connection] = partial(sqlite3.connect, *arguments, **more)
    connection = OneHopConnection(connector, iter_chunk_size=64)
    connection._thread.daemon = True
    return connection
