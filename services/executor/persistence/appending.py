"""Starts and reports, committed in groups: each batch is one transaction. PROTOCOL 1, 6, 7 and 10."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import and_, delete, or_, select

from flow_engine.errors import ExecutionNotFound, FlowEngineError, IdempotencyConflict, Unavailable
from flow_engine.ids import ExecutionId
from services.executor.persistence.admission import Admittance, admittance, asks_at_once
from services.executor.persistence.audit_entries import Deed, insert_deeds, present_deed
from services.executor.persistence.children import fates_of, forget_starts, of_children
from services.executor.persistence.conflicts import verdict
from services.executor.persistence.contract import (
    ImmediateRun,
    NewExecution,
    Report,
    ReportOutcome,
    ReportReply,
    Started,
    StoredBatch,
)
from services.executor.persistence.control import pause
from services.executor.persistence.database import Conflict, Database, NotStorable
from services.executor.persistence.groupcommit import GroupCommit
from services.executor.persistence.moves import Draft
from services.executor.persistence.reading import batches_after, record_of, stored_batch
from services.executor.persistence.reports import accept, body_hash, is_repetition, refusal
from services.executor.persistence.starting import begin, events_at_start
from services.executor.persistence.tables import (
    definitions,
    execution_events,
    idempotency_keys,
    names_of,
    workflow_executions,
)
from services.executor.persistence.transaction import USED_SECONDS, Transaction

REQUEST_ID_HOURS = 24


@dataclass(frozen=True, slots=True)
class Start:
    new: NewExecution
    run: ImmediateRun | None
    deed: Deed | None = field(default_factory=present_deed)  # of the call that it is made for


MOST_KNOWN = 10_000
"""Definitions of which is remembered that they are stored."""


class Appending:
    """The hot path. One batch is under way at a time; its members arrived during the one before."""

    def __init__(self, database: Database, lease: Callable[[str], timedelta]) -> None:
        self._database = database
        self._lease = lease
        # By (namespace, hash): when it was last written that it is in use.
        self._stored_definitions: dict[tuple[str, str], int] = {}
        self._group: GroupCommit[Start | Report, Started | ReportReply] = GroupCommit(
            self._commit, _keys, _size
        )

    async def create(self, new: NewExecution, run: ImmediateRun | None) -> Started:
        # A start with a policy waits for others of its workflow or key: nobody in a batch shall wait for it.
        alone = new.on_conflict != "allow" or asks_at_once(new, immediate=run is not None)
        answer = await (self._start_alone(new, run) if alone else self._group.submit(Start(new, run)))
        assert isinstance(answer, Started)
        return answer

    async def _start_alone(self, new: NewExecution, run: ImmediateRun | None) -> Started | ReportReply:
        (answer,) = await self._commit([Start(new, run)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def report(self, report: Report) -> ReportReply:
        answer = await self._group.submit(report)
        assert isinstance(answer, ReportReply)
        return answer

    async def stop(self) -> None:
        await self._group.stop()

    async def _commit(self, members: Sequence[Start | Report]) -> Sequence[Started | ReportReply | Exception]:
        """One transaction for all; where the database refuses that, one for each."""
        try:
            return await self._database.write(
                lambda transaction: self._write(transaction, members, hasty=True), attempts=1, tells=False
            )
        except (Conflict, NotStorable) as error:
            if len(members) == 1:
                return [await self._alone(members[0], error)]
            return [answer for member in members for answer in await self._commit([member])]

    async def _alone(
        self, member: Start | Report, error: Conflict | NotStorable
    ) -> Started | ReportReply | Exception:
        """After a conflict the other side has committed: now its work is seen, and settles ours."""
        if isinstance(error, NotStorable):
            return error
        try:
            (answer,) = await self._database.write(
                lambda transaction: self._write(transaction, [member], hasty=False), tells=False
            )
        except Conflict as again:
            return Unavailable(f"the database keeps refusing: {again}")
        except NotStorable as refused:
            return refused
        return answer

    async def _write(
        self, transaction: Transaction, members: Sequence[Start | Report], *, hasty: bool
    ) -> Sequence[Started | ReportReply | Exception]:
        """hasty: do not look whether a plain start is there already, by its id or request id. It hardly ever
        is; if it is, the database refuses the batch, and each member is looked at by itself."""
        parents = {member.new.parent_id for member in members if isinstance(member, Start)} - {""}
        for parent_id in sorted(parents):
            await transaction.serialize(of_children(parent_id))
        keys = {key for member in members for key in _rows(member, hasty=hasty)}
        locked = await transaction.lock(sorted(keys)) if keys else {}
        starts = [member for member in members if isinstance(member, Start)]
        answers: dict[str, Started | ReportReply | Exception] = {}
        if starts:
            answers.update(await self._start(transaction, starts, locked, hasty=hasty))
        reports = [member for member in members if isinstance(member, Report)]
        accepted = [report for report in reports if self._decide(report, locked, answers)]
        await transaction.write([locked[report.execution_id] for report in accepted])
        for report in reports:
            if report.execution_id not in answers:
                answers[report.execution_id] = await self._reply(
                    transaction, report, locked[report.execution_id]
                )
        return [answers[_id(member)] for member in members]

    # Starts -----------------------------------------------------------------------------------

    async def _start(
        self, transaction: Transaction, starts: Sequence[Start], locked: dict[str, Draft], *, hasty: bool
    ) -> dict[str, Started | Exception]:
        now = await transaction.now()
        answers: dict[str, Started | Exception] = {
            start.new.id: _started(locked[start.new.id], start, created=True)
            for start in starts
            if start.new.id in locked
        }
        answers |= {
            start.new.id: ExecutionNotFound(start.new.retry_of)  # deleted since it was read
            for start in starts
            if start.new.retry_of and start.new.retry_of not in locked and start.new.id not in answers
        }
        answers |= await self._known_requests(
            transaction,
            [s for s in starts if s.new.id not in answers and not (hasty and _is_plain(s.new))],
            now,
        )
        answers |= await self._live_retries(transaction, [s for s in starts if s.new.id not in answers])
        fates = await fates_of(
            transaction, [s.new for s in starts if s.new.parent_id and s.new.id not in answers]
        )
        answers |= {id_: Started(id_, created=False) for id_, fate in fates.items() if fate == "none"}
        with_policy = [s for s in starts if s.new.id not in answers and s.new.on_conflict != "allow"]
        adopted, replaced = await self._conflicts(transaction, with_policy, answers)
        fresh = [start for start in starts if start.new.id not in answers]
        admittances = await self._admittances(transaction, fresh, answers)
        fresh = [start for start in fresh if start.new.id not in answers]
        drafts: list[tuple[Draft, dict[str, Any]]] = []
        for start in fresh:
            owner = start.run.owner if start.run else ""
            try:
                admitted = admittances.get(start.new.id)
                drafts.append(begin(start.new, start.run, now, self._lease(owner), admitted))
            except FlowEngineError as error:
                answers[start.new.id] = error
        begun = {draft.row.id: draft for draft, _ in drafts}
        fixed = {draft.row.id: columns for draft, columns in drafts}
        for execution_id, fate in fates.items():
            if fate == "paused" and execution_id in begun:
                pause(begun[execution_id], "parent")
        fresh = [start for start in fresh if start.new.id in begun]
        await self._store_definitions(transaction, fresh)
        named = [*((start.new, start.new.id) for start in fresh), *adopted]
        await self._store_requests(transaction, named, now)
        await transaction.insert_executions(drafts)
        await transaction.write([draft for draft, _ in drafts])
        await _tell(transaction, fresh)
        await forget_starts(transaction, [start.new.id for start in starts if start.new.parent_id])
        return answers | {
            start.new.id: _started(
                begun[start.new.id],
                start,
                created=True,
                replaced=(
                    *replaced.get(start.new.id, ()),
                    *(admittances[start.new.id].replaced if start.new.id in admittances else ()),
                ),
                fixed=fixed[start.new.id],
            )
            for start in fresh
        }

    async def _known_requests(
        self, transaction: Transaction, starts: Sequence[Start], now: datetime
    ) -> dict[str, Started | Exception]:
        """Answers for starts whose request id was used within its time."""
        asked = {
            (start.new.namespace, start.new.request_id): start.new for start in starts if start.new.request_id
        }
        if not asked:
            return {}
        keys = idempotency_keys.c
        these = or_(*(and_(keys.namespace == space, keys.request_id == request) for space, request in asked))
        await transaction.execute(delete(idempotency_keys).where(these, keys.expires_at <= now))
        answers: dict[str, Started | Exception] = {}
        for row in await transaction.fetch(select(idempotency_keys).where(these)):
            new = asked[row.namespace, row.request_id]
            if row.request_hash != new.request_hash:
                answers[new.id] = IdempotencyConflict(new.request_id)
            else:
                answers[new.id] = Started(ExecutionId(row.execution_id), created=False)
        return answers

    async def _live_retries(
        self, transaction: Transaction, starts: Sequence[Start]
    ) -> dict[str, Started | Exception]:
        retries = {
            (start.new.namespace, start.new.retry_of): start.new for start in starts if start.new.retry_of
        }
        if not retries:
            return {}
        columns = workflow_executions.c
        statement = select(columns.id, columns.namespace, columns.retry_of).where(
            columns.retry_of.in_([retried for _, retried in retries]), columns.completed_at.is_(None)
        )
        return {
            retries[row.namespace, row.retry_of].id: Started(ExecutionId(row.id), created=False)
            for row in await transaction.fetch(statement)
            if (row.namespace, row.retry_of) in retries
        }

    async def _store_definitions(self, transaction: Transaction, starts: Sequence[Start]) -> None:
        rows = {(start.new.namespace, start.new.definition_hash): start.new.definition for start in starts}
        now, known = int((await transaction.now()).timestamp()), self._stored_definitions
        unknown = [key for key in sorted(rows) if known.get(key, 0) <= now - USED_SECONDS]
        if not unknown:
            return
        await transaction.insert(
            definitions,
            ("namespace", "hash", "definition", "used_at"),
            [(*key, rows[key], now) for key in unknown],
            "ON CONFLICT (namespace, hash) DO UPDATE SET used_at = excluded.used_at "
            f"WHERE definitions.used_at IS NULL OR definitions.used_at <= excluded.used_at - {USED_SECONDS}",
        )
        if len(known) > MOST_KNOWN:
            known.clear()
        transaction.after_commit.append(lambda: known.update(dict.fromkeys(unknown, now)))

    async def _conflicts(
        self, transaction: Transaction, starts: Sequence[Start], answers: dict[str, Started | Exception]
    ) -> tuple[list[tuple[NewExecution, ExecutionId]], dict[str, tuple[ExecutionId, ...]]]:
        """Answers those that begin nothing.

        Gives the starts that another execution answers, and what each other one replaces.
        """
        adopted: list[tuple[NewExecution, ExecutionId]] = []
        replaced: dict[str, tuple[ExecutionId, ...]] = {}
        for start in starts:
            try:
                found = await verdict(transaction, start.new)
            except FlowEngineError as error:
                answers[start.new.id] = error
                continue
            replaced[start.new.id] = found.replaced
            if found.existing is not None:
                answers[start.new.id] = Started(found.existing, created=False)
                adopted.append((start.new, found.existing))
        return adopted, replaced

    async def _admittances(
        self, transaction: Transaction, starts: Sequence[Start], answers: dict[str, Started | Exception]
    ) -> dict[str, Admittance]:
        """Of the starts whose limits must be known now. Answers those that are refused."""
        found: dict[str, Admittance] = {}
        for start in starts:
            if not asks_at_once(start.new, immediate=start.run is not None):
                continue
            try:
                found[start.new.id] = await admittance(transaction, start.new)
            except FlowEngineError as error:
                answers[start.new.id] = error
        return found

    async def _store_requests(
        self, transaction: Transaction, starts: Sequence[tuple[NewExecution, ExecutionId]], now: datetime
    ) -> None:
        """starts: each with the execution that answers it."""
        expires = now + timedelta(hours=REQUEST_ID_HOURS)
        rows = sorted(
            (new.namespace, new.request_id, new.request_hash, execution_id, expires)
            for new, execution_id in starts
            if new.request_id
        )
        await transaction.insert(idempotency_keys, names_of(idempotency_keys), rows)

    # Reports ----------------------------------------------------------------------------------

    def _decide(
        self, report: Report, locked: dict[str, Draft], answers: dict[str, Started | ReportReply | Exception]
    ) -> bool:
        """Whether it is accepted into the draft. Refusals that need no reading are answered here."""
        draft = locked.get(report.execution_id)
        if draft is None or report.namespace not in ("", draft.row.namespace):
            answers[report.execution_id] = ReportReply(report.execution_id, ReportOutcome.LEASE_LOST)
            return False
        if is_repetition(draft, report):
            return False
        match refusal(draft, report):
            case None:
                pass
            case ReportOutcome.UNSEEN_EVENTS:
                return False
            case outcome:
                answers[report.execution_id] = ReportReply(
                    report.execution_id, outcome, last_sequence=draft.row.last_sequence
                )
                return False
        try:
            accept(draft, report)
        except FlowEngineError as error:
            answers[report.execution_id] = error
            return False
        return True

    async def _reply(self, transaction: Transaction, report: Report, draft: Draft) -> ReportReply:
        row = draft.row
        outcome, first = ReportOutcome.OK, row.report_first_sequence
        if not draft.changed:
            if is_repetition(draft, report):
                first = await self._first_sequence_of(transaction, report, draft)
                outcome = ReportOutcome.OK if first else ReportOutcome.REPORT_CONFLICT
            else:
                outcome, first = ReportOutcome.UNSEEN_EVENTS, 0
        unseen: Sequence[StoredBatch] = ()
        if row.foreign_sequence > report.seen_sequence and outcome is not ReportOutcome.REPORT_CONFLICT:
            unseen = await _unseen(transaction, report)
        return ReportReply(report.execution_id, outcome, first, row.last_sequence, unseen)

    async def _first_sequence_of(self, transaction: Transaction, report: Report, draft: Draft) -> int:
        """Of a report that was accepted with this very body; 0 if with another."""
        hash_ = body_hash(report)
        if report.report_no == draft.row.report_no:
            return draft.row.report_first_sequence if draft.row.report_hash == hash_ else 0
        columns = execution_events.c
        rows = await transaction.fetch(
            select(columns.first_sequence).where(
                columns.execution_id == report.execution_id,
                columns.epoch == report.epoch,
                columns.report_no == report.report_no,
                columns.report_hash == hash_,
            )
        )
        return rows[0].first_sequence if rows else 0


async def _unseen(transaction: Transaction, report: Report) -> list[StoredBatch]:
    """Events after `seen_sequence` by other hands than the runner's."""
    statement = batches_after(report.execution_id, report.seen_sequence)
    rows = await transaction.fetch(statement.where(execution_events.c.epoch == 0))
    return [stored_batch(row) for row in rows]


