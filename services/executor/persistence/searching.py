"""Finding executions: newest first, by any combination of conditions, without reading what does not match.

Every single condition has an index that ends in (created_at, id). A search is a walk along such an index,
or several side by side, one for each word that it asks for (status and mode, say), each of them cut at the
page's length: how long it takes hangs on the page, not on the table. Of several conditions the rarest leads,
and what it finds is held against the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any

import sqlalchemy
from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    column,
    func,
    literal,
    null,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
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
PROBE = 200
"""So many of the newest that meet a condition tell how frequent it is."""

Place = tuple[datetime, str]
"""Creation and id."""
Cut = Callable[[Select[Any], FromClause], Select[Any]]


@dataclass(frozen=True, slots=True)
class Walk:
    """One way along an index, for each of `words`."""

    place: FromClause  # what the index is on
    conditions: Sequence[ColumnElement[bool]]
    words: Sequence[Sequence[Any]] = ((),)  # values of `columns`
    columns: Sequence[ColumnElement[Any]] = ()

    @property
    def source(self) -> FromClause:
        if self.place is workflow_executions:
            return workflow_executions
        return self.place.join(workflow_executions, _e.id == self.place.c.execution_id)


class Searching:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, where: ExecutionFilter, limit: int, before: tuple[datetime, str] | None
    ) -> list[ExecutionRecord]:
        def newest(way: Select[Any], place: FromClause) -> Select[Any]:
            return way.order_by(*_newest(place)).limit(limit)

        found = await self._ways(where, before, newest)
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
        found = await self._ways(where, None, lambda way, place: way.limit(most + 1))
        if not found:
            return 0
        (row,) = await self._database.read(select(_count(found, most + 1).label("count")))
        return int(row._mapping["count"])

    async def _ways(self, where: ExecutionFilter, before: Place | None, cut: Cut) -> list[Select[Any]]:
        """Selects of (created_at, id) that find every match exactly once between them."""
        leaders = _leaders(where)
        leader = leaders[0] if len(leaders) == 1 else await self._rarest(where, before, leaders)
        walk, others = _walk(where, leader), list(self._others(where, leader))
        source = walk.source if others else walk.place
        return self._steps(walk, source, [*others, *_within(walk.place, where, before)], cut)

    async def _rarest(self, where: ExecutionFilter, before: Place | None, leaders: Sequence[str]) -> str:
        # A text is not looked for twice: errors of any text tell enough.
        probed = replace(where, error_text="") if where.error_text else where
        probes: list[Any] = []
        for number, leader in enumerate(leaders):
            walk = _walk(probed, leader)
            for step in self._steps(walk, walk.place, [*_within(walk.place, where, before)], _some_newest):
                newest = step.order_by(step.selected_columns.created_at.desc()).limit(PROBE)
                some = newest.subquery()
                created = some.c.created_at
                probes.append(
                    select(
                        literal(number).label("leader"),
                        *(func.count().label("matches"), func.min(created).label("oldest")),
                        func.max(created).label("newest"),
                    ).select_from(some)
                )
        found = await self._database.read(union_all(*probes))
        return leaders[rarest([Probe(row.leader, row.matches, row.oldest, row.newest) for row in found])]

    def _steps(
        self, walk: Walk, source: FromClause, also: Sequence[ColumnElement[bool]], cut: Cut
    ) -> list[Select[Any]]:
        place = walk.place
        way = (
            select(place.c.created_at, _id_of(place).label("id"))
            .select_from(source)
            .where(*walk.conditions, *also)
        )
        if len(walk.words) > 1 and not self._database.is_sqlite:
            # In one statement that is made and planned once, however many words there are.
            names = [column(one.name, one.type) for one in walk.columns]
            arrays = [
                bindparam(None, list(values), type_=ARRAY(one.type))
                for one, values in zip(walk.columns, zip(*walk.words, strict=True), strict=True)
            ]
            words = func.unnest(*arrays).table_valued(*names, name="words").render_derived()
            same = [one == words.c[one.name] for one in walk.columns]
            each = cut(way.where(*same), place).lateral()
            return [select(each.c.created_at, each.c.id).select_from(words.join(each, true()))]
        steps = (
            way.where(*(one == value for one, value in zip(walk.columns, word, strict=True)))
            for word in walk.words
        )
        return [select(cut(step, place).subquery()) for step in steps]

    def _others(self, where: ExecutionFilter, leader: str) -> Iterator[ColumnElement[bool]]:
        """All that is asked for beside what leads."""
        if leader != "words":
            if where.workflow_id:
                yield _e.workflow_id == where.workflow_id
            if where.statuses:
                yield _e.status.in_(where.statuses)
            if where.mode:
                yield _e.execution_mode == where.mode
        if leader != "parent" and where.parent_id:
            yield _e.parent_id == where.parent_id
        for number, tag in enumerate(where.tags):
            if leader != f"tag {number}":
                also = execution_tags.alias()
                same = (also.c.namespace == where.namespace, also.c.tag == tag)
                its = (also.c.created_at == _e.created_at, also.c.execution_id == _e.id)
                yield _there_is(also, *same, *its)
        if leader != "error" and (where.error_code or where.error_text):
            yield _there_is(execution_errors, _x.execution_id == _e.id, *_error(where))
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


def _leaders(where: ExecutionFilter) -> list[str]:
    """Conditions that an index begins with."""
    found = [*(["parent"] if where.parent_id else [])]
    found += [f"tag {number}" for number in range(len(where.tags))]
    if where.error_code or where.error_text:
        found.append("error")
    if where.min_duration_ms is not None or where.max_duration_ms is not None:
        found.append("duration")
    if where.workflow_id or where.statuses or where.mode:
        found.append("words")
    return found or ["words"]


def _walk(where: ExecutionFilter, leader: str) -> Walk:
    mine = _e.namespace == where.namespace
    match leader.split():
        case ["parent"]:
            return Walk(workflow_executions, [mine, _e.parent_id == where.parent_id, _e.parent_id != ""])
        case ["tag", number]:
            return Walk(execution_tags, [_t.namespace == where.namespace, _t.tag == where.tags[int(number)]])
        case ["error"]:
            return Walk(execution_errors, [_x.namespace == where.namespace, *_error(where)])
        case ["duration"]:
            least = duration_class(where.min_duration_ms or 0)
            most = DURATION_CLASSES - 1
            if where.max_duration_ms is not None:
                most = duration_class(where.max_duration_ms)
            classes = [(number,) for number in range(least, most + 1)]
            return Walk(workflow_executions, [mine], classes, [_e.duration_class])
        case _:
            if where.workflow_id:
                conditions = [mine, _e.workflow_id == where.workflow_id]
            elif where.statuses or where.mode:
                conditions = [mine]
            else:
                return Walk(workflow_executions, [mine])
            return Walk(workflow_executions, conditions, _words(where), [_e.status, _e.execution_mode])


def _words(where: ExecutionFilter) -> list[tuple[str, str]]:
    """Each status and mode that is asked for and that there is."""
    statuses = dict.fromkeys(where.statuses or (*LIVE, *TERMINAL))
    modes = (where.mode,) if where.mode else ("queued", "immediate")
    return [
        (status, mode)
        for status, mode in product(statuses, modes)
        if mode == "queued" or status in IMMEDIATE_STATUSES
    ]


def _error(where: ExecutionFilter) -> Iterator[ColumnElement[bool]]:
    if where.error_code:
        yield _x.code == where.error_code
    if where.error_text:
        yield _x.message.icontains(where.error_text, autoescape=True)


@dataclass(frozen=True, slots=True)
class Probe:
    """Of a word that a leader asks for: how many of the newest there are, PROBE at most, and since when."""

    leader: int
    count: int
    oldest: datetime | None
    newest: datetime | None


def rarest(probes: Sequence[Probe]) -> int:
    """The leader with the fewest matches: all of them where they are few, else by how close they stand."""
    newest = max((probe.newest for probe in probes if probe.newest is not None), default=None)
    totals: dict[int, tuple[float, int]] = {}
    for probe in probes:
        rate, count = totals.get(probe.leader, (0.0, 0))
        if probe.count >= PROBE and probe.oldest is not None and newest is not None:
            rate += probe.count / max((newest - probe.oldest).total_seconds(), 0.001)
        totals[probe.leader] = (rate, count + probe.count)
    return min(totals, key=lambda leader: (*totals[leader], leader))


def _some_newest(way: Select[Any], place: FromClause) -> Select[Any]:
    return way.order_by(*_newest(place)).limit(PROBE)


def _count(ways: Sequence[Select[Any]], most: int) -> ColumnElement[int]:
    if not ways:
        return literal(0)
    some = union_all(*ways).limit(most).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _there_is(table: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Looked up for each row that is found. EXISTS may be planned as a join with all that there are, which it
    is as soon as the plan is made for any values."""
    one = select(literal(1)).select_from(table).where(*conditions).correlate(workflow_executions)
    return one.limit(1).scalar_subquery().is_not(None)


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
