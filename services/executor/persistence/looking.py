"""How executions stand, row and history: two statements for all who ask at the same time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Text, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from flow_engine.errors import ExecutionNotFound
from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import ExecutionRecord, StoredBatch
from services.executor.persistence.database import Database
from services.executor.persistence.groupcommit import GroupCommit
from services.executor.persistence.reading import record, stored_batch
from services.executor.persistence.tables import execution_events, workflow_executions

BEGINNING = 100
"""Events of a history that are read at once; few executions that wait have more."""

_h = execution_events.c

Asked = tuple[ExecutionId, str]
"""An id, and the namespace that it must be of."""
Found = tuple[ExecutionRecord, list[StoredBatch]]


class Looking:
    """Reads in groups as others commit: who comes while one read is under way goes with the next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows, self._events = _statements(sqlite=database.is_sqlite)
        self._group: GroupCommit[Asked, Found] = GroupCommit(self._read, lambda asked: ())

    async def look(self, execution_id: ExecutionId, namespace: str) -> Found:
        """The row, and the beginning of the history, at least as far as the row says unless that is long."""
        return await self._group.submit((execution_id, namespace))

    async def stop(self) -> None:
        await self._group.stop()

    async def _read(self, asked: Sequence[Asked]) -> Sequence[Found | Exception]:
        ids = sorted({execution_id for execution_id, _ in asked})
        these = {"ids": json.dumps(ids) if self._database.is_sqlite else ids}
        rows = {(row.id, row.namespace): row for row in await self._database.read(self._rows, these)}
        # Read after the rows: they may tell of more by now.
        batches: dict[str, list[StoredBatch]] = {}
        for row in await self._database.read(self._events, these):
            batches.setdefault(row.execution_id, []).append(stored_batch(row))
        return [
            (record(rows[one]), batches.get(one[0], [])) if one in rows else ExecutionNotFound(one[0])
            for one in asked
        ]


@cache
def _statements(*, sqlite: bool) -> tuple[Select[Any], Select[Any]]:
    """Rows, and beginnings of histories, of the executions that parameter `ids` names.

    One text for any number of them: what is sent again is neither made nor planned again.
    """

    def named(column: Column[str]) -> ColumnElement[bool]:
        if sqlite:
            each = func.json_each(bindparam("ids")).table_valued("value")
            return column.in_(select(each.c.value))
        return column == any_(bindparam("ids", type_=ARRAY(Text)))

    events = (
        select(_h.execution_id, _h.first_sequence, _h.last_sequence, _h.events)
        .where(named(_h.execution_id), _h.first_sequence <= BEGINNING)
        .order_by(_h.execution_id, _h.first_sequence)
    )
    return select(workflow_executions).where(named(workflow_executions.c.id)), events
