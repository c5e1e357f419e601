"""Secrets of workflows, encrypted: what is here is of no use to whoever reads it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import and_, delete, insert, select, update

from flow_engine.errors import SecretMissing
from services.executor.persistence.database import Database
from services.executor.persistence.tables import kept_secrets
from services.executor.persistence.transaction import Transaction

_s = kept_secrets.c


@dataclass(frozen=True, slots=True)
class KeptSecret:
    namespace: str
    name: str
    sealed: bytes
    key_id: str
    hosts: tuple[str, ...]  # for lists; those that count are inside `sealed`
    updated_at: datetime


class KeptSecrets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, namespace: str, name: str, sealed: bytes, key_id: str, hosts: tuple[str, ...]
    ) -> tuple[KeptSecret, bool]:
        """What is kept now, and whether there was none of this name."""

        async def work(transaction: Transaction) -> tuple[KeptSecret, bool]:
            await transaction.serialize(f"secret {namespace} {name}")
            now = await transaction.now()
            there = await transaction.fetch(select(_s.name).where(_is(namespace, name)))
            changing = {
                "sealed": sealed,
                "key_id": key_id,
                "hosts": msgspec.json.encode(hosts).decode(),
                "updated_at": now,
            }
            if there:
                await transaction.execute(update(kept_secrets).where(_is(namespace, name)).values(changing))
            else:
                row = {"namespace": namespace, "name": name, "created_at": now, **changing}
                await transaction.execute(insert(kept_secrets).values(row))
            return KeptSecret(namespace, name, sealed, key_id, hosts, now), not there

        return await self._database.write(work, repeatable=False)

    async def delete(self, namespace: str, name: str) -> None:
        """Raises SecretMissing."""

        async def work(transaction: Transaction) -> None:
            if not await transaction.fetch(select(_s.name).where(_is(namespace, name))):
                raise SecretMissing(name)
            await transaction.execute(delete(kept_secrets).where(_is(namespace, name)))

        await self._database.write(work, repeatable=False)

    async def all_of(self, namespace: str) -> list[KeptSecret]:
        return await self._found(_s.namespace == namespace)

    async def get(self, namespace: str, names: Collection[str]) -> list[KeptSecret]:
        return await self._found(and_(_s.namespace == namespace, _s.name.in_(sorted(names))))

    async def of_other_keys(self, key_id: str) -> list[KeptSecret]:
        return await self._found(_s.key_id != key_id)

    async def reseal(self, kept: KeptSecret, sealed: bytes, key_id: str) -> None:
        """Unless it has been changed meanwhile."""

        async def work(transaction: Transaction) -> None:
            same = and_(_is(kept.namespace, kept.name), _s.sealed == kept.sealed)
            await transaction.execute(update(kept_secrets).where(same).values(sealed=sealed, key_id=key_id))

        await self._database.write(work)

    async def _found(self, which: sqlalchemy.ColumnElement[bool]) -> list[KeptSecret]:
        rows = await self._database.read(select(kept_secrets).where(which).order_by(_s.namespace, _s.name))
        return [_kept(row) for row in rows]


def _is(namespace: str, name: str) -> sqlalchemy.ColumnElement[bool]:
    return and_(_s.namespace == namespace, _s.name == name)


def _kept(row: sqlalchemy.Row[Any]) -> KeptSecret:
    hosts = msgspec.json.decode(row.hosts, type=tuple[str, ...])
    return KeptSecret(row.namespace, row.name, bytes(row.sealed), row.key_id, hosts, row.updated_at)
