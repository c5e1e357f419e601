"""What a transaction offers to the moves: lock rows, write drafts, append rows of any table in bulk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlalchemy
from sqlalchemy import Table, delete, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Executable

from flow_engine.interpreter.events import FORMAT
from services.executor.persistence.contract import TERMINAL
from services.executor.persistence.moves import Draft, all_batches
from services.executor.persistence.row import COLUMNS, Fence
from services.executor.persistence.stats_tables import ended_executions
from services.executor.persistence.tables import (
    execution_events,
    outbox,
    payloads,
    snapshots,
    workflow_executions,
)

EVENT_COLUMNS = [column.name for column in execution_events.columns if column.name != "position"]
LOCKED_COLUMNS = ", ".join("NULL AS result" if name == "result" else name for name in COLUMNS)


class FenceBroken(AssertionError):
    """A locked row was not as it was when it was locked. Cannot happen; if it does, nothing is written."""


def instant(value: datetime | str) -> datetime:
    """A time of the database's clock, as either driver gives it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Transaction(ABC):
    """One transaction. Rows are locked in the order of their ids, so that two never wait for each other."""

    NOW: ClassVar[str]
    POSITION: ClassVar[str]
    """SQL expression: the place of a row that is inserted now in the stream of all changes. PROTOCOL 21."""

    def __init__(self, connection: AsyncConnection, now: str) -> None:
        self._connection = connection
        self._now_sql = now
        self._now: datetime | None = None
        self.after_commit: list[Callable[[], None]] = []

    @abstractmethod
    async def begin(self) -> None: ...
    @abstractmethod
    async def commit(self) -> None: ...
    @abstractmethod
    async def rollback(self) -> None: ...

    @abstractmethod
    async def serialize(self, name: str) -> None:
        """Wait for other transactions that said the same name."""

    @abstractmethod
    async def lock(self, ids: Collection[str]) -> dict[str, Draft]:
        """Lock these executions; those that exist come back as drafts, in the order of their ids."""

    @abstractmethod
    async def insert(
        self,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        on_conflict: str = "",
        *,
        positioned: bool = False,
    ) -> None:
        """Append rows in one statement.

        on_conflict: its ON CONFLICT clause. positioned: column `position` is filled by POSITION.
        """

    @abstractmethod
    async def _update(self, drafts: Sequence[tuple[Draft, Fence]]) -> int:
        """Write the changing columns of rows that are still as their fence says; how many were."""

    async def now(self) -> datetime:
        """The database's time, once per transaction."""
        if self._now is None:
            (row,) = await self.fetch(select(literal_column(self._now_sql)))
            self._now = instant(row[0])
        return self._now

    async def fetch(self, statement: Executable) -> Sequence[sqlalchemy.Row[Any]]:
        return (await self._connection.execute(statement)).all()

    async def execute(self, statement: Executable) -> None:
        await self._connection.execute(statement)

    async def write(self, drafts: Collection[Draft]) -> None:
        """Write changed drafts whole: rows, events, values, snapshots, bells."""
        changed = [draft for draft in drafts if draft.changed]
        if not changed:
            return
        fenced = [(draft, draft.fence) for draft in changed if draft.fence is not None]
        if fenced and await self._update(fenced) != len(fenced):
            raise FenceBroken([draft.row.id for draft, _ in fenced])
        await self._append_events(changed)
        await self._keep(changed)
        await self._ring(changed)
        await self._note_ended(changed)

    async def insert_executions(self, drafts: Sequence[tuple[Draft, dict[str, Any]]]) -> None:
        """Insert the rows of new executions; the dictionaries hold the columns that never change."""
        columns = [column.name for column in workflow_executions.columns]
        rows = [
            [fixed[name] if name in fixed else getattr(draft.row, name) for name in columns]
            for draft, fixed in drafts
        ]
        await self.insert(workflow_executions, columns, rows)

    async def insert_payloads(self, rows: Collection[tuple[str, str, bytes]]) -> None:
        """(namespace, hash, JSON text). What is there stays; the order keeps two batches from a deadlock."""
        await self.insert(
            payloads, ("namespace", "hash", "value"), sorted(set(rows)), "ON CONFLICT DO NOTHING"
        )

    async def _append_events(self, drafts: Sequence[Draft]) -> None:
        rows = [
            (
                *(row.id, batch.first_sequence, batch.last_sequence, row.namespace),
                *(batch.epoch, batch.report_no, batch.report_hash, FORMAT, batch.events),
                *(status, row.execution_mode, batch.finished_steps),
            )
            for row, status, batch in all_batches(drafts)
        ]
        await self.insert(execution_events, EVENT_COLUMNS, rows, positioned=True)

    async def _keep(self, drafts: Sequence[Draft]) -> None:
        await self.insert_payloads(
            [(draft.row.namespace, *payload) for draft in drafts for payload in draft.payloads]
        )
        rows = [(draft.row.id, draft.row.namespace, *draft.snapshot) for draft in drafts if draft.snapshot]
        await self.insert(
            snapshots,
            ("execution_id", "namespace", "sequence", "state"),
            rows,
            "ON CONFLICT (execution_id) DO UPDATE SET sequence = excluded.sequence, state = excluded.state",
        )

    async def _note_ended(self, drafts: Sequence[Draft]) -> None:
        """Terminal states absorb, so a draft that changed and is terminal has just ended."""
        ended = [(draft.row.id, draft.row.namespace) for draft in drafts if draft.row.status in TERMINAL]
        await self.insert(ended_executions, ("execution_id", "namespace"), ended, "ON CONFLICT DO NOTHING")

    async def _ring(self, drafts: Sequence[Draft]) -> None:
        rows = [
            (draft.row.id, draft.row.namespace, "bell", draft.row.priority, draft.now)
            for draft in drafts
            if draft.rings
        ]
        columns = ("execution_id", "namespace", "kind", "priority", "created_at")
        await self.insert(outbox, columns, rows, "ON CONFLICT DO NOTHING")
        if silent := [draft.row.id for draft in drafts if draft.silences]:
            await self.execute(
                delete(outbox).where(outbox.c.execution_id.in_(silent), outbox.c.kind == "bell")
            )
