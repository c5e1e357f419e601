"""Deleting executions that ended long ago, in small batches, with what only they refer to.

Never touched: what is live, anything of the same tree of retries and children as something live, what is
not counted yet, and what ended less than a day ago, as its request id may still be repeated. Values are
deleted with the last execution that names them; whoever writes a name again says so on the value's own
row (`used_at`), so that a deletion that is under way sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, and_, delete, exists, literal, or_, select, tuple_

from services.executor.persistence.database import Database
from services.executor.persistence.stats_tables import ended_executions, learned_durations
from services.executor.persistence.tables import (
    Instant,
    definitions,
    execution_errors,
    execution_events,
    execution_tags,
    outbox,
    outbox_signals,
    payload_uses,
    payloads,
    signals,
    snapshots,
    tasks,
    workflow_executions,
    workflow_versions,
)
from services.executor.persistence.transaction import USED_SECONDS, Transaction

LEAST_AGE = timedelta(hours=25)
"""A day for request ids, and an hour in which clocks may differ."""
UNUSED_SECONDS = 2 * USED_SECONDS
"""A value that was named within this time is not deleted: far longer than any transaction lasts."""

_e = workflow_executions.c
OF_EXECUTION: Sequence[Table] = (
    *(execution_events, snapshots, signals, tasks, outbox, execution_tags, execution_errors),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk through the executions of a namespace stands."""

    created_at: datetime
    id: str
    workflow_id: str = ""
    completed_at: datetime | None = None
    definition_hash: str = ""


class SqlRetention:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def namespaces(self) -> list[str]:
        """That have executions: one look into an index for each."""
        found: list[str] = []
        while True:
            beyond = _e.namespace > (found[-1] if found else "")
            rows = await self._database.read(
                select(_e.namespace).where(beyond).order_by(_e.namespace).limit(1)
            )
            if not rows:
                return found
            found.append(rows[0].namespace)

    async def workflows(self, namespace: str, after: str | None) -> list[str]:
        """The next workflow id that has executions, if there is one."""
        statement = select(_e.workflow_id).where(_e.namespace == namespace)
        if after is not None:
            statement = statement.where(_e.workflow_id > after)
        rows = await self._database.read(statement.order_by(_e.workflow_id).limit(1))
        return [row.workflow_id for row in rows]

    async def walk(self, namespace: str, before: datetime, after: Place | None, limit: int) -> list[Place]:
        """What was created before a time, oldest first, beyond a place."""
        about = [_e.namespace == namespace, _e.created_at < before]
        if after is not None:
            reached = tuple_(literal(after.created_at, Instant()), literal(after.id))
            about.append(tuple_(_e.created_at, _e.id) > reached)
        columns = (_e.created_at, _e.id, _e.workflow_id, _e.completed_at, _e.definition_hash)
        statement = select(*columns).where(*about).order_by(_e.created_at, _e.id).limit(limit)
        rows = await self._database.read(statement)
        return [
            Place(row.created_at, row.id, row.workflow_id, row.completed_at, row.definition_hash)
            for row in rows
        ]

    async def newest_beyond(self, namespace: str, workflow_id: str, runs: int) -> datetime | None:
        """When the first one was created that is not among the newest so many of its workflow."""
        about = (_e.namespace == namespace, _e.workflow_id == workflow_id)
        statement = select(_e.created_at).where(*about).order_by(_e.created_at.desc(), _e.id.desc())
        rows = await self._database.read(statement.offset(runs).limit(1))
        return rows[0].created_at if rows else None

    async def unused_definitions(self, namespace: str, before: datetime, after: str, limit: int) -> list[str]:
        """Hashes beyond one, of what no stored workflow names and nobody has started since."""
        beyond = (definitions.c.namespace == namespace, definitions.c.hash > after, _unused(before))
        statement = select(definitions.c.hash).where(*beyond).order_by(definitions.c.hash).limit(limit)
        return [row.hash for row in await self._database.read(statement)]

    async def delete_definitions(self, namespace: str, hashes: Collection[str], before: datetime) -> int:
        """Those of them that are unused still, with what was learned of them; how many."""

        async def work(transaction: Transaction) -> int:
            these = (definitions.c.namespace == namespace, definitions.c.hash.in_(hashes), _unused(before))
            dropped = delete(definitions).where(*these).returning(definitions.c.hash)
            gone = [row.hash for row in await transaction.fetch(dropped)]
            learned = learned_durations.c
            about = (learned.namespace == namespace, learned.definition_hash.in_(gone))
            await transaction.execute(delete(learned_durations).where(*about))
            return len(gone)

        return await self._database.write(work)

    async def delete(self, ids: Collection[str]) -> int:
        """Those of them that may be; how many."""

        async def work(transaction: Transaction) -> int:
            chosen = (
                select(_e.id, _e.root_id)
                .where(_e.id.in_(ids), _e.completed_at < await transaction.now() - LEAST_AGE)
                .order_by(_e.id)
                .with_for_update(skip_locked=True)
            )
            roots = {row.id: row.root_id for row in await transaction.fetch(chosen)}
            if not roots:
                return 0
            # Asked once they are locked: a retry that was started before is seen, a later one waits for us.
            gone = sorted(set(roots) - await self._kept(transaction, roots))
            await self._delete(transaction, gone)
            return len(gone)

        return await self._database.write(work) if ids else 0

    async def _kept(self, transaction: Transaction, roots: dict[str, str]) -> set[str]:
        live = select(_e.root_id).where(_e.completed_at.is_(None), _e.root_id.in_(set(roots.values())))
        live_roots = {row.root_id for row in await transaction.fetch(live)}
        waiting = select(ended_executions.c.execution_id).where(ended_executions.c.execution_id.in_(roots))
        told = outbox_signals.c
        about_them = or_(told.source.in_(roots), told.target.in_(roots))
        signalled = select(told.source, told.target).where(about_them)
        busy = {row.execution_id for row in await transaction.fetch(waiting)}
        busy |= {id_ for row in await transaction.fetch(signalled) for id_ in (row.source, row.target)}
        return busy | {id_ for id_, root in roots.items() if root in live_roots}

    async def _delete(self, transaction: Transaction, ids: Sequence[str]) -> None:
        if not ids:
            return
        for table in OF_EXECUTION:
            await transaction.delete(table, ids)
        await transaction.delete(workflow_executions, ids, "id")
        uses = payload_uses.c
        freed = delete(payload_uses).where(uses.execution_id.in_(ids)).returning(uses.namespace, uses.hash)
        named = sorted({(row.namespace, row.hash) for row in await transaction.fetch(freed)})
        await self._drop_values(transaction, named)

    async def _drop_values(self, transaction: Transaction, named: Sequence[tuple[str, str]]) -> None:
        if not named:
            return
        columns, uses = payloads.c, payload_uses.c
        used = exists().where(and_(uses.namespace == columns.namespace, uses.hash == columns.hash))
        unused_since = int((await transaction.now()).timestamp()) - UNUSED_SECONDS
        await transaction.execute(
            delete(payloads).where(
                tuple_(columns.namespace, columns.hash).in_(named), columns.used_at < unused_since, ~used
            )
        )


def _unused(before: datetime) -> ColumnElement[bool]:
    columns, versions = definitions.c, workflow_versions.c
    same = and_(versions.namespace == columns.namespace, versions.definition_hash == columns.hash)
    return and_(columns.used_at < int(before.timestamp()), ~exists().where(same))
