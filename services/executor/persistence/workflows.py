"""Stored definitions: every change is a new version that never changes again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import and_, cast, func, insert, literal, select, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import Executable

from flow_engine import payload
from flow_engine.errors import VersionConflict, WorkflowExists, WorkflowNotFound
from flow_engine.ids import DEFAULT_NAMESPACE
from services.executor.persistence.audit_entries import about
from services.executor.persistence.contract import StoredWorkflow
from services.executor.persistence.database import Database
from services.executor.persistence.tables import Instant, definitions, workflow_versions, workflows
from services.executor.persistence.transaction import Transaction

_w, _v = workflows.c, workflow_versions.c


class SqlWorkflowStore:
    """`WorkflowStore` beside the executions, in the same database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_workflow(
        self,
        workflow_id: str,
        name: str,
        definition_hash: str,
        definition: bytes,
        namespace: str = DEFAULT_NAMESPACE,
        labels: Mapping[str, str] | None = None,
    ) -> StoredWorkflow:
        about(workflow_id)

        async def work(transaction: Transaction) -> None:
            now = await transaction.now()
            existing = await self._locked(transaction, workflow_id, namespace)
            if existing is not None and existing.deleted_at is None:
                raise WorkflowExists(workflow_id)
            version = 1 if existing is None else existing.version + 1
            changing = {
                "name": name,
                "version": version,
                "updated_at": now,
                "deleted_at": None,
                "labels": _text(labels or {}),
            }
            if existing is None:
                row = {"namespace": namespace, "id": workflow_id, "created_at": now, **changing}
                await transaction.execute(insert(workflows).values(row))
            else:
                # Versions go on counting, so that no number ever means two definitions.
                await transaction.execute(
                    update(workflows).where(_is(workflow_id, namespace)).values(created_at=now, **changing)
                )
            await self._add_version(
                transaction, workflow_id, version, name, definition_hash, definition, now, namespace
            )

        await self._database.write(work, repeatable=False)
        return await self.get_workflow(workflow_id, 0, namespace)

    async def update_workflow(
        self,
        workflow_id: str,
        name: str,
        definition_hash: str,
        definition: bytes,
        expected_version: int = 0,
        namespace: str = DEFAULT_NAMESPACE,
    ) -> StoredWorkflow:
        async def work(transaction: Transaction) -> None:
            now = await transaction.now()
            existing = await self._locked(transaction, workflow_id, namespace)
            if existing is None or existing.deleted_at is not None:
                raise WorkflowNotFound(workflow_id)
            if expected_version and expected_version != existing.version:
                raise VersionConflict(workflow_id, expected_version, existing.version)
            newest = (
                _v.namespace == namespace,
                _v.workflow_id == workflow_id,
                _v.version == existing.version,
            )
            (stored,) = await transaction.fetch(select(_v.name, _v.definition_hash).where(*newest))
            if (stored.name, stored.definition_hash) == (name, definition_hash):
                return
            version = existing.version + 1
            changing = {"name": name, "version": version, "updated_at": now}
            await transaction.execute(update(workflows).where(_is(workflow_id, namespace)).values(changing))
            await self._add_version(
                transaction, workflow_id, version, name, definition_hash, definition, now, namespace
            )

        await self._database.write(work, repeatable=False)
        return await self.get_workflow(workflow_id, 0, namespace)

    async def delete_workflow(self, workflow_id: str, namespace: str = DEFAULT_NAMESPACE) -> None:
        async def work(transaction: Transaction) -> None:
            existing = await self._locked(transaction, workflow_id, namespace)
            if existing is None or existing.deleted_at is not None:
                raise WorkflowNotFound(workflow_id)
            deleted = (
                update(workflows)
                .where(_is(workflow_id, namespace))
                .values(deleted_at=await transaction.now())
            )
            await transaction.execute(deleted)

        await self._database.write(work, repeatable=False)

    async def get_workflow(
        self, workflow_id: str, version: int = 0, namespace: str = DEFAULT_NAMESPACE
    ) -> StoredWorkflow:
        which = _v.version == version if version else and_(_v.version == _w.version, _w.deleted_at.is_(None))
        statement = (
            select(
                _w.id,
                _v.name,
                _v.version,
                definitions.c.definition,
                _v.definition_hash,
                _w.created_at,
                _v.created_at.label("updated_at"),
                _w.labels,
            )
            .select_from(
                workflows.join(
                    workflow_versions, and_(_v.namespace == _w.namespace, _v.workflow_id == _w.id)
                ).join(
                    definitions,
                    and_(definitions.c.namespace == _v.namespace, definitions.c.hash == _v.definition_hash),
                )
            )
            .where(_is(workflow_id, namespace), which)
        )
        rows = await self._database.read(statement)
        if not rows:
            raise WorkflowNotFound(workflow_id, version)
        return _stored(rows[0])

    async def list_workflows(
        self,
        limit: int,
        after: str = "",
        namespace: str = DEFAULT_NAMESPACE,
        labels: Mapping[str, str] | None = None,
    ) -> list[StoredWorkflow]:
        wanted = [self._has_label(name, value) for name, value in (labels or {}).items()]
        statement = (
            select(
                _w.id,
                _w.name,
                _w.version,
                literal(b"").label("definition"),
                _v.definition_hash,
                _w.created_at,
                _w.updated_at,
                _w.labels,
            )
            .select_from(
                workflows.join(
                    workflow_versions,
                    and_(_v.namespace == _w.namespace, _v.workflow_id == _w.id, _v.version == _w.version),
                )
            )
            .where(_w.namespace == namespace, _w.deleted_at.is_(None), _w.id > after, *wanted)
            .order_by(_w.id)
            .limit(limit)
        )
        return [_stored(row) for row in await self._database.read(statement)]

    async def list_versions(
        self, workflow_id: str, limit: int, before: int = 0, namespace: str = DEFAULT_NAMESPACE
    ) -> list[StoredWorkflow]:
        newest = await self.get_workflow(workflow_id, 0, namespace)
        statement = (
            select(
                _v.workflow_id.label("id"),
                _v.name,
                _v.version,
                literal(b"").label("definition"),
                _v.definition_hash,
                literal(newest.created_at, Instant()).label("created_at"),
                _v.created_at.label("updated_at"),
                literal(_text(newest.labels)).label("labels"),
            )
            .where(_v.namespace == namespace, _v.workflow_id == workflow_id)
            .where(_v.version < before if before else true())
            .order_by(_v.version.desc())
            .limit(limit)
        )
        return [_stored(row) for row in await self._database.read(statement)]

    async def label_workflow(
        self,
        workflow_id: str,
        change: Callable[[dict[str, str]], Mapping[str, str]],
        namespace: str = DEFAULT_NAMESPACE,
    ) -> StoredWorkflow:
        async def work(transaction: Transaction) -> None:
            existing = await self._locked(transaction, workflow_id, namespace)
            if existing is None or existing.deleted_at is not None:
                raise WorkflowNotFound(workflow_id)
            labels = _text(change(payload.decode(existing.labels)))
            await transaction.execute(
                update(workflows).where(_is(workflow_id, namespace)).values(labels=labels)
            )

        await self._database.write(work, repeatable=False)
        return await self.get_workflow(workflow_id, 0, namespace)

    def _has_label(self, name: str, value: str) -> sqlalchemy.ColumnElement[bool]:
        if not self._database.is_sqlite:
            return cast(_w.labels, JSONB).contains(cast(literal(_text({name: value})), JSONB))
        each = func.json_each(_w.labels).table_valued("key", "value")
        return select(1).select_from(each).where(each.c.key == name, each.c.value == value).exists()

    async def _locked(
        self, transaction: Transaction, workflow_id: str, namespace: str
    ) -> sqlalchemy.Row[Any] | None:
        await transaction.serialize(f"workflow {namespace} {workflow_id}")
        statement: Executable = select(workflows).where(_is(workflow_id, namespace))
        rows = await transaction.fetch(statement)
        return rows[0] if rows else None

    async def _add_version(
        self,
        transaction: Transaction,
        workflow_id: str,
        version: int,
        name: str,
        definition_hash: str,
        definition: bytes,
        now: datetime,
        namespace: str,
    ) -> None:
        row = (namespace, definition_hash, definition)
        await transaction.insert(
            definitions, ("namespace", "hash", "definition"), [row], "ON CONFLICT DO NOTHING"
        )
        await transaction.execute(
            insert(workflow_versions).values(
                namespace=namespace,
                workflow_id=workflow_id,
                version=version,
                name=name,
                definition_hash=definition_hash,
                created_at=now,
            )
        )


def _text(labels: Mapping[str, str]) -> str:
    return payload.encode(labels).decode()


def _is(workflow_id: str, namespace: str) -> sqlalchemy.ColumnElement[bool]:
    return and_(_w.namespace == namespace, _w.id == workflow_id)


def _stored(row: sqlalchemy.Row[Any]) -> StoredWorkflow:
    return StoredWorkflow(
        id=row.id,
        name=row.name,
        version=row.version,
        definition=bytes(row.definition),
        definition_hash=row.definition_hash,
        created_at=row.created_at,
        updated_at=row.updated_at,
        labels=payload.decode(row.labels),
    )