def _started(
    draft: Draft,
    start: Start,
    *,
    created: bool,
    replaced: tuple[ExecutionId, ...] = (),
    fixed: Mapping[str, Any] | None = None,
) -> Started:
    """fixed: the columns beside the draft's, where it was begun just now."""
    first = events_at_start(start.new) + 1 if start.run and start.run.first else 0
    return Started(
        ExecutionId(draft.row.id),
        created,
        first,
        database_time=draft.now,
        deadline_at=draft.row.deadline_at,
        record=record_of(draft, fixed) if fixed is not None and draft.row.status != "running" else None,
        replaced=replaced,
        queued=start.run is not None and draft.row.status == "pending",
    )


async def _tell(transaction: Transaction, starts: Sequence[Start]) -> None:
    """In the audit log, who starts these; those of parents and schedules nobody started."""
    for start in starts:
        if start.deed is not None:
            start.deed.entry = msgspec.structs.replace(start.deed.entry, target=start.new.id)
    await insert_deeds(transaction, [start.deed for start in starts if start.deed is not None])


def _id(member: Start | Report) -> str:
    return member.new.id if isinstance(member, Start) else member.execution_id


def _rows(member: Start | Report, *, hasty: bool = False) -> Collection[str]:
    """Existing rows that it reads or changes: a start's own too, in case that it was committed already."""
    if isinstance(member, Report):
        return (member.execution_id,)
    if hasty and _is_plain(member.new):
        return ()
    return (member.new.id, member.new.retry_of) if member.new.retry_of else (member.new.id,)


def _is_plain(new: NewExecution) -> bool:
    """Nothing but its own row and request id decides whether it begins."""
    return not (new.parent_id or new.retry_of) and new.on_conflict == "allow"


def _keys(member: Start | Report) -> Collection[str]:
    keys = list(_rows(member))
    if isinstance(member, Start) and member.new.request_id:
        keys.append(f"request {member.new.namespace} {member.new.request_id}")
    return keys


def _size(member: Start | Report) -> int:
    if isinstance(member, Report):
        return len(member.events_json) + sum(len(text) for _, text in member.payloads)
    first = member.run.first if member.run else None
    values = sum(len(value.text) for value in first.payloads) if first else 0
    return len(member.new.definition) + len(member.new.input.text) + values
