"""Reading an execution's history: events of open executions, the stored result of ended ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from flow_engine.interpreter.events import AnyEvent, ExecutionCreated, decode_events
from flow_engine.interpreter.steps import Result, StepsView, decode_result
from flow_engine.payload import PayloadRef
from services.executor.persistence.contract import (
    TERMINAL,
    ExecutionPersistence,
    ExecutionRecord,
    StoredBatch,
)

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An execution and its steps as of one event."""

    record: ExecutionRecord
    result: Result  # output only when completed
    sequence: int


async def snapshot_of(persistence: ExecutionPersistence, record: ExecutionRecord) -> Snapshot:
    """Row and steps that agree with one another."""
    if record.status in TERMINAL and record.result is not None:
        return Snapshot(record, await result_of(persistence, record), record.last_sequence)
    view = await steps_at(persistence, record)
    return Snapshot(record, Result(steps=view.steps), record.last_sequence)


async def result_of(persistence: ExecutionPersistence, record: ExecutionRecord) -> Result:
    """The stored result of an ended execution, with its steps wherever they are."""
    assert record.result is not None
    result = decode_result(record.result)
    if result.steps_in_history:
        result.steps = (await steps_at(persistence, record)).steps
    return result


async def steps_at(
    persistence: ExecutionPersistence, record: ExecutionRecord, beginning: Sequence[StoredBatch] = ()
) -> StepsView:
    """Steps up to the record's newest event: what came in since is left out, so that both agree.

    beginning: of the history, where that is known already.
    """
    view = StepsView()
    async for event in events_of(persistence, record, beginning):
        if event.sequence > record.last_sequence:
            break
        view.apply(event)
    return view


async def events_of(
    persistence: ExecutionPersistence, record: ExecutionRecord, beginning: Sequence[StoredBatch] = ()
) -> AsyncIterator[AnyEvent]:
    for batch in beginning:
        for event in decode_events(batch.events_json, batch.first_sequence):
            yield event
    read = beginning[-1].last_sequence if beginning else 0
    async for batch in batches_after(persistence, record, read):
        for event in decode_events(batch.events_json, batch.first_sequence):
            yield event


async def batches_after(
    persistence: ExecutionPersistence, record: ExecutionRecord, sequence: int
) -> AsyncIterator[StoredBatch]:
    """All batches that reach beyond `sequence`, until that with the record's newest event."""
    while sequence < record.last_sequence:
        batches = await persistence.events(record.id, sequence, PAGE, record.namespace)
        if not batches:
            return  # deleted since
        for batch in batches:
            yield batch
        sequence = batches[-1].last_sequence


async def names_value(persistence: ExecutionPersistence, record: ExecutionRecord, payload_hash: str) -> bool:
    """Whether the history refers to the value: nobody reads through one execution what is another's."""
    named = f'"{payload_hash}"'.encode()
    async for batch in batches_after(persistence, record, 0):
        if named in batch.events_json:
            return True
    return False


async def created_event(persistence: ExecutionPersistence, record: ExecutionRecord) -> ExecutionCreated:
    (batch, *_) = await persistence.events(record.id, 0, 1, record.namespace)
    created = decode_events(batch.events_json, batch.first_sequence)[0]
    assert isinstance(created, ExecutionCreated)
    return created


class StoredPayloads:
    """A `PayloadSource` on the database, with the values of a run that is not committed yet beside it."""

    def __init__(
        self, persistence: ExecutionPersistence, namespace: str, known: dict[str, bytes] | None = None
    ) -> None:
        self._persistence = persistence
        self._namespace = namespace
        self._known = known or {}

    async def payload(self, ref: PayloadRef) -> bytes:
        known = self._known.get(ref.hash)
        return known if known is not None else await self._persistence.payload(ref.hash, self._namespace)
