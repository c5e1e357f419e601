# ruff: noqa: S608 - the parts of statements are ours, values are always parameters
"""How deep the queue is, and who stands where in it: counted in indexes, and never further than asked.

Whoever stands in line goes by (queue_order, id). The lines lie one after another in an index; a place is
counted in each line that comes into question, from its head, up to a bound.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, literal_column, select, text

from services.executor.persistence.contract import MOST_AHEAD, QueueState
from services.executor.persistence.database import Database
from services.executor.persistence.tables import HELD, READY, is_held, is_ready, workflow_executions
from services.executor.persistence.transaction import instant

MOST_LINES = 100
"""That one place is counted over: queues of different needs, lines of different rates."""

_e = workflow_executions.c


class SqlDepth:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, most: int) -> QueueState:
        """most: of those that may be claimed, and of those that may not, so many are counted."""
        statement: Select[*tuple[Any, ...]] = select(
            _number(is_ready(), most).label("ready"),
            _number(is_held(), most).label("held"),
            _oldest(is_ready()).label("oldest_ready"),
            _oldest(is_held()).label("oldest_held"),
            literal_column(self._database.now).label("now"),
        )
        (row,) = await self._database.read(statement)
        ready, held = (_age(instant(row.now), since) for since in (row.oldest_ready, row.oldest_held))
        return QueueState(min(most, row.ready + row.held), max(ready, held), row.ready, ready)

    async def position(self, execution_id: str, namespace: str) -> int:
        """Among those of its namespace that may be claimed. From 1; 0 when it is not one of them.

        MOST_AHEAD + 1: so many are ahead of it, or more.
        """
        return await self._place(_READY_PLACE, execution_id, namespace)

    async def slot_place(self, execution_id: str, namespace: str, key: str) -> int:
        """The same among those that wait for a slot of this key."""
        return await self._place(_SLOT_PLACE, execution_id, namespace, key)

    async def rate_place(self, execution_id: str, namespace: str, key: str) -> int:
        return await self._place(_RATE_PLACE, execution_id, namespace, key)

    async def _place(self, statement: str, execution_id: str, namespace: str, key: str = "") -> int:
        values = {"id": execution_id, "namespace": namespace, "most": MOST_AHEAD + 1}
        asked = text(statement).bindparams(**values, **({"key": key} if ":key" in statement else {}))
        (row,) = await self._database.read(asked)
        return min(int(row.place), MOST_AHEAD + 1)


def _number(which: ColumnElement[bool], most: int) -> ScalarSelect[int]:
    some = select(literal_column("1")).select_from(workflow_executions).where(which).limit(most).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _oldest(which: ColumnElement[bool]) -> ScalarSelect[datetime | None]:
    return select(_e.pending_since).where(which).order_by(_e.pending_since).limit(1).scalar_subquery()


def _age(now: datetime, since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


_NOT_BEHIND = "(ahead.queue_order, ahead.id) <= (mine.queue_order, mine.id)"


def _place_over(lines: str, which: str) -> str:
    """lines: name of the column by whose values the lines of `which` are told apart."""
    line = f"""SELECT min({lines}) FROM workflow_executions WHERE {which} AND namespace = :namespace"""
    return f"""
WITH RECURSIVE lines (line) AS (
    {line}
    UNION ALL
    SELECT ({line} AND {lines} > lines.line) FROM lines WHERE lines.line IS NOT NULL
),
some_lines AS (SELECT line FROM lines WHERE line IS NOT NULL LIMIT {MOST_LINES}),
mine AS (
    SELECT queue_order, id FROM workflow_executions WHERE {which} AND namespace = :namespace AND id = :id
)
SELECT COALESCE(sum((
    SELECT count(*) FROM (
        SELECT 1 FROM workflow_executions AS ahead
        WHERE {which} AND namespace = :namespace AND {lines} = some_lines.line AND {_NOT_BEHIND}
        LIMIT :most
    ) AS those
)), 0) AS place
FROM mine CROSS JOIN some_lines
"""


_READY_PLACE = _place_over("needs", READY)
_SLOT_PLACE = _place_over("rate_wanted", f"{HELD} AND slot_wanted = :key")
_RATE_PLACE = f"""
SELECT count(*) AS place FROM (
    SELECT 1 FROM workflow_executions AS ahead CROSS JOIN (
        SELECT queue_order, id FROM workflow_executions
        WHERE rate_wanted <> '' AND namespace = :namespace AND rate_wanted = :key AND id = :id
    ) AS mine
    WHERE ahead.rate_wanted <> '' AND ahead.namespace = :namespace AND ahead.rate_wanted = :key
        AND {_NOT_BEHIND}
    LIMIT :most
) AS those
"""
