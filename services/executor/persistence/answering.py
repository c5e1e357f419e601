"""Answers to waiting steps, committed in groups as starts and reports are. PROTOCOL 10 and 14."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, tuple_

from flow_engine.errors import AlreadyAnswered, ExecutionNotFound, FlowEngineError
from flow_engine.ids import ExecutionId, Iteration
from flow_engine.payload import Payload
from services.executor.persistence.contract import ExecutionRecord
from services.executor.persistence.control import answered
from services.executor.persistence.database import Conflict, Database, NotStorable
from services.executor.persistence.groupcommit import GroupCommit
from services.executor.persistence.moves import Draft
from services.executor.persistence.reading import record
from services.executor.persistence.tables import signals, workflow_executions
from services.executor.persistence.transaction import Transaction

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
        if len(answers) == 1:
            return await self._database.write(lambda transaction: write(transaction, answers))
        try:
            return await self._database.write(lambda transaction: write(transaction, answers), attempts=1)
        except (Conflict, NotStorable):
            return [await self._alone(answer) for answer in answers]

    async def _alone(self, answer: Answer) -> Outcome | Exception:
        try:
            return (await self._commit([answer]))[0]
        except (Conflict, NotStorable) as error:
            return error


async def write(transaction: Transaction, answers: Sequence[Answer]) -> list[Outcome | Exception]:
    """In their order: each execution as it is now, None or why the answer is refused."""
    drafts = await transaction.lock(sorted(answer.execution_id for answer in answers))
    given = await _given(transaction, answers)
    verdicts = [_decide(answer, drafts.get(answer.execution_id), given) for answer in answers]
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
    wanted = [
        a.execution_id for a, verdict in zip(answers, verdicts, strict=True) if isinstance(verdict, bool)
    ]
    records = await _records(transaction, wanted)
    return [
        records[answer.execution_id] if isinstance(verdict, bool) else verdict
        for answer, verdict in zip(answers, verdicts, strict=True)
    ]


def _decide(answer: Answer, draft: Draft | None, given: Mapping[Instance, str]) -> bool | Exception | None:
    """Whether it is new, and in the draft then. None: look again. Otherwise why it is refused."""
    if draft is None or draft.row.namespace != answer.namespace:
        return ExecutionNotFound(answer.execution_id)
    known = given.get(answer.instance)
    if known is not None:
        return False if known == answer.payload.ref.hash else AlreadyAnswered(answer.node_id)
    if draft.row.last_sequence != answer.expected_sequence:
        return None
    try:
        answered(draft, answer.node_id, answer.iteration, answer.payload)
    except FlowEngineError as error:
        return error
    return True


async def _given(transaction: Transaction, answers: Sequence[Answer]) -> dict[Instance, str]:
    """The hashes of the answers that these instances have already."""
    columns = signals.c
    place = columns.execution_id, columns.node_id, columns.iteration, columns.attempt
    statement = select(*place, columns.payload_hash).where(
        tuple_(*place).in_([answer.instance for answer in answers])
    )
    return {
        (row.execution_id, row.node_id, row.iteration, row.attempt): row.payload_hash
        for row in await transaction.fetch(statement)
    }


async def _records(
    transaction: Transaction, ids: Sequence[ExecutionId]
) -> dict[ExecutionId, ExecutionRecord]:
    if not ids:
        return {}
    statement = select(workflow_executions).where(workflow_executions.c.id.in_(ids))
    return {ExecutionId(row.id): record(row) for row in await transaction.fetch(statement)}
