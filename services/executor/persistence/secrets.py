"""Random values that every executor of a database shares, made by whoever asks first."""

from __future__ import annotations

import os

from sqlalchemy import select

from services.executor.persistence.database import Database
from services.executor.persistence.tables import secrets
from services.executor.persistence.transaction import Transaction

SECRET_BYTES = 32


async def secret(database: Database, name: str, namespace: str) -> bytes:
    """Raises Unavailable."""

    async def work(transaction: Transaction) -> bytes:
        row = (namespace, name, os.urandom(SECRET_BYTES))
        await transaction.insert(secrets, ("namespace", "name", "value"), [row], "ON CONFLICT DO NOTHING")
        columns = secrets.c
        statement = select(columns.value).where(columns.namespace == namespace, columns.name == name)
        (found,) = await transaction.fetch(statement)
        return bytes(found.value)

    return await database.write(work)
