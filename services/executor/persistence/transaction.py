"""What a transaction offers to the moves: lock rows, write drafts, append rows of any table in bulk."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import sqlalchemy
from sqlalchemy import ColumnElement, Table, literal_column, or_, select, tuple_, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection
from sqlalchemy.sql import Executable

from flow_engine import payload
from flow_engine.interpreter.events import FORMAT, Failure
from services.executor.persistence.contract import Bell
from services.executor.persistence.moves import Draft, all_batches
from services.executor.persistence.offers import iteration_text
from services.executor.persistence.row import COLUMNS, Fence, Line
from services.executor.persistence.stats_tables import ended_executions
from services.executor.persistence.tables import (
    execution_errors,
    execution_events,
    execution_tags,
    names_of,
    outbox,
    outbox_signals,
    payload_uses,
    payloads,
    snapshots,
    tasks,
    workflow_executions,
)

EVENT_COLUMNS = [column.name for column in execution_events.columns if column.name != "position"]


PORTION = 500
"""Places that one statement names."""

LOCKED_COLUMNS = ", ".join("NULL AS result" if name == "result" else name for name in COLUMNS)


BELL_SPAN = timedelta(seconds=10)
"""A bell that a dispatcher took and did not ring is another's after this."""
USED_SECONDS = 3600
"""How exactly it is kept when a value was last named."""
_NAMED = re.compile(rb'"hash":"([0-9a-f]{64})"')


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
        self.opened: set[Line] = set()  # where somebody may be admitted now
        self.signalled = False  # there is something to apply to other executions
        self.rings = False  # whether this process rings at once for what it commits
        self.bells: list[Bell] = []  # and which
        self.offered: set[tuple[str, str]] = set()  # (namespace, queue) with new tasks

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
        """Append rows, at the latest before anything is read, or by the commit.

        on_conflict: its ON CONFLICT clause. positioned: column `position` is filled by POSITION.
        """

    @abstractmethod
    async def delete(self, table: Table, ids: Collection[str], column: str = "execution_id") -> None:
        """Delete the rows of these ids, at the latest before anything is read, or by the commit."""

    @abstractmethod
    def among(self, column: ColumnElement[int], numbers: Collection[int]) -> ColumnElement[bool]:
        """Whether it is one of these: one parameter for all, where `in_` makes one, and its text, of each."""

    @abstractmethod
    async def _update(self, drafts: Sequence[tuple[Draft, Fence]]) -> None:
        """Write the changing columns of rows, if all are still as their fence says: FenceBroken otherwise,
        at the latest by the commit."""

    async def flush(self) -> None:  # noqa: B027 - most write at once
        """Write what is held back."""

    async def now(self) -> datetime:
        """The database's time, once per transaction."""
        if self._now is None:
            (row,) = await self.fetch(select(literal_column(self._now_sql)))
            self._now = instant(row[0])
        return self._now

    async def fetch(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sqlalchemy.Row[Any]]:
        """parameters: of a statement that is made once; making one takes as long as a small one runs."""
        return (await self._connection.execute(statement, parameters)).all()

    async def execute(self, statement: Executable) -> None:
        await self._connection.execute(statement)

    async def write(self, drafts: Collection[Draft]) -> None:
        """Write changed drafts whole: rows, events, values, snapshots, bells."""
        changed = [draft for draft in drafts if draft.changed]
        if not changed:
            return
        fenced = [(draft, draft.fence) for draft in changed if draft.fence is not None]
        if fenced:
            await self._update(fenced)
        self.opened.update(line for draft in changed if (line := draft.opens) is not None)
        await self._append_events(changed)
        await self._keep(changed)
        if concerned := [draft for draft in changed if draft.row.has_tasks]:
            await self._write_tasks(concerned)
        await self._signal(changed)
        await self._ring(changed)
        await self._note_ended(changed)

    async def insert_executions(self, drafts: Sequence[tuple[Draft, dict[str, Any]]]) -> None:
        """Insert the rows of new executions; the dictionaries hold the columns that never change."""
        columns = names_of(workflow_executions)
        rows = [
            [fixed[name] if name in fixed else getattr(draft.row, name) for name in columns]
            for draft, fixed in drafts
        ]
        await self.insert(workflow_executions, columns, rows)
        tagged = [
            (draft.row.namespace, tag, draft.row.created_at, draft.row.id)
            for draft, fixed in drafts
            if fixed["tags"] != "[]"
            for tag in dict.fromkeys(payload.decode(fixed["tags"]))
        ]
        await self.insert(execution_tags, names_of(execution_tags), tagged)

    async def insert_payloads(self, rows: Collection[tuple[str, str, bytes]]) -> None:
        """(namespace, hash, JSON text). What is there stays; the order keeps two batches from a deadlock."""
        if not rows:
            return
        now = int((await self.now()).timestamp())
        await self.insert(
            payloads,
            ("namespace", "hash", "value", "used_at"),
            [(*row, now) for row in sorted(set(rows))],
            # Also where nothing changes, the row is locked: who deletes unused values waits, and looks again.
            "ON CONFLICT (namespace, hash) DO UPDATE SET used_at = excluded.used_at "
            f"WHERE payloads.used_at < excluded.used_at - {USED_SECONDS}",
        )

    async def _note_uses(self, drafts: Sequence[Draft]) -> None:
        """Whatever the new events name by its hash."""
        rows = {
            (row.id, found.decode(), row.namespace)
            for row, _, batch in all_batches(drafts)
            if b'"hash":"' in batch.events
            for found in _NAMED.findall(batch.events)
        }
        columns = names_of(payload_uses)
        await self.insert(payload_uses, columns, sorted(rows), "ON CONFLICT DO NOTHING")

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
        await self._note_uses(drafts)
        rows = [(draft.row.id, draft.row.namespace, *draft.snapshot) for draft in drafts if draft.snapshot]
        await self.insert(
            snapshots,
            ("execution_id", "namespace", "sequence", "state"),
            rows,
            "ON CONFLICT (execution_id) DO UPDATE SET sequence = excluded.sequence, state = excluded.state",
        )

    async def _signal(self, drafts: Sequence[Draft]) -> None:
        """A later signal of one kind takes the place of an earlier one that was not applied yet."""
        latest = {
            (signal.source, signal.target, signal.kind): (
                *(signal.source, signal.target, signal.kind, draft.row.namespace, signal.step),
                *(signal.place, signal.at_once, signal.held, signal.body, draft.now),
            )
            for draft in drafts
            for signal in draft.signals
        }
        names = "source target kind namespace step place at_once held body created_at".split()
        replaced = ", ".join(f"{name} = excluded.{name}" for name in ("held", "body", "created_at"))
        await self.insert(
            outbox_signals,
            names,
            [latest[key] for key in sorted(latest)],
            f"ON CONFLICT (source, target, kind) DO UPDATE SET {replaced}, taken_until = NULL",
        )
        self.signalled = self.signalled or bool(latest)

    async def _note_ended(self, drafts: Sequence[Draft]) -> None:
        """Terminal states absorb, so a draft that changed and is terminal has just ended."""
        ended = [(draft.row.id, draft.row.namespace) for draft in drafts if draft.ended]
        await self.insert(ended_executions, ("execution_id", "namespace"), ended, "ON CONFLICT DO NOTHING")
        failed = [draft.row for draft in drafts if draft.row.status == "failed"]
        await self.insert(
            execution_errors,
            names_of(execution_errors),
            [(row.id, row.namespace, row.created_at, *_searchable(row.error)) for row in failed],
            "ON CONFLICT DO NOTHING",
        )

    async def _write_tasks(self, drafts: Sequence[Draft]) -> None:
        """Tasks whose step or execution is over go out of use, in portions; new ones are offered."""
        now, columns = await self.now(), tasks.c
        over = [draft.row.id for draft in drafts if draft.ended]
        steps = sorted(
            (draft.row.id, node_id, iteration_text(iteration))
            for draft in drafts
            if not draft.ended
            for node_id, iteration in draft.ended_tasks
        )
        place = tuple_(columns.execution_id, columns.node_id, columns.iteration)
        those = [columns.execution_id.in_(over)] if over else []
        those += [place.in_(steps[start : start + PORTION]) for start in range(0, len(steps), PORTION)]
        for some in those:
            void = update(tasks).where(some, or_(columns.state == "open", columns.state == "leased"))
            await self.execute(void.values(state="void", lease_expires_at=None, changed_at=now))
        await self._offer([draft for draft in drafts if draft.new_tasks and not draft.ended])

    async def _offer(self, drafts: Sequence[Draft]) -> None:
        rows = [
            (
                *(task.id(draft.row.id), draft.row.namespace, draft.row.id),
                *(task.node_id, iteration_text(task.iteration), task.attempt, task.queue),
                *(draft.row.priority, task.step_key, task.input, task.input_hash, draft.now),
                *("open", "", "", 0, 0.0, None, "", draft.now),
            )
            for draft in drafts
            for task in draft.new_tasks
        ]
        names = names_of(tasks)
        await self.insert(tasks, names, rows, "ON CONFLICT DO NOTHING")
        self.offered.update((draft.row.namespace, task.queue) for draft in drafts for task in draft.new_tasks)

    async def _ring(self, drafts: Sequence[Draft]) -> None:
        due = [draft for draft in drafts if draft.rings]
        rows = [
            (
                *(draft.row.id, draft.row.namespace, "bell", draft.row.priority, draft.now),
                draft.now + BELL_SPAN if self.rings else None,
            )
            for draft in due
        ]
        if self.rings:
            self.bells += [Bell(draft.row.id, draft.row.priority, draft.now + BELL_SPAN) for draft in due]
        columns = ("execution_id", "namespace", "kind", "priority", "created_at", "taken_until")
        await self.insert(outbox, columns, rows, "ON CONFLICT DO NOTHING")
        if silent := [draft.row.id for draft in drafts if draft.silences]:
            await self.delete(outbox, silent)


_failure = msgspec.json.Decoder(Failure)


def _searchable(error: str | None) -> tuple[str, str]:
    """(code, beginning of the message) of a failure's JSON."""
    if error is None:
        return "", ""
    failure = _failure.decode(error)
    return failure.code, failure.message[:1000]
