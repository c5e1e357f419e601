"""How executions stand, row and history: two statements for all who ask at the same time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BindParameter, bindparam, select

from flow_engine.errors import ExecutionNotFound
from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import ExecutionRecord, StoredBatch
from services.executor.persistence.database import Database
from services.executor.persistence.groupcommit import GroupCommit
from services.executor.persistence.reading import record, stored_batch
from services.executor.persistence.tables import execution_events, workflow_executions

BEGINNING = 100
"""Events of a history that are read at once; few executions that wait have more."""

_IDS: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
_ROWS = select(workflow_executions).where(workflow_executions.c.id.in_(_IDS))
_EVENTS = (
    select(
        execution_events.c.execution_id,
        execution_events.c.first_sequence,
        execution_events.c.last_sequence,
        execution_events.c.events,
    )
    .where(execution_events.c.execution_id.in_(_IDS), execution_events.c.first_sequence <= BEGINNING)
    .order_by(execution_events.c.execution_id, execution_events.c.first_sequence)
)

Asked = tuple[ExecutionId, str]
"""An id, and the namespace that it must be of."""
Found = tuple[ExecutionRecord, list[StoredBatch]]


class Looking:
    """Reads in groups as others commit: who comes while one read is under way goes with the next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: GroupCommit[Asked, Found] = GroupCommit(self._read, lambda asked: ())

    async def look(self, execution_id: ExecutionId, namespace: str) -> Found:
        """The row, and the beginning of the history, at least as far as the row says unless that is long."""
        return await self._group.submit((execution_id, namespace))

    async def stop(self) -> None:
        await self._group.stop()

    async def _read(self, asked: Sequence[Asked]) -> Sequence[Found | Exception]:
        ids = {"ids": sorted({execution_id for execution_id, _ in asked})}
        rows = {(row.id, row.namespace): row for row in await self._database.read(_ROWS, ids)}
        batches: dict[str, list[StoredBatch]] = {}
        for row in await self._database.read(_EVENTS, ids):  # after the rows: they may tell of more by now
            batches.setdefault(row.execution_id, []).append(stored_batch(row))
        return [
            (record(rows[one]), batches.get(one[0], [])) if one in rows else ExecutionNotFound(one[0])
            for one in asked
        ]
