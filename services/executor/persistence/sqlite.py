# ruff: noqa: S608 - the names of tables and columns are ours, values are always parameters
"""Transactions on SQLite: one writer, whose connection is the lock on every row."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import aiosqlite
from sqlalchemy import Boolean, ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from services.executor.persistence.moves import Draft
from services.executor.persistence.row import CHANGING, COLUMNS, Fence, Row
from services.executor.persistence.tables import Instant, workflow_executions
from services.executor.persistence.transaction import LOCKED_COLUMNS, FenceBroken, Transaction, instant


class SqliteTransaction(Transaction):
    NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    # Not the rowid: it is given again after the newest row was deleted, and a watcher would miss the next.
    # But rows come in the order of their rowids, so the last one has the highest position; `max` would read
    # the whole history, for each row that is inserted.
    POSITION = (
        "(SELECT max(coalesce((SELECT position FROM execution_events ORDER BY rowid DESC LIMIT 1), 0) + 1, "
        "1000 * CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)))"
    )

    def __init__(self, driver: aiosqlite.Connection, connection: AsyncConnection, now: str) -> None:
        super().__init__(connection, now)
        self._driver = driver

    async def begin(self) -> None:
        await self._driver.execute("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        await self._driver.execute("COMMIT")

    async def rollback(self) -> None:
        await self._driver.execute("ROLLBACK")

    async def serialize(self, name: str) -> None:
        """Writers are one after the other anyway."""

    async def lock(self, ids: Collection[str]) -> dict[str, Draft]:
        statement = (
            f"SELECT {self._now_sql}, {LOCKED_COLUMNS} FROM workflow_executions "
            "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        )
        drafts: dict[str, Draft] = {}
        for now, *values in await self._driver.execute_fetchall(statement, (json.dumps(list(ids)),)):
            self._now = self._now or instant(now)
            row = Row(*(read(value) for read, value in zip(_READERS, values, strict=True)))
            drafts[row.id] = Draft.of(row, self._now)
        return drafts

    async def insert(
        self,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        on_conflict: str = "",
        *,
        positioned: bool = False,
    ) -> None:
        if rows:
            names = [*columns, *(["position"] if positioned else [])]
            places = ["?"] * len(columns) + ([self.POSITION] if positioned else [])
            statement = (
                f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(places)}) {on_conflict}"
            )
            await self._driver.executemany(statement, [_stored(row) for row in rows])

    async def delete(self, table: Table, ids: Collection[str], column: str = "execution_id") -> None:
        statement = f"DELETE FROM {table.name} WHERE {column} IN (SELECT value FROM json_each(?))"
        await self._driver.execute(statement, (json.dumps(list(ids)),))

    def among(self, column: ColumnElement[int], numbers: Collection[int]) -> ColumnElement[bool]:
        these = func.json_each(json.dumps(list(numbers))).table_valued("value")
        return column.in_(select(these.c.value))

    async def _update(self, drafts: Sequence[tuple[Draft, Fence]]) -> None:
        alike: dict[tuple[str, ...], list[list[Any]]] = {}
        for draft, fence in drafts:
            names = tuple(name for name in CHANGING if name in draft.written)
            values = [*(getattr(draft.row, name) for name in names), draft.row.id, *fence]
            alike.setdefault(names, []).append(_stored(values))
        for names, rows in alike.items():
            if (count := (await self._driver.executemany(update_of(names), rows)).rowcount) != len(rows):
                raise FenceBroken(f"{count} of {len(rows)} rows of {workflow_executions.name}")


def _stored(values: Sequence[Any]) -> list[Any]:
    return [
        value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        if isinstance(value, datetime)
        else value
        for value in values
    ]


def _read_instant(value: Any) -> Any:
    return value and instant(value)


def _read_plainly(value: Any) -> Any:
    return value


def _reader(name: str) -> Any:
    match workflow_executions.c[name].type:
        case Instant():
            return _read_instant
        case Boolean():
            return bool
        case _:
            return _read_plainly


_READERS = [_reader(name) for name in COLUMNS]
_FENCE = " AND ".join(f"{name} = ?" for name in Fence._fields)


@cache
def update_of(names: Sequence[str]) -> str:
    """SQLite writes the entries of each index on a column that is named, whether the value is another or not.
    Where nothing is, the fence must hold all the same."""
    written = ", ".join(f"{name} = ?" for name in names) or "epoch = epoch"
    return f"UPDATE workflow_executions SET {written} WHERE id = ? AND {_FENCE}"
