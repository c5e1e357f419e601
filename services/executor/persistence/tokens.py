"""API tokens and the audit log, in the same database as what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import and_, insert, or_, select, update

from flow_engine.errors import TokenNotFound
from services.executor.access.tokens import Token, hash_of, new_secret
from services.executor.persistence.audit_entries import AuditEntry, about, insert_entries
from services.executor.persistence.database import Database
from services.executor.persistence.tables import access_tokens, audit_log
from services.executor.persistence.transaction import Transaction

_t, _a = access_tokens.c, audit_log.c


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Of one namespace; empty and None are any."""

    namespace: str
    subject: str = ""
    action: str = ""
    target: str = ""
    after: datetime | None = None
    before: datetime | None = None


class SqlTokenStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, name: str, role: str, ttl: timedelta | None, created_by: str, namespace: str
    ) -> tuple[Token, str]:
        """The token and its text. ttl: None never ends."""
        id_, text = new_secret()
        about(id_)

        async def work(transaction: Transaction) -> None:
            now = await transaction.now()
            await transaction.execute(
                insert(access_tokens).values(
                    id=id_,
                    namespace=namespace,
                    name=name,
                    role=role,
                    token_hash=hash_of(text),
                    created_at=now,
                    created_by=created_by,
                    expires_at=None if ttl is None else now + ttl,
                    revoked_at=None,
                )
            )

        await self._database.write(work, repeatable=False)
        return await self._get(_t.id == id_, _t.namespace == namespace, token_id=id_), text

    async def find(self, token_id: str) -> Token | None:
        """Of whatever namespace: it is what tells the namespace."""
        rows = await self._database.read(select(access_tokens).where(_t.id == token_id))
        return _token(rows[0]) if rows else None

    async def list(self, namespace: str) -> Sequence[Token]:
        """Newest first."""
        statement = (
            select(access_tokens)
            .where(_t.namespace == namespace)
            .order_by(_t.created_at.desc(), _t.id.desc())
        )
        return [_token(row) for row in await self._database.read(statement)]

    async def revoke(self, token_id: str, namespace: str) -> Token:
        """Raises TokenNotFound. The first time stays."""
        this = (_t.id == token_id, _t.namespace == namespace)
        await self._get(*this, token_id=token_id)

        async def work(transaction: Transaction) -> None:
            revoked = update(access_tokens).where(*this, _t.revoked_at.is_(None))
            await transaction.execute(revoked.values(revoked_at=await transaction.now()))

        await self._database.write(work)
        return await self._get(*this, token_id=token_id)

    async def _get(self, *which: sqlalchemy.ColumnElement[bool], token_id: str) -> Token:
        rows = await self._database.read(select(access_tokens).where(*which))
        if not rows:
            raise TokenNotFound(token_id)
        return _token(rows[0])


class SqlAuditLog:
    """Rows are added and read; a trigger refuses every change to one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        await self._database.write(lambda transaction: insert_entries(transaction, entries))

    async def list(
        self, where: AuditFilter, limit: int, before: tuple[datetime, str] | None = None
    ) -> Sequence[AuditEntry]:
        """Newest first; `before` is (time, id) of the last one seen."""
        conditions = [_a.namespace == where.namespace]
        equal = ((_a.subject, where.subject), (_a.action, where.action), (_a.target, where.target))
        conditions += [column == value for column, value in equal if value]
        if where.after is not None:
            conditions.append(_a.time > where.after)
        if where.before is not None:
            conditions.append(_a.time < where.before)
        if before is not None:
            time, id_ = before
            conditions.append(or_(_a.time < time, and_(_a.time == time, _a.id < id_)))
        statement = select(audit_log).where(*conditions).order_by(_a.time.desc(), _a.id.desc()).limit(limit)
        return [AuditEntry(**row._asdict()) for row in await self._database.read(statement)]


def _token(row: sqlalchemy.Row[Any]) -> Token:
    return Token(
        id=row.id,
        namespace=row.namespace,
        name=row.name,
        role=row.role,
        hash=row.token_hash,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
