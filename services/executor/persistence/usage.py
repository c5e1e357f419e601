"""How much each namespace uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import func, select

from services.executor.persistence.database import Database
from services.executor.persistence.tables import (
    definitions,
    execution_events,
    is_status,
    payloads,
    workflow_executions,
)

_e = workflow_executions.c


class SqlUsage:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def live(self) -> Mapping[str, tuple[int, int]]:
        """(running, pending) by namespace, each from an index of its own."""
        running, pending = Counter[str](), Counter[str]()
        for found, status in ((running, is_status("running")), (pending, is_status("pending"))):
            statement = select(_e.namespace, func.count().label("number")).where(status)
            for row in await self._database.read(statement.group_by(_e.namespace)):
                found[row.namespace] = row.number
        return {name: (running[name], pending[name]) for name in running | pending}

    async def stored(self) -> Mapping[str, int]:
        """Bytes of histories, values and definitions, by namespace."""
        bytes_of = Counter[str]()
        for namespace, value in (
            (execution_events.c.namespace, execution_events.c.events),
            (payloads.c.namespace, payloads.c.value),
            (definitions.c.namespace, definitions.c.definition),
        ):
            statement = select(namespace, func.sum(func.length(value)).label("bytes")).group_by(namespace)
            for row in await self._database.read(statement):
                bytes_of[row.namespace] += int(row.bytes or 0)
        return bytes_of
