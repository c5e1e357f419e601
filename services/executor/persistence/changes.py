"""The stream over all executions: each committed batch of events is one change, in one order for all.

On PostgreSQL the order is that of transactions; only those are read before which none is under way any
more, so that nothing can appear behind a reader. On SQLite transactions are one after the other anyway.
Source: docs/protocol.md, "Seeing".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, select, true, tuple_

from services.executor.persistence.contract import Change, ChangeFilter, ChangePage, Place
from services.executor.persistence.database import Database
from services.executor.persistence.tables import execution_events, workflow_executions

HORIZON = "(SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint)"
"""Of the statement's own snapshot: every transaction below it is over and seen."""

_c, _e = execution_events.c, workflow_executions.c


class Changes:
    """has_tag: the condition that an execution has a tag."""

    def __init__(self, database: Database, has_tag: Callable[[str], ColumnElement[bool]]) -> None:
        self._database = database
        self._has_tag = has_tag

    async def head(self, namespace: str) -> Place:
        """Where a stream begins that shall show only what happens from now on."""
        statement = self._visible(
            select(_c.position, _c.execution_id, _c.first_sequence).where(_c.namespace == namespace)
        ).order_by(_c.position.desc(), _c.execution_id.desc(), _c.first_sequence.desc())
        rows = await self._database.read(statement.limit(1))
        return _place(rows[0]) if rows else Place(0, "", 0)

    async def after(self, place: Place, where: ChangeFilter, limit: int) -> ChangePage:
        """What follows a place; `limit` bounds the changes looked at, be they of interest or not."""
        wanted = self._wanted(where)
        statement = self._visible(
            select(
                *(_c.position, _c.execution_id, _c.first_sequence, _c.last_sequence),
                *(_c.status, _c.execution_mode, _c.finished_steps),
                *(_e.workflow_id, _e.workflow_name, _e.metadata, _e.started_at),
                case((wanted, _c.events)).label("events"),
            )
            .select_from(execution_events.join(workflow_executions, _e.id == _c.execution_id))
            .where(
                _c.namespace == where.namespace,
                _c.position >= max(place.position, 1),  # for the index
                tuple_(_c.position, _c.execution_id, _c.first_sequence) > tuple_(*place),
            )
        ).order_by(_c.position, _c.execution_id, _c.first_sequence)
        rows = await self._database.read(statement.limit(limit))
        reached = _place(rows[-1]) if rows else place
        return ChangePage(
            changes=[_change(row) for row in rows if row.events is not None],
            reached=reached,
            more=len(rows) == limit,
            unsettled=not rows and await self._unsettled(place, where.namespace),
        )

    async def _unsettled(self, place: Place, namespace: str) -> bool:
        if self._database.is_sqlite:
            return False
        newest = select(func.max(_c.position).label("newest")).where(_c.namespace == namespace)
        ((found,),) = await self._database.read(newest)
        return found is not None and found > place.position

    def _visible(self, statement: Select[Any]) -> Select[Any]:
        if self._database.is_sqlite:
            return statement
        return statement.where(_c.position < literal_column(HORIZON))

    def _wanted(self, where: ChangeFilter) -> ColumnElement[bool]:
        conditions: list[ColumnElement[bool]] = [self._has_tag(tag) for tag in where.tags]
        if where.workflow_id:
            conditions.append(_e.workflow_id == where.workflow_id)
        if where.statuses:
            conditions.append(_c.status.in_(where.statuses))
        if where.mode:
            conditions.append(_c.execution_mode == where.mode)
        return and_(true(), *conditions)


class _Metadata(msgspec.Struct):
    complexity: _Complexity | None = None


class _Complexity(msgspec.Struct, rename="camel"):
    node_count: int = 0
    loop_count: int = 0
    estimated_duration_ms: float | None = None


_metadata = msgspec.json.Decoder(_Metadata)


def _place(row: sqlalchemy.Row[Any]) -> Place:
    return Place(row.position, row.execution_id, row.first_sequence)


def _change(row: sqlalchemy.Row[Any]) -> Change:
    shape = _metadata.decode(row.metadata).complexity or _Complexity()
    return Change(
        place=_place(row),
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        status=row.status,
        mode=row.execution_mode,
        last_sequence=row.last_sequence,
        finished_steps=row.finished_steps,
        # How often the children of a loop will run is not known here.
        node_count=0 if shape.loop_count else shape.node_count,
        events_json=row.events,
        started_at=row.started_at,
        estimate_ms=shape.estimated_duration_ms,
    )
