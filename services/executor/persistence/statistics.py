"""Counting ended executions once, and reading the counts. Any number of executors may count at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    delete,
    desc,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.sql.selectable import FromClause

from flow_engine.interpreter.events import Failure
from services.executor.persistence.database import Database
from services.executor.persistence.stats_tables import (
    ended_executions,
    learned_durations,
    stats_counts,
    stats_errors,
    stats_subjects,
)
from services.executor.persistence.tables import names_of, workflow_executions
from services.executor.persistence.transaction import Transaction
from services.executor.stats.figures import Figures, Group, Histograms, Series, StatsQuery, TopError
from services.executor.stats.periods import FINE, GRAINS, HOUR, Span, covering, forgotten_before, grains_of
from services.executor.stats.tally import (
    ALL,
    COUNTERS,
    NODE,
    NODE_TYPE,
    WORKFLOW,
    Counts,
    Ended,
    ErrorCount,
    Subject,
    Tally,
)
from services.executor.stats.unhurried import unhurried

_e = workflow_executions.c
_SUMS = (*COUNTERS, "peak_memory")
SMALL_BYTES = 64 << 10
PORTION, MANY = 200, 2_000
"""Rows that one statement writes, or reads."""


class _Place(NamedTuple):
    """A row of counts."""

    namespace: str
    grain: int
    subject: int
    period: int


class _ErrorPlace(NamedTuple):
    """A row of errors."""

    namespace: str
    grain: int
    period: int
    workflow_id: str
    code: str


P = TypeVar("P", _Place, _ErrorPlace)
K = TypeVar("K")


class _Estimate(msgspec.Struct, rename="camel"):
    mode: str = ""
    estimated_duration_ms: float | None = None


class _Metadata(msgspec.Struct):
    complexity: _Estimate | None = None


_metadata = msgspec.json.Decoder(_Metadata)
_failure = msgspec.json.Decoder(Failure)
_histograms = msgspec.json.Decoder(Histograms)
_list_of_histograms = msgspec.json.Decoder(list[Histograms])


@dataclass(frozen=True, slots=True)
class EndedRow:
    """An execution that is to be counted; its steps are still in its result, or in its history.

    result: left out if it is larger than SMALL_BYTES: many of those do not fit into memory.
    """

    ended: Ended
    result: bytes | None


class SqlStatistics:
    def __init__(self, database: Database) -> None:
        self._database = database

    # Counting ---------------------------------------------------------------------------------

    async def uncounted(self, limit: int) -> list[EndedRow]:
        """Executions that ended and are not counted yet, the oldest."""
        waiting = select(ended_executions.c.execution_id).order_by(ended_executions.c.execution_id)
        columns = (
            *(_e.id, _e.namespace, _e.workflow_id, _e.status, _e.execution_mode, _e.metadata, _e.retry_of),
            *(_e.created_at, _e.started_at, _e.completed_at, _e.error, _e.definition_hash),
            case((func.length(_e.result) <= SMALL_BYTES, _e.result)).label("result"),
        )
        rows = await self._database.read(select(*columns).where(_e.id.in_(waiting.limit(limit))))
        return [_ended(row) async for row in unhurried(rows)]

    async def count(self, executions: Sequence[Ended], also: AlsoCount | None = None) -> int:
        """Add these to the counts, but for those that were counted meanwhile; how many were added."""
        additions = await _additions(executions)

        async def work(transaction: Transaction) -> int:
            # One after the other: two that add to the same rows in another order would wait for each other.
            await transaction.serialize("statistics")
            ids = [ended.id for ended in executions]
            columns = ended_executions.c
            taken = delete(ended_executions).where(columns.execution_id.in_(ids))
            fresh = {row[0] for row in await transaction.fetch(taken.returning(columns.execution_id))}
            counted = [ended for ended in executions if ended.id in fresh]
            now = int((await transaction.now()).timestamp())
            all_fresh = len(fresh) == len(ids)
            await _add(transaction, additions if all_fresh else await _additions(counted), now)
            if also is not None:
                await also(transaction, counted)
            return len(counted)

        return await self._database.write(work)

    async def forget_old(self, now: int) -> None:
        """Drop periods that larger ones stand for by now. now: seconds since 1970."""

        async def work(transaction: Transaction) -> None:
            for grain in (FINE, HOUR):
                for table in (stats_counts, stats_errors):
                    old = and_(table.c.grain == grain, table.c.period < forgotten_before(grain, now))
                    await transaction.execute(delete(table).where(old))

        await self._database.write(work)

    async def learned(self, namespace: str, definition_hash: str) -> dict[str, str]:
        """What is known, as JSON, of a definition and, under the empty hash, of node types."""
        columns = learned_durations.c
        statement = select(columns.definition_hash, columns.learned).where(
            columns.namespace == namespace, columns.definition_hash.in_(("", definition_hash))
        )
        return {row.definition_hash: row.learned for row in await self._database.read(statement)}

    # Reading ----------------------------------------------------------------------------------

    async def read(self, query: StatsQuery) -> Figures:
        """Sums by SQL; what comes back is a row for each workflow, node and error that is told."""
        spans = covering(query.start, query.counted_until)
        mine = query.workflow_id is not None
        whole = Subject(WORKFLOW, query.workflow_id or "") if mine else Subject(ALL)
        leading = await self._leading(query, spans)
        told = await self._groups(query.namespace, spans, {row.subject: row for row in leading})
        total = told.get(whole.scope, [])
        return Figures(
            total=total[0] if total else Group({}, {}, {}),
            workflows=[] if mine else told.get(WORKFLOW, []),
            node_types=await self._types_of_nodes(query, spans) if mine else told.get(NODE_TYPE, []),
            slowest_nodes=told.get(NODE, []),
            errors=await self._errors(query, spans),
            series=await self._series(query, whole),
            uncounted=await self._waiting(query.namespace),
        )

    async def _leading(self, query: StatsQuery, spans: Sequence[Span]) -> Sequence[Any]:
        """The first few subjects of each scope: nodes by mean duration, others by runs."""
        subjects = stats_subjects.c
        about = [subjects.namespace == query.namespace]
        if query.workflow_id is not None:
            about += [subjects.workflow_id == query.workflow_id, subjects.scope.in_((WORKFLOW, NODE))]
        if query.waiting_types:
            about.append(or_(subjects.scope != NODE, subjects.node_type.not_in(query.waiting_types)))
        # Of all subjects only what the order hangs on.
        sums = _sums(query.namespace, spans, ("runs", "timed", "duration_us")).subquery()
        place = case((subjects.scope == NODE, sums.c.duration_us * 1.0 / sums.c.timed), else_=sums.c.runs)
        rank = func.row_number().over(
            partition_by=subjects.scope,
            order_by=(desc(place), subjects.workflow_id, subjects.node_id, subjects.node_type),
        )
        ranked = (
            select(
                *(subjects.scope, subjects.workflow_id, subjects.node_id, subjects.node_type),
                *(subjects.subject, rank.label("rank")),
            )
            .join(sums, sums.c.subject == subjects.subject)
            .where(*about, or_(subjects.scope != NODE, sums.c.timed > 0))
            .subquery()
        )
        statement = select(ranked).where(ranked.c.rank <= query.limit).order_by(ranked.c.scope, ranked.c.rank)
        return await self._database.read(statement)

    async def _groups(
        self, namespace: str, spans: Sequence[Span], leading: Mapping[int, Any]
    ) -> dict[str, list[Group]]:
        """By scope, in the order of `leading`, which is by subject."""
        if not leading:
            return {}
        about = stats_counts.c.subject.in_(leading)
        statement = _sums(namespace, spans, _SUMS, about, histograms=True)
        found = {row.subject: row for row in await self._database.read(statement)}
        groups: dict[str, list[Group]] = {}
        for number, row in leading.items():
            names = {name: getattr(row, name) for name in _NAMES[row.scope]}
            groups.setdefault(row.scope, []).append(_group(found[number], names))
        return groups

    async def _types_of_nodes(self, query: StatsQuery, spans: Sequence[Span]) -> list[Group]:
        """The node types of one workflow: they have no counts of their own."""
        subjects, counts = stats_subjects.c, stats_counts.c
        nodes = and_(
            subjects.namespace == query.namespace,
            subjects.scope == NODE,
            subjects.workflow_id == query.workflow_id,
        )
        about = counts.subject.in_(select(subjects.subject).where(nodes))
        sums = _sums(query.namespace, spans, _SUMS, about, histograms=True).subquery()
        statement = (
            select(subjects.node_type, *_added(sums, _SUMS), _listed(sums))
            .join(sums, sums.c.subject == subjects.subject)
            .where(nodes)
            .group_by(subjects.node_type)
            .order_by(desc(func.sum(sums.c.runs)), subjects.node_type)
            .limit(query.limit)
        )
        rows = await self._database.read(statement)
        return [_group(row, {"node_type": row.node_type}) for row in rows]

    async def _errors(self, query: StatsQuery, spans: Sequence[Span]) -> list[TopError]:
        errors = stats_errors.c
        about = [errors.namespace == query.namespace, or_(*(_within(stats_errors, span) for span in spans))]
        if query.workflow_id is not None:
            about.append(errors.workflow_id == query.workflow_id)
        total = func.sum(errors.count).label("total")
        newest = func.max(errors.execution_id).label("newest")
        top = (
            select(errors.code, errors.workflow_id, total, newest)
            .where(*about)
            .group_by(errors.code, errors.workflow_id)
            .order_by(desc(total), errors.code, errors.workflow_id)
            .limit(query.limit)
        )
        rows = await self._database.read(top)
        if not rows:
            return []
        wanted = errors.execution_id.in_([row.newest for row in rows])
        told = select(errors.execution_id, errors.message).where(*about, wanted).distinct()
        messages = {row.execution_id: row.message for row in await self._database.read(told)}
        return [
            TopError(row.code, row.workflow_id, int(row.total), row.newest, messages.get(row.newest, ""))
            for row in rows
        ]

    async def _series(self, query: StatsQuery, whole: Subject) -> Series:
        counts, spans = stats_counts.c, covering(query.start, query.end, grains_of(query.bucket))
        point = (counts.period - counts.period % query.bucket).label("point")
        statement = (
            select(
                point,
                func.sum(counts.completed).label("completed"),
                func.sum(counts.failed).label("failed"),
                func.sum(counts.cancelled).label("cancelled"),
            )
            .where(
                counts.namespace == query.namespace,
                counts.subject == whole.key(query.namespace),
                or_(*(_within(stats_counts, span) for span in spans)),
            )
            .group_by(point)
        )
        found = {
            int(row.point): (int(row.completed), int(row.failed), int(row.cancelled))
            for row in await self._database.read(statement)
        }
        first = query.start - query.start % query.bucket
        return [(time, *found.get(time, (0, 0, 0))) for time in range(first, query.end, query.bucket)]

    async def _waiting(self, namespace: str) -> int:
        some = select(literal(1)).where(ended_executions.c.namespace == namespace).limit(100_000).subquery()
        (row,) = await self._database.read(select(func.count().label("count")).select_from(some))
        return int(row._mapping["count"])


async def rewrite_learned(
    transaction: Transaction,
    keys: Collection[tuple[str, str]],
    change: Callable[[dict[tuple[str, str], str]], None],
) -> None:
    """Let `change` work on what is known, by (namespace, definition hash). Only within `count`."""
    columns = learned_durations.c
    these = tuple_(columns.namespace, columns.definition_hash).in_(sorted(keys))
    rows = await transaction.fetch(select(learned_durations).where(these))
    known = {(row.namespace, row.definition_hash): row.learned for row in rows}
    change(known)
    await transaction.insert(
        learned_durations,
        names_of(learned_durations),
        [(*key, text) for key, text in sorted(known.items())],
        "ON CONFLICT (namespace, definition_hash) DO UPDATE SET learned = excluded.learned",
    )


AlsoCount = Callable[[Transaction, Sequence[Ended]], Awaitable[None]]


def _within(table: SqlTable, span: Span) -> ColumnElement[bool]:
    columns = table.c
    return and_(columns.grain == span.grain, columns.period >= span.first, columns.period < span.end)


_NAMES = {
    ALL: (),
    WORKFLOW: ("workflow_id",),
    NODE_TYPE: ("node_type",),
    NODE: ("workflow_id", "node_id", "node_type"),
}


def _sums(
    namespace: str,
    spans: Sequence[Span],
    names: Sequence[str],
    *about: ColumnElement[bool],
    histograms: bool = False,
) -> Select[Any]:
    """By subject. One part for each span: an index is walked from its begin to its end."""
    counts = stats_counts.c
    columns = [counts[name] for name in (*names, *(("histograms",) if histograms else ()))]
    parts = union_all(
        *(
            select(counts.subject, *columns).where(
                counts.namespace == namespace, _within(stats_counts, span), *about
            )
            for span in spans
        )
    ).subquery()
    added = [*_added(parts, names), *([_listed(parts)] if histograms else [])]
    return select(parts.c.subject, *added).group_by(parts.c.subject)


def _added(parts: FromClause, names: Sequence[str]) -> list[ColumnElement[Any]]:
    most = "peak_memory"
    return [(func.max if name == most else func.sum)(parts.c[name]).label(name) for name in names]


def _listed(parts: FromClause) -> ColumnElement[Any]:
    """Histograms behind one another, with commas."""
    return func.aggregate_strings(parts.c.histograms, ",").label("histograms")


def _group(row: Any, names: Mapping[str, str]) -> Group:
    values = row._mapping
    return Group(names, {name: int(values[name] or 0) for name in _SUMS}, merged(row.histograms))


def merged(listed: str) -> Histograms:
    """The sum of histograms that stand behind one another, with commas."""
    total = Counts()
    for one in _list_of_histograms.decode(f"[{listed}]"):
        total.add_histograms(one)
    return total.histograms


@dataclass(slots=True)
class _Additions:
    """What executions add to the rows of each table; those of one place are summed."""

    subjects: dict[tuple[str, ...], list[Any]] = field(default_factory=dict)
    counts: dict[_Place, Counts] = field(default_factory=dict)
    errors: dict[_ErrorPlace, ErrorCount] = field(default_factory=dict)


async def _additions(executions: Iterable[Ended]) -> _Additions:
    tally, found = Tally(), _Additions()
    async for _ in unhurried(tally.adding(executions)):
        pass
    async for (namespace, subject, fine), counts in unhurried(tally.counts.items()):
        number = subject.key(namespace)
        found.subjects[namespace, *subject] = [
            *(namespace, subject.scope, number),
            *(subject.workflow_id, subject.node_id, subject.node_type),
        ]
        for grain in GRAINS:
            place = _Place(namespace, grain, number, fine - fine % grain)
            there = found.counts.get(place)
            found.counts[place] = counts if there is None else there + counts
    for (namespace, fine, workflow_id, code), error in tally.errors.items():
        for grain in GRAINS:
            key = _ErrorPlace(namespace, grain, fine - fine % grain, workflow_id, code)
            found.errors[key] = found.errors.get(key, ErrorCount()) + error
    return found


async def _add(transaction: Transaction, additions: _Additions, now: int) -> None:
    """Rows in the order of their keys, some at a time: others go on while the database writes them."""
    for subjects in _portions(sorted(additions.subjects)):
        rows = [additions.subjects[subject] for subject in subjects]
        await transaction.insert(stats_subjects, names_of(stats_subjects), rows, "ON CONFLICT DO NOTHING")
        await transaction.flush()
    kept = sorted(_kept(additions.counts, now))
    known = await _known(transaction, kept)
    for places in _portions(kept):
        rows = [[*place, *_values(additions.counts[place], known.get(place))] for place in places]
        await transaction.insert(stats_counts, (*_Place._fields, *_SUMS, "histograms"), rows, _ADD_COUNTS)
        await transaction.flush()
    await transaction.insert(
        stats_errors,
        names_of(stats_errors),
        [
            [*key, error.count, error.execution_id, error.message]
            for key in sorted(_kept(additions.errors, now))
            for error in (additions.errors[key],)
        ],
        "ON CONFLICT (namespace, grain, period, workflow_id, code) DO UPDATE SET "
        "count = stats_errors.count + excluded.count, execution_id = excluded.execution_id, "
        "message = excluded.message",
    )


def _portions(keys: Sequence[K], size: int = PORTION) -> Iterator[Sequence[K]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _kept(keys: Iterable[P], now: int) -> Iterator[P]:
    """Without those that would be dropped at once."""
    return (key for key in keys if key.period >= forgotten_before(key.grain, now))


async def _known(transaction: Transaction, places: Iterable[_Place]) -> dict[_Place, str]:
    """The histograms that are kept already: nobody else changes them, as counting is serialized."""
    columns = stats_counts.c
    subjects: dict[tuple[str, int, int], list[int]] = {}
    for place in places:
        subjects.setdefault((place.namespace, place.grain, place.period), []).append(place.subject)
    found: dict[_Place, str] = {}
    for (namespace, grain, period), numbers in subjects.items():
        about = (columns.namespace == namespace, columns.grain == grain, columns.period == period)
        # Of many the database reads the whole period: not again and again for a few of them.
        for some in _portions(numbers, MANY):
            these = transaction.among(columns.subject, some)
            statement = select(columns.subject, columns.histograms).where(*about, these)
            for row in await transaction.fetch(statement):
                found[_Place(namespace, grain, row.subject, period)] = row.histograms
    return found


def _values(counts: Counts, known: str | None) -> list[int | str]:
    """known: its histograms so far, which are added up here; all else the database adds."""
    histograms = counts.histograms
    if known is not None:
        total = Counts(histograms=_histograms.decode(known))
        total.add_histograms(histograms)
        histograms = total.histograms
    sums = [counts.sums.get(name, 0) for name in COUNTERS]
    return [*sums, counts.peak_memory, msgspec.json.encode(histograms).decode()]


_ADD_COUNTS = (
    "ON CONFLICT (namespace, grain, subject, period) DO UPDATE SET "
    + ", ".join(f"{name} = stats_counts.{name} + excluded.{name}" for name in COUNTERS)
    + ", histograms = excluded.histograms"
    ", peak_memory = CASE WHEN stats_counts.peak_memory > excluded.peak_memory "
    "THEN stats_counts.peak_memory ELSE excluded.peak_memory END"
)


def _ended(row: Any) -> EndedRow:
    decided = _metadata.decode(row.metadata).complexity or _Estimate()
    error = None if row.error is None else _failure.decode(row.error)
    ended = Ended(
        id=row.id,
        namespace=row.namespace,
        workflow_id=row.workflow_id,
        status=row.status,
        mode=row.execution_mode,
        decided_mode=decided.mode,
        estimate_ms=decided.estimated_duration_ms,
        retry_of=row.retry_of,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        error_code=error.code if error else "",
        error_message=error.message[:500] if error else "",
        definition_hash=row.definition_hash,
    )
    return EndedRow(ended, None if row.result is None else row.result.encode())
