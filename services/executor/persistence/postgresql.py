# ruff: noqa: S608 - the names of tables and columns are ours, values are always parameters
"""Transactions on PostgreSQL: writes of many rows are held back, and go as one statement over arrays."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Float,
    Integer,
    LargeBinary,
    Table,
    func,
    literal,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio.engine import AsyncConnection
from sqlalchemy.sql import Executable

from services.executor.persistence.moves import Draft
from services.executor.persistence.row import CHANGING, Fence, Row
from services.executor.persistence.tables import Instant, workflow_executions
from services.executor.persistence.transaction import LOCKED_COLUMNS, FenceBroken, Transaction, instant

PARAMETER = "%s"
"""In a statement that is held back: where it stands among others is known only when all go."""


@dataclass(frozen=True, slots=True)
class _Write:
    """A write that is held back."""

    table: str
    statement: str  # with PARAMETER for each of them
    columns: list[list[Any] | str]  # its parameters
    fenced: int | None = None  # so many rows must be as their fence says


class PostgresTransaction(Transaction):
    """Writes whose answer nobody waits for go together: a round trip costs more than most of them."""

    NOW = "clock_timestamp()"
    POSITION = "pg_current_xact_id()::text::bigint"

    def __init__(self, driver: psycopg.AsyncConnection[Any], connection: AsyncConnection, now: str) -> None:
        super().__init__(connection, now)
        # One for all statements: making one costs as much as a small statement does. A raw one: others
        # look for their placeholders anew each time, once there are more than 50.
        self._cursor = psycopg.AsyncRawCursor(driver)
        self._held: list[_Write] = []

    async def begin(self) -> None:
        """The time comes along, which saves a round trip; rows that are waited for bring a later one."""
        await self._cursor.execute(f"BEGIN; SELECT {self._now_sql}".encode())
        self._cursor.nextset()
        ((now,),) = await self._cursor.fetchall()
        self._now = instant(now)

    async def flush(self) -> None:
        held, self._held = self._held, []
        if not held:
            return
        parameters = [column for write in held for column in write.columns]
        await self._cursor.execute(_together(tuple(write.statement for write in held)), parameters)
        (counts,) = await self._cursor.fetchall()
        for write, count in zip(held, counts, strict=True):
            if write.fenced is not None and count != write.fenced:
                raise FenceBroken(f"{count} of {write.fenced} rows of {write.table}")

    async def commit(self) -> None:
        # Never prepared: one plain message, by which those on the wire know it, such as the chaos bench.
        await self._cursor.execute(b"COMMIT", prepare=False)

    async def rollback(self) -> None:
        self._held.clear()
        await self._cursor.execute(b"ROLLBACK")

    async def fetch(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sqlalchemy.Row[Any]]:
        await self.flush()
        return await super().fetch(statement, parameters)

    async def execute(self, statement: Executable) -> None:
        await self.flush()
        await super().execute(statement)

    async def serialize(self, name: str) -> None:
        await self.flush()
        await self._cursor.execute(b"SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", (name,))

    async def lock(self, ids: Collection[str]) -> dict[str, Draft]:
        await self.flush()
        statement = (
            f"SELECT {self._now_sql}, {LOCKED_COLUMNS} FROM workflow_executions "
            "WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE"
        )
        await self._cursor.execute(statement.encode(), (list(ids),))
        rows = await self._cursor.fetchall()
        if rows:
            self._now = instant(rows[0][0])
        drafts: dict[str, Draft] = {}
        for _, *values in rows:
            row = Row(*values)
            drafts[row.id] = Draft.of(row, await self.now())
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
            position = self.POSITION if positioned else ""
            statement = _insert(table, tuple(columns), on_conflict, position)
            await self._hold(_Write(table.name, statement, _arrays(rows)))

    async def delete(self, table: Table, ids: Collection[str], column: str = "execution_id") -> None:
        statement = f"DELETE FROM {table.name} WHERE {column} = ANY({PARAMETER}::text[])"
        await self._hold(_Write(table.name, statement, [list(ids)]))

    def among(self, column: ColumnElement[int], numbers: Collection[int]) -> ColumnElement[bool]:
        # A true array: one that is cast from text would be read again for each row.
        return column == func.any(literal(list(numbers), ARRAY(BigInteger)))

    async def _update(self, drafts: Sequence[tuple[Draft, Fence]]) -> None:
        rows = [
            (draft.row.id, *fence, *(getattr(draft.row, name) for name in CHANGING))
            for draft, fence in drafts
        ]
        await self._hold(_Write(workflow_executions.name, _UPDATE, _arrays(rows), fenced=len(rows)))

    async def _hold(self, write: _Write) -> None:
        """What is written together does not see each other: one write a table."""
        if any(held.table == write.table for held in self._held):
            await self.flush()
        self._held.append(write)


def _arrays(rows: Sequence[Sequence[Any]]) -> list[list[Any] | str]:
    return [
        _numbers(column) if _NUMBERS.issuperset(map(type, column)) else list(column)
        for column in zip(*rows, strict=True)
    ]


_NUMBERS = frozenset((int, type(None)))


def _numbers(column: Iterable[int | None]) -> str:
    """As text, which PostgreSQL reads as whatever it is cast to. Of a list the driver looks at each number
    several times, and prepares the statement anew where the largest needs more bytes than the last time."""
    return f"{{{','.join(['NULL' if value is None else str(value) for value in column])}}}"


def _parameters(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f"{PARAMETER}::{_type(table, name)}[]" for name in columns)


def _type(table: Table, name: str) -> str:
    match table.c[name].type:
        case BigInteger():
            return "bigint"
        case Integer():
            return "integer"
        case Boolean():
            return "boolean"
        case Float():
            return "double precision"
        case Instant():
            return "timestamptz"
        case LargeBinary():
            return "bytea"
        case _:
            return "text"


@lru_cache
def _insert(table: Table, columns: tuple[str, ...], on_conflict: str, position: str) -> str:
    names, values = [*columns], ["*"]
    if position:
        names, values = [*names, "position"], [*values, position]
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) "
        f"SELECT {', '.join(values)} FROM unnest({_parameters(table, columns)}) {on_conflict}"
    )


@lru_cache
def _together(statements: tuple[str, ...]) -> bytes:
    """One statement that carries out all, one after the other, and answers with how many rows each wrote."""
    parts = [f"w{n} AS ({statement} RETURNING 1)" for n, statement in enumerate(statements)]
    counts = [f"(SELECT count(*) FROM w{n})" for n in range(len(statements))]
    numbers = itertools.count(1)
    numbered = re.sub(re.escape(PARAMETER), lambda _: f"${next(numbers)}", ", ".join(parts))
    return f"WITH {numbered} SELECT {', '.join(counts)}".encode()


_WRITTEN = ", ".join(
    # Only the end of an execution has a result; reading the old one to write it back would be dear.
    f"{name} = COALESCE(n.{name}, e.{name})" if name == "result" else f"{name} = n.{name}"
    for name in CHANGING
)
_FENCES = [f"old_{name}" for name in Fence._fields]
_UPDATE = (
    f"UPDATE workflow_executions AS e SET {_WRITTEN} "
    f"FROM unnest({_parameters(workflow_executions, ['id', *Fence._fields, *CHANGING])}) "
    f"AS n (id, {', '.join([*_FENCES, *CHANGING])}) "
    f"WHERE e.id = n.id AND {' AND '.join(f'e.{name} = n.old_{name}' for name in Fence._fields)}"
)
