"""Finding executions: newest first, by any combination of conditions, without reading what does not match.

Every single condition has an index that ends in (created_at, id). A search is a union of walks along
such an index, one for each combination of words that it asks for (status and mode, say), each of them
cut at the page's length: how long it takes hangs on the page, not on the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import product
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Select, func, literal, null, select, tuple_, union_all
from sqlalchemy.sql.selectable import FromClause

from services.executor.persistence.contract import LIVE, TERMINAL, ExecutionFilter, ExecutionRecord
from services.executor.persistence.database import Database
from services.executor.persistence.reading import record
from services.executor.persistence.tables import (
    DURATION_CLASSES,
    Instant,
    duration_class,
    execution_errors,
    execution_tags,
    workflow_executions,
)

_e, _t, _x = workflow_executions.c, execution_tags.c, execution_errors.c

IMMEDIATE_STATUSES = ("running", *TERMINAL)
"""Of immediate executions; the schema has it as a constraint."""


class Searching:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, where: ExecutionFilter, limit: int, before: tuple[datetime, str] | None
    ) -> list[ExecutionRecord]:
        found = [
            select(way.subquery())
            for way in self._ways(
                where, before, lambda way, place: way.order_by(*_newest(place)).limit(limit)
            )
        ]
        if not found:
            return []
        some = union_all(*found).subquery()
        columns = [null().label("result") if column is _e.result else column for column in _e]
        statement = (
            select(*columns)
            .join(some, _e.id == some.c.id)
            .order_by(some.c.created_at.desc(), some.c.id.desc())
            .limit(limit)
        )
        return [record(row) for row in await self._database.read(statement)]

    async def count(self, where: ExecutionFilter, most: int) -> int:
        """How many there are; `most` + 1 when there are more than `most`."""
        found = [
            select(way.subquery()) for way in self._ways(where, None, lambda way, place: way.limit(most + 1))
        ]
        if not found:
            return 0
        some = union_all(*found).limit(most + 1).subquery()
        (row,) = await self._database.read(select(func.count().label("count")).select_from(some))
        return int(row._mapping["count"])

    def _ways(
        self, where: ExecutionFilter, before: tuple[datetime, str] | None, cut: Any
    ) -> list[Select[Any]]:
        """Selects of (created_at, id) that find every match exactly once between them."""
        return [
            cut(
                select(place.c.created_at, _id_of(place).label("id"))
                .select_from(source)
                .where(*conditions, *_within(place, where, before)),
                place,
            )
            for place, source, conditions in self._walks(where)
        ]

    def _walks(
        self, where: ExecutionFilter
    ) -> Iterator[tuple[FromClause, FromClause, list[ColumnElement[bool]]]]:
        """(what the index is on, what is read, conditions): the most telling condition leads."""
        others = list(self._conditions(where))
        if where.parent_id:
            about = [_e.namespace == where.namespace, _e.parent_id == where.parent_id, _e.parent_id != ""]
            yield workflow_executions, workflow_executions, [*about, *others]
        elif where.tags:
            tag = where.tags[0]
            source = execution_tags.join(workflow_executions, _e.id == _t.execution_id)
            yield execution_tags, source, [_t.namespace == where.namespace, _t.tag == tag, *others]
        elif where.error_code or where.error_text:
            source = execution_errors.join(workflow_executions, _e.id == _x.execution_id)
            about = [_x.namespace == where.namespace]
            if where.error_code:
                about.append(_x.code == where.error_code)
            if where.error_text:
                about.append(_x.message.icontains(where.error_text, autoescape=True))
            yield execution_errors, source, [*about, *others]
        elif where.min_duration_ms is not None or where.max_duration_ms is not None:
            least = duration_class(where.min_duration_ms or 0)
            most = (
                DURATION_CLASSES - 1
                if where.max_duration_ms is None
                else duration_class(where.max_duration_ms)
            )
            for number in range(least, most + 1):
                about = [_e.namespace == where.namespace, _e.duration_class == number]
                yield workflow_executions, workflow_executions, [*about, *others]
        else:
            for about in self._words(where):
                yield workflow_executions, workflow_executions, about

    def _words(self, where: ExecutionFilter) -> Iterator[list[ColumnElement[bool]]]:
        """One for each workflow, status and mode that is asked for."""
        mine = [_e.namespace == where.namespace]
        if where.workflow_id:
            mine.append(_e.workflow_id == where.workflow_id)
        elif not where.statuses and not where.mode:
            yield mine
            return
        statuses = dict.fromkeys(where.statuses or (*LIVE, *TERMINAL))
        modes = (where.mode,) if where.mode else ("queued", "immediate")
        for status, mode in product(statuses, modes):
            if mode == "queued" or status in IMMEDIATE_STATUSES:
                yield [*mine, _e.status == status, _e.execution_mode == mode]

    def _conditions(self, where: ExecutionFilter) -> Iterator[ColumnElement[bool]]:
        """All that is asked for, where another condition leads."""
        if where.workflow_id:
            yield _e.workflow_id == where.workflow_id
        if where.statuses:
            yield _e.status.in_(where.statuses)
        if where.mode:
            yield _e.execution_mode == where.mode
        for tag in where.tags if where.parent_id else where.tags[1:]:
            also = execution_tags.alias()
            same = (also.c.namespace == where.namespace, also.c.tag == tag, also.c.execution_id == _e.id)
            yield select(literal(1)).select_from(also).where(*same).exists()
        if (where.parent_id or where.tags) and (where.error_code or where.error_text):
            about = [_x.execution_id == _e.id]
            if where.error_code:
                about.append(_x.code == where.error_code)
            if where.error_text:
                about.append(_x.message.icontains(where.error_text, autoescape=True))
            yield select(literal(1)).select_from(execution_errors).where(*about).exists()
        if where.min_duration_ms is not None:
            yield self._duration_ms >= where.min_duration_ms
        if where.max_duration_ms is not None:
            yield self._duration_ms < where.max_duration_ms + 1

    @property
    def _duration_ms(self) -> ColumnElement[Any]:
        """Of an ended execution that began; null for others."""
        if self._database.is_sqlite:
            days = func.julianday(_e.completed_at) - func.julianday(_e.started_at)
            return func.round(days * 86_400_000, 1)
        return func.extract("epoch", _e.completed_at - _e.started_at) * 1000


def _id_of(place: FromClause) -> ColumnElement[str]:
    column: ColumnElement[str] = place.c["id" if place is workflow_executions else "execution_id"]
    return column


def _newest(place: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return place.c.created_at.desc(), _id_of(place).desc()


def _within(
    place: FromClause, where: ExecutionFilter, before: tuple[datetime, str] | None
) -> Iterator[ColumnElement[bool]]:
    """The range of time, and where the page begins."""
    if where.created_after is not None:
        yield place.c.created_at > where.created_after
    if where.created_before is not None:
        yield place.c.created_at < where.created_before
    if before is not None:
        created_at, execution_id = before
        yield tuple_(place.c.created_at, _id_of(place)) < tuple_(
            literal(created_at, Instant()), literal(execution_id, sqlalchemy.Text())
        )
