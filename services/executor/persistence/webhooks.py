"""Webhooks: the paths that outside systems call, and what each starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import and_, delete, insert, select, update

from flow_engine import payload
from flow_engine.errors import WebhookNotFound, WebhookPathTaken
from services.executor.persistence.database import Database
from services.executor.persistence.tables import webhooks
from services.executor.persistence.transaction import Transaction

_h = webhooks.c


@dataclass(frozen=True, slots=True)
class WebhookSpec:
    """What its author says of a webhook."""

    workflow_id: str
    workflow_version: int = 0
    mode: str = "auto"
    priority: int = 5
    tags: tuple[str, ...] = ()
    wait_ms: int = 10_000
    signed: bool = True
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Webhook:
    namespace: str
    path: str
    spec: WebhookSpec
    sealed: bytes  # the secret, encrypted
    created_at: datetime
    updated_at: datetime


class SqlWebhooks:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, namespace: str, path: str, spec: WebhookSpec, sealed: tuple[bytes, str] | None
    ) -> tuple[Webhook, bool]:
        """What is kept now, and whether it is new. sealed: with its key's id; None keeps the present secret.

        Raises WebhookPathTaken.
        """

        async def work(transaction: Transaction) -> bool:
            await transaction.serialize(f"webhook {path}")
            now = await transaction.now()
            found = await transaction.fetch(select(_h.namespace).where(_h.path == path))
            if found and found[0].namespace != namespace:
                raise WebhookPathTaken(path)
            values = {**asdict(spec), "tags": payload.encode(spec.tags).decode(), "updated_at": now}
            if sealed is not None:
                values["sealed"], values["key_id"] = sealed
            if found:
                await transaction.execute(update(webhooks).where(_h.path == path).values(values))
                return False
            row = {"namespace": namespace, "path": path, "created_at": now, "sealed": b"", **values}
            await transaction.execute(insert(webhooks).values(row))
            return True

        created = await self._database.write(work, repeatable=False)
        return await self.get(path, namespace), created

    async def get(self, path: str, namespace: str | None = None) -> Webhook:
        """namespace: None for whoever calls the path. Raises WebhookNotFound."""
        condition = _h.path == path
        if namespace is not None:
            condition = and_(condition, _h.namespace == namespace)
        rows = await self._database.read(select(webhooks).where(condition))
        if not rows:
            raise WebhookNotFound(path)
        return _webhook(rows[0])

    async def page(self, namespace: str, limit: int, after: str) -> list[Webhook]:
        """By path."""
        statement = (
            select(webhooks).where(_h.namespace == namespace, _h.path > after).order_by(_h.path).limit(limit)
        )
        return [_webhook(row) for row in await self._database.read(statement)]

    async def of_other_keys(self, key_id: str) -> list[Webhook]:
        """Those whose secret another key than this one encrypts."""
        other = and_(_h.key_id != key_id, _h.sealed != b"")
        rows = await self._database.read(select(webhooks).where(other).order_by(_h.path))
        return [_webhook(row) for row in rows]

    async def reseal(self, webhook: Webhook, sealed: bytes, key_id: str) -> None:
        """Unless its secret has been changed meanwhile."""

        async def work(transaction: Transaction) -> None:
            same = and_(_h.path == webhook.path, _h.sealed == webhook.sealed)
            await transaction.execute(update(webhooks).where(same).values(sealed=sealed, key_id=key_id))

        await self._database.write(work)

    async def delete(self, namespace: str, path: str) -> None:
        """Raises WebhookNotFound."""
        await self.get(path, namespace)

        async def work(transaction: Transaction) -> None:
            await transaction.execute(delete(webhooks).where(_h.path == path, _h.namespace == namespace))

        await self._database.write(work)


def _webhook(row: sqlalchemy.Row[Any]) -> Webhook:
    spec = WebhookSpec(
        workflow_id=row.workflow_id,
        workflow_version=row.workflow_version,
        mode=row.mode,
        priority=row.priority,
        tags=tuple(payload.decode(row.tags)),
        wait_ms=row.wait_ms,
        signed=row.signed,
        paused=row.paused,
    )
    return Webhook(row.namespace, row.path, spec, bytes(row.sealed), row.created_at, row.updated_at)
