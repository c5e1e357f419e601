"""Counting ended executions once, and reading the counts. Any number of executors may count at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    null,
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
    stats_buckets,
    stats_counts,
    stats_errors,
    stats_subjects,
)
from services.executor.persistence.tables import workflow_executions
from services.executor.persistence.transaction import Transaction
from services.executor.stats.figures import Figures, Group, Histogram, Series, StatsQuery, TopError
from services.executor.stats.periods import FINE, GRAINS, HOUR, Span, covering, forgotten_before, grains_of
from services.executor.stats.tally import ALL, COUNTERS, NODE, NODE_TYPE, WORKFLOW, Ended, Subject, Tally

_e = workflow_executions.c
_KEY = ("namespace", "grain", "subject", "period")
_SUMS = (*COUNTERS, "peak_memory")


class _Estimate(msgspec.Struct, rename="camel"):
    mode: str = ""
    estimated_duration_ms: float | None = None


class _Metadata(msgspec.Struct):
    complexity: _Estimate | None = None


_metadata = msgspec.json.Decoder(_Metadata)
_failure = msgspec.json.Decoder(Failure)


@dataclass(frozen=True, slots=True)
class EndedRow:
    """An execution that is to be counted; its steps are still in `result`, or in its history."""

    ended: Ended
    result: bytes | None


class SqlStatistics:
    def __init__(self, database: Database) -> None:
        self._database = database

    # Counting ---------------------------------------------------------------------------------

    async def uncounted(self, limit: int) -> list[EndedRow]:
        """Executions that ended and are not counted yet, oldest first."""
        waiting = select(ended_executions.c.execution_id).order_by(ended_executions.c.execution_id)
        columns = (
            *(_e.id, _e.namespace, _e.workflow_id, _e.status, _e.execution_mode, _e.metadata, _e.retry_of),
            *(_e.created_at, _e.started_at, _e.completed_at, _e.error, _e.definition_hash, _e.result),
        )
        statement = select(*columns).where(_e.id.in_(waiting.limit(limit)))
        return [_ended(row) for row in await self._database.read(statement)]

    async def count(self, executions: Sequence[Ended], also: AlsoCount | None = None) -> int:
        """Add these to the counts, but for those that were counted meanwhile; how many were added."""
        prepared = Tally.of(executions)

        async def work(transaction: Transaction) -> int:
            # One after the other: two that add to the same rows in another order would wait for each other.
            await transaction.serialize("statistics")
            ids = [ended.id for ended in executions]
            columns = ended_executions.c
            taken = delete(ended_executions).where(columns.execution_id.in_(ids))
            fresh = {row[0] for row in await transaction.fetch(taken.returning(columns.execution_id))}
            counted = [ended for ended in executions if ended.id in fresh]
            now = int((await transaction.now()).timestamp())
            await _add(transaction, prepared if len(fresh) == len(ids) else Tally.of(counted), now)
            if also is not None:
                await also(transaction, counted)
            return len(counted)

        return await self._database.write(work)

    async def forget_old(self, now: int) -> None:
        """Drop periods that larger ones stand for by now. now: seconds since 1970."""

        async def work(transaction: Transaction) -> None:
            for grain in (FINE, HOUR):
                for table in (stats_counts, stats_buckets, stats_errors):
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
        """Sums by SQL; what comes back is a few rows for each workflow, node and error that is told."""
        spans = covering(query.start, query.end)
        mine = query.workflow_id is not None
        whole = Subject(WORKFLOW, query.workflow_id or "") if mine else Subject(ALL)
        rows = await self._leading(query, spans)
        if mine:
            rows += await self._types_of_nodes(query, spans)
        numbers = sorted({row.subject for row in rows if row.subject is not None})
        histograms = await self._histograms(query.namespace, spans, numbers)
        if mine:
            histograms |= await self._histograms(query.namespace, spans, workflow_id=query.workflow_id)

        def told(scope: str, *names: str) -> list[Group]:
            return [_group(row, names, histograms) for row in rows if row.scope == scope]

        total = told(whole.scope)
        return Figures(
            total=total[0] if total else Group({}, {}, {}),
            workflows=[] if mine else told(WORKFLOW, "workflow_id"),
            node_types=told(NODE_TYPE, "node_type"),
            slowest_nodes=told(NODE, "workflow_id", "node_id", "node_type"),
            errors=await self._errors(query, spans),
            series=await self._series(query, whole),
            uncounted=await self._waiting(query.namespace),
        )

    async def _leading(self, query: StatsQuery, spans: Sequence[Span]) -> list[Any]:
        """The first few subjects of each scope, with their sums: nodes by mean duration, others by runs."""
        subjects = stats_subjects.c
        about = [subjects.namespace == query.namespace]
        if query.workflow_id is not None:
            about += [subjects.workflow_id == query.workflow_id, subjects.scope.in_((WORKFLOW, NODE))]
        if query.waiting_types:
            about.append(or_(subjects.scope != NODE, subjects.node_type.not_in(query.waiting_types)))
        sums = _sums(query.namespace, spans).subquery()
        place = case((subjects.scope == NODE, sums.c.duration_us * 1.0 / sums.c.timed), else_=sums.c.runs)
        rank = func.row_number().over(
            partition_by=subjects.scope,
            order_by=(desc(place), subjects.workflow_id, subjects.node_id, subjects.node_type),
        )
        ranked = (
            select(
                *(subjects.scope, subjects.workflow_id, subjects.node_id, subjects.node_type),
                *(column for column in sums.c),
                rank.label("rank"),
            )
            .join(sums, sums.c.subject == subjects.subject)
            .where(*about, or_(subjects.scope != NODE, sums.c.timed > 0))
            .subquery()
        )
        statement = select(ranked).where(ranked.c.rank <= query.limit).order_by(ranked.c.scope, ranked.c.rank)
        return list(await self._database.read(statement))

    async def _types_of_nodes(self, query: StatsQuery, spans: Sequence[Span]) -> list[Any]:
        """The node types of one workflow: they have no counts of their own."""
        subjects = stats_subjects.c
        sums = _sums(query.namespace, spans).subquery()
        added = [
            func.max(sums.c[name]).label(name)
            if name == "peak_memory"
            else func.sum(sums.c[name]).label(name)
            for name in _SUMS
        ]
        statement = (
            select(
                *(literal(NODE_TYPE).label("scope"), subjects.node_type, null().label("subject"), *added),
            )
            .join(sums, sums.c.subject == subjects.subject)
            .where(
                subjects.namespace == query.namespace,
                subjects.scope == NODE,
                subjects.workflow_id == query.workflow_id,
            )
            .group_by(subjects.node_type)
            .order_by(desc(func.sum(sums.c.runs)), subjects.node_type)
            .limit(query.limit)
        )
        return list(await self._database.read(statement))

    async def _histograms(
        self,
        namespace: str,
        spans: Sequence[Span],
        numbers: Sequence[int] = (),
        *,
        workflow_id: str | None = None,
    ) -> dict[Any, dict[str, Histogram]]:
        """By subject, or for a workflow by node type of its nodes; then by measure."""
        subjects, buckets = stats_subjects.c, stats_buckets.c
        about: ColumnElement[bool] = buckets.subject.in_(numbers)
        if workflow_id is not None:
            nodes = and_(subjects.scope == NODE, subjects.workflow_id == workflow_id)
            about = buckets.subject.in_(
                select(subjects.subject).where(subjects.namespace == namespace, nodes)
            )
        elif not numbers:
            return {}
        parts = union_all(
            *(
                select(buckets.subject, buckets.measure, buckets.bucket, buckets.count).where(
                    buckets.namespace == namespace, about, _within(stats_buckets, span)
                )
                for span in spans
            )
        ).subquery()
        source: FromClause = parts
        group: ColumnElement[Any] = parts.c.subject
        if workflow_id is not None:
            same = and_(subjects.namespace == namespace, subjects.subject == parts.c.subject)
            source, group = parts.join(stats_subjects, same), subjects.node_type
        key = (parts.c.measure, parts.c.bucket)
        total = func.sum(parts.c["count"]).label("total")
        statement = select(group.label("about"), *key, total).select_from(source).group_by(group, *key)
        found: dict[Any, dict[str, Histogram]] = {}
        for row in await self._database.read(statement):
            found.setdefault(row.about, {}).setdefault(row.measure, {})[row.bucket] = int(row.total)
        return found

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
        [column.name for column in learned_durations.columns],
        [(*key, text) for key, text in sorted(known.items())],
        "ON CONFLICT (namespace, definition_hash) DO UPDATE SET learned = excluded.learned",
    )


AlsoCount = Callable[[Transaction, Sequence[Ended]], Awaitable[None]]


def _within(table: SqlTable, span: Span) -> ColumnElement[bool]:
    columns = table.c
    return and_(columns.grain == span.grain, columns.period >= span.first, columns.period < span.end)


def _sums(namespace: str, spans: Sequence[Span]) -> Select[Any]:
    """By subject. One part for each span: an index is walked from its begin to its end."""
    counts = stats_counts.c
    parts = union_all(
        *(
            select(counts.subject, *(counts[name] for name in _SUMS)).where(
                counts.namespace == namespace, _within(stats_counts, span)
            )
            for span in spans
        )
    ).subquery()
    added = ((func.max if name == "peak_memory" else func.sum)(parts.c[name]).label(name) for name in _SUMS)
    return select(parts.c.subject, *added).group_by(parts.c.subject)


def _group(row: Any, names: Sequence[str], histograms: Mapping[Any, dict[str, Histogram]]) -> Group:
    values = row._mapping
    return Group(
        {name: values[name] for name in names},
        {name: int(values[name] or 0) for name in _SUMS},
        histograms.get(row.node_type if row.subject is None else row.subject, {}),
    )


async def _add(transaction: Transaction, tally: Tally, now: int) -> None:
    """Rows in the order of their keys, one for each grain."""
    subjects: dict[tuple[str, ...], list[Any]] = {}
    sums: dict[tuple[str, int, int, int], Counter[str]] = {}
    peaks: Counter[tuple[str, int, int, int]] = Counter()
    buckets: Counter[tuple[str, int, int, int, str, int]] = Counter()
    for (namespace, subject, fine), counts in tally.counts.items():
        number = subject.key(namespace)
        subjects[namespace, *subject] = [
            *(namespace, subject.scope, number),
            *(subject.workflow_id, subject.node_id, subject.node_type),
        ]
        for grain in _kept_grains(fine, now):
            place = (namespace, grain, number, fine - fine % grain)
            sums.setdefault(place, Counter()).update(counts.sums)
            peaks[place] = max(peaks[place], counts.peak_memory)
            for (measure, bucket), count in counts.buckets.items():
                buckets[*place, measure, bucket] += count
    await transaction.insert(
        stats_subjects,
        [column.name for column in stats_subjects.columns],
        [row for _, row in sorted(subjects.items())],
        "ON CONFLICT DO NOTHING",
    )
    await transaction.insert(
        stats_counts,
        (*_KEY, *_SUMS),
        [[*place, *(sums[place][name] for name in COUNTERS), peaks[place]] for place in sorted(sums)],
        _ADD_COUNTS,
    )
    await transaction.insert(
        stats_buckets,
        (*_KEY, "measure", "bucket", "count"),
        [[*place, count] for place, count in sorted(buckets.items())],
        "ON CONFLICT (namespace, grain, subject, period, measure, bucket) "
        "DO UPDATE SET count = stats_buckets.count + excluded.count",
    )
    await _add_errors(transaction, tally, now)


async def _add_errors(transaction: Transaction, tally: Tally, now: int) -> None:
    rows: dict[tuple[str, int, int, str, str], tuple[int, str, str]] = {}
    for (namespace, fine, workflow_id, code), error in tally.errors.items():
        for grain in _kept_grains(fine, now):
            key = (namespace, grain, fine - fine % grain, workflow_id, code)
            count, newest, message = rows.get(key, (0, "", ""))
            if error.execution_id > newest:
                newest, message = error.execution_id, error.message
            rows[key] = (count + error.count, newest, message)
    await transaction.insert(
        stats_errors,
        [column.name for column in stats_errors.columns],
        [[*key, *row] for key, row in sorted(rows.items())],
        "ON CONFLICT (namespace, grain, period, workflow_id, code) DO UPDATE SET "
        "count = stats_errors.count + excluded.count, execution_id = excluded.execution_id, "
        "message = excluded.message",
    )


def _kept_grains(period: int, now: int) -> list[int]:
    """Without those of which this period would be dropped at once."""
    return [grain for grain in GRAINS if period >= forgotten_before(grain, now)]


_ADD_COUNTS = (
    "ON CONFLICT (namespace, grain, subject, period) DO UPDATE SET "
    + ", ".join(f"{name} = stats_counts.{name} + excluded.{name}" for name in COUNTERS)
    + ", peak_memory = CASE WHEN stats_counts.peak_memory > excluded.peak_memory "
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
