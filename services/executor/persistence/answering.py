"""Answers to waiting steps, committed in groups as starts and reports are. PROTOCOL 10 and 14."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import and_, select, tuple_

from flow_engine.errors import AlreadyAnswered, ExecutionNotFound, FlowEngineError
from flow_engine.ids import ExecutionId, Iteration
from flow_engine.payload import Payload
from services.executor.persistence.audit_entries import Deed, insert_deeds, present_deed
from services.executor.persistence.contract import ExecutionRecord
from services.executor.persistence.control import answered, locked_record
from services.executor.persistence.database import Conflict, Database, NotStorable
from services.executor.persistence.groupcommit import GroupCommit
from services.executor.persistence.moves import Draft
from services.executor.persistence.reading import record_after, record_of
from services.executor.persistence.row import COLUMNS
from services.executor.persistence.tables import signals, workflow_executions
from services.executor.persistence.transaction import Transaction

FIXED = [column.name for column in workflow_executions.columns if column.name not in COLUMNS]

Instance = tuple[str, str, str, int]
"""One attempt of one step: execution id, node id, iteration as JSON, attempt."""


@dataclass(frozen=True, slots=True)
class Answer:
    execution_id: ExecutionId
    node_id: str
    iteration: Iteration
    attempt: int
    payload: Payload
    expected_sequence: int
    namespace: str
    record: ExecutionRecord | None = None  # how it stood at `expected_sequence`, without an answer
    deed: Deed | None = field(default_factory=present_deed)  # of the call that it is made for

    @property
    def instance(self) -> Instance:
        return self.execution_id, self.node_id, json.dumps(list(self.iteration)), self.attempt


Outcome = ExecutionRecord | None
"""None: something happened to the execution since the caller looked."""


class Answering:
    """One batch is under way at a time. Of two answers to one execution the later is in a later batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: GroupCommit[Answer, Outcome] = GroupCommit(
            self._commit, lambda answer: (answer.execution_id,), lambda answer: len(answer.payload.text)
        )

    async def signal(self, answer: Answer) -> Outcome:
        """Answers one instance of a step once; a repetition is known by the hash of its answer."""
        return await self._group.submit(answer)

    async def stop(self) -> None:
        await self._group.stop()

    async def _commit(self, answers: Sequence[Answer]) -> Sequence[Outcome | Exception]:
        """One transaction for all; where the database refuses that, one for each."""
        try:
            return await self._database.write(
                lambda transaction: write(transaction, answers), attempts=1, tells=False
            )
        except (Conflict, NotStorable):
            return [await self._alone(answer) for answer in answers]

    async def _alone(self, answer: Answer) -> Outcome | Exception:
        answer = replace(answer, record=None)  # it may be true no more
        try:
            return (
                await self._database.write(lambda transaction: write(transaction, [answer]), tells=False)
            )[0]
        except (Conflict, NotStorable) as error:
            return error


async def write(transaction: Transaction, answers: Sequence[Answer]) -> list[Outcome | Exception]:
    """In their order: each execution as it is now, None or why the answer is refused."""
    drafts = await transaction.lock(sorted(answer.execution_id for answer in answers))
    unclear = [answer for answer in answers if _is_unclear(answer, drafts.get(answer.execution_id))]
    known = await _known(transaction, unclear) if unclear else {}
    verdicts = [_decide(answer, drafts.get(answer.execution_id), known) for answer in answers]
    await transaction.write(drafts.values())
    rows = [
        (
            *answer.instance,
            answer.namespace,
            answer.payload.ref.hash,
            drafts[answer.execution_id].row.last_sequence,
        )
        for answer, verdict in zip(answers, verdicts, strict=True)
        if verdict is True
    ]
    await transaction.insert(signals, [column.name for column in signals.columns], rows)
    new = [answer for answer, verdict in zip(answers, verdicts, strict=True) if verdict is True]
    await insert_deeds(transaction, [answer.deed for answer in new if answer.deed is not None])
    return [
        await _answered(transaction, answer, drafts[answer.execution_id], known.get(answer.execution_id))
        if isinstance(verdict, bool)
        else verdict
        for answer, verdict in zip(answers, verdicts, strict=True)
    ]


def _is_unclear(answer: Answer, draft: Draft | None) -> bool:
    """Whether its step may have an answer already: not where nothing happened since the caller saw none."""
    return answer.record is None or draft is None or draft.row.last_sequence != answer.record.last_sequence


def _decide(answer: Answer, draft: Draft | None, known: Mapping[str, Any]) -> bool | Exception | None:
    """Whether it is new, and in the draft then. None: look again. Otherwise why it is refused."""
    if draft is None or draft.row.namespace != answer.namespace:
        return ExecutionNotFound(answer.execution_id)
    found = known.get(answer.execution_id)
    if found is not None and found.payload_hash is not None:
        same = found.payload_hash == answer.payload.ref.hash
        return False if same else AlreadyAnswered(answer.node_id)
    if draft.row.last_sequence != answer.expected_sequence:
        return None
    try:
        answered(draft, answer.node_id, answer.iteration, answer.payload)
    except FlowEngineError as error:
        return error
    return True


async def _known(transaction: Transaction, answers: Sequence[Answer]) -> dict[str, Any]:
    """By execution: the columns that never change, and the hash of the answer that its step has already."""
    columns, given = workflow_executions.c, signals.c
    place = given.execution_id, given.node_id, given.iteration, given.attempt
    of_instance = and_(
        given.execution_id == columns.id, tuple_(*place).in_([answer.instance for answer in answers])
    )
    statement = (
        select(*(columns[name] for name in FIXED), columns.id, given.payload_hash)
        .outerjoin(signals, of_instance)
        .where(columns.id.in_([answer.execution_id for answer in answers]))
    )
    return {row.id: row for row in await transaction.fetch(statement)}


async def _answered(transaction: Transaction, answer: Answer, draft: Draft, known: Any) -> ExecutionRecord:
    """Of one that has ended the result is read: a locked row comes without."""
    if draft.ended:
        return await locked_record(transaction, ExecutionId(draft.row.id))
    if known is None:
        assert answer.record is not None
        return record_after(answer.record, draft.row)
    return record_of(draft, {name: getattr(known, name) for name in FIXED})
