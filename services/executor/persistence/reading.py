"""Reading what is committed. None of it locks, none of it waits for writers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import Executable

from flow_engine import payload
from flow_engine.errors import ExecutionNotFound, IdempotencyConflict, ValueNotFound
from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import (
    ExecutionRecord,
    Nudged,
    StoredBatch,
)
from services.executor.persistence.database import Database
from services.executor.persistence.moves import Draft
from services.executor.persistence.row import COLUMNS, Row
from services.executor.persistence.tables import (
    definitions,
    execution_events,
    idempotency_keys,
    is_status,
    payloads,
    workflow_executions,
)

_e = workflow_executions.c


class _Metadata(msgspec.Struct):
    complexity: msgspec.Raw


class Reading:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, execution_id: str, namespace: str) -> ExecutionRecord:
        rows = await self._database.read(_ONE, {"id": execution_id, "namespace": namespace})
        if not rows:
            raise ExecutionNotFound(execution_id)
        return record(rows[0])

    async def lease_of(self, execution_id: str) -> tuple[str, str]:
        statement = select(_e.namespace, _e.lease_owner).where(_e.id == execution_id)
        rows = await self._database.read(statement)
        if not rows:
            raise ExecutionNotFound(execution_id)
        return rows[0].namespace, rows[0].lease_owner

    async def namespace_of(self, execution_id: str) -> str:
        rows = await self._database.read(select(_e.namespace).where(_e.id == execution_id))
        if not rows:
            raise ExecutionNotFound(execution_id)
        return str(rows[0].namespace)

    async def events(
        self, execution_id: str, after_sequence: int, limit: int, namespace: str
    ) -> list[StoredBatch]:
        # Every batch holds one event at least, so `limit` rows are always enough.
        asked = {
            "execution_id": execution_id,
            "sequence": after_sequence,
            "namespace": namespace,
            "until": after_sequence + limit,
        }
        return [stored_batch(row) for row in await self._database.read(_EVENTS, asked)]

    async def find_start(self, request_id: str, request_hash: str, namespace: str) -> ExecutionId | None:
        columns = idempotency_keys.c
        statement = select(columns.execution_id, columns.request_hash).where(
            columns.namespace == namespace,
            columns.request_id == request_id,
            columns.expires_at > sqlalchemy.literal_column(self._database.now),
        )
        for row in await self._database.read(statement):
            if row.request_hash != request_hash:
                raise IdempotencyConflict(request_id)
            return ExecutionId(row.execution_id)
        return None

    async def last_sequences(self, ids: Collection[str]) -> dict[ExecutionId, tuple[int, str]]:
        statement = select(_e.id, _e.last_sequence, _e.status).where(_e.id.in_(ids))
        return {
            ExecutionId(row.id): (row.last_sequence, row.status)
            for row in await self._database.read(statement)
        }

    async def nudges(self, owners: Collection[str]) -> list[Nudged]:
        statement = select(_e.id, _e.epoch, _e.lease_owner, _e.foreign_sequence).where(
            is_status("running"), _e.lease_owner.in_(owners), _e.foreign_sequence > _e.seen_sequence
        )
        return [
            Nudged(ExecutionId(row.id), row.epoch, row.lease_owner, row.foreign_sequence)
            for row in await self._database.read(statement)
        ]

    async def definition(self, definition_hash: str, namespace: str) -> bytes:
        columns = definitions.c
        statement = select(columns.definition).where(
            columns.namespace == namespace, columns.hash == definition_hash
        )
        return await self._value(statement, definition_hash)

    async def payload(self, payload_hash: str, namespace: str) -> bytes:
        columns = payloads.c
        statement = select(columns.value).where(columns.namespace == namespace, columns.hash == payload_hash)
        return await self._value(statement, payload_hash)

    async def _value(self, statement: Executable, hash_: str) -> bytes:
        rows = await self._database.read(statement)
        if not rows:
            raise ValueNotFound(hash_)
        return bytes(rows[0][0])

    def has_tag(self, tag: str) -> ColumnElement[bool]:
        if not self._database.is_sqlite:
            return cast(_e.tags, JSONB).contains(cast(literal(json.dumps([tag])), JSONB))
        values = func.json_each(_e.tags).table_valued("value")
        return select(1).select_from(values).where(values.c.value == tag).exists()


def batches_after(execution_id: str | None = None, sequence: int | None = None) -> Select[Any]:
    """Batches that reach beyond a sequence, in order; the first may begin before it.

    Without arguments they are parameters. Such statements are made once: making one costs more than reading.
    """
    columns, inner = execution_events.c, execution_events.alias("inner").c
    id_: BindParameter[str] = bindparam("execution_id", execution_id, required=execution_id is None)
    after: BindParameter[int] = bindparam("sequence", sequence, required=sequence is None)
    # Without it every page would read the history from its beginning.
    first = (
        select(func.max(inner.first_sequence))
        .where(inner.execution_id == id_, inner.first_sequence <= after + 1)
        .scalar_subquery()
    )
    return (
        select(columns.first_sequence, columns.last_sequence, columns.events)
        .where(
            columns.execution_id == id_,
            columns.first_sequence >= func.coalesce(first, 1),
            columns.last_sequence > after,
        )
        .order_by(columns.first_sequence)
    )


_ONE = select(workflow_executions).where(_e.id == bindparam("id"), _e.namespace == bindparam("namespace"))
_EVENTS = batches_after().where(
    execution_events.c.namespace == bindparam("namespace"),
    execution_events.c.first_sequence <= bindparam("until"),
)


def stored_batch(row: sqlalchemy.Row[Any]) -> StoredBatch:
    return StoredBatch(row.first_sequence, row.last_sequence, row.events)


def record_of(draft: Draft, fixed: Mapping[str, Any]) -> ExecutionRecord:
    """The record of a row that was just written: the columns of the draft, and those that never change."""
    return record(SimpleNamespace(**fixed, **{name: getattr(draft.row, name) for name in COLUMNS}))


def record_after(before: ExecutionRecord, row: Row) -> ExecutionRecord:
    """The record of a row that was just written, and has not ended, by how it stood before."""
    return msgspec.structs.replace(
        before,
        status=row.status,
        mode=row.execution_mode,
        pending_control=row.pending_control,
        started_at=row.started_at,
        waits=None if row.waits is None else payload.decode(row.waits),
        epoch=row.epoch,
        last_sequence=row.last_sequence,
        wake_at=row.wake_at,
        lease_owner=row.lease_owner,
        lease_expires_at=row.lease_expires_at,
        pending_since=row.pending_since,
        slot_wanted=row.slot_wanted,
        rate_wanted=row.rate_wanted,
    )


def record(row: Any) -> ExecutionRecord:
    """row: has the columns of the table as attributes."""
    return ExecutionRecord(
        id=row.id,
        namespace=row.namespace,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        workflow_version=row.workflow_version,
        status=row.status,
        mode=row.execution_mode,
        requested_mode=row.requested_mode,
        pending_control=row.pending_control,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        definition_hash=row.definition_hash,
        input_hash=row.input_hash,
        priority=row.priority,
        tags=tuple(payload.decode(row.tags)),
        error=None if row.error is None else payload.decode(row.error),
        result=None if row.result is None else row.result.encode(),
        complexity=bytes(msgspec.json.decode(row.metadata, type=_Metadata).complexity),
        waits=None if row.waits is None else payload.decode(row.waits),
        epoch=row.epoch,
        last_sequence=row.last_sequence,
        wake_at=row.wake_at,
        deadline_at=row.deadline_at,
        retry_of=row.retry_of,
        root_id=row.root_id,
        parent_id=row.parent_id,
        parent_step=row.parent_step,
        parent_index=row.parent_index,
        lease_owner=row.lease_owner,
        lease_expires_at=row.lease_expires_at,
        pending_since=row.pending_since,
        needs=tuple(payload.decode(row.needs)) if row.needs else (),
        slot_wanted=row.slot_wanted,
        slot_limit=row.concurrency_limit,
        rate_wanted=row.rate_wanted,
        rate_limit=row.rate_limit,
        rate_period_ms=row.rate_period_ms,
    )
