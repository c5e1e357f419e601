"""Statements of transactions that fail, before they are done or after."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import psycopg
import pytest

from services.executor.persistence.postgresql import PostgresTransaction
from services.executor.persistence.sqlite import SqliteTransaction

STATEMENTS = ("begin", "lock", "serialize", "fetch", "execute", "insert", "_update", "flush", "commit")


Statement = Callable[..., Awaitable[Any]]


class Faults:
    """Lets statements of transactions fail: the `at`-th one, before it is done or after it."""

    def __init__(self, at: int, *, after: bool, times: int = 1) -> None:
        self.at = at
        self.after = after
        self.left = times
        self.count = 0

    @property
    def happened(self) -> bool:
        return self.count > self.at

    def wrap(self, method: Statement, error: Callable[[], Exception]) -> Statement:
        @wraps(method)
        async def statement(*args: Any, **kwargs: Any) -> Any:
            number, self.count = self.count, self.count + 1
            fails = self.left > 0 and number >= self.at
            if fails:
                self.left -= 1
                if not self.after:
                    raise error()
            answer = await method(*args, **kwargs)
            if fails:
                raise error()
            return answer

        return statement

    @contextmanager
    def injected(self) -> Iterator[Faults]:
        with pytest.MonkeyPatch.context() as patch:
            for owner, error in (
                (PostgresTransaction, lambda: psycopg.OperationalError("server closed the connection")),
                (SqliteTransaction, lambda: sqlite3.OperationalError("disk I/O error")),
            ):
                for name in STATEMENTS:
                    patch.setattr(owner, name, self.wrap(getattr(owner, name), error))
            yield self
