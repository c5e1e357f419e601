"""The database behind DATABASE_URL: engines, connections, transactions, and what may go wrong with them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from psycopg.types.array import ListBinaryDumper
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql import Executable

from flow_engine.errors import FlowEngineError, Unavailable
from services.executor.persistence import one_hop
from services.executor.persistence.audit_entries import insert_deeds, present_deed
from services.executor.persistence.contract import Bell
from services.executor.persistence.postgresql import PostgresTransaction
from services.executor.persistence.row import Line
from services.executor.persistence.sqlite import SqliteTransaction
from services.executor.persistence.transaction import Transaction, instant

T = TypeVar("T")

POSTGRES_SETTINGS = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read\\ committed",
    "timezone": "UTC",
    "jit": "off",
}
POSTGRES_CONNECT = {
    "connect_timeout": 5,
    # A peer that vanished is noticed within about ten seconds, whether we wait for it or send to it.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "target_session_attrs": "read-write",
    "application_name": "flow-executor",
}
POSTGRES_CONNECTIONS = 8
SQLITE_READERS = 4
SQLITE_BUSY_SECONDS = 10
SQLITE_CACHE_KIB = 32 * 1024
"""Of a connection, at most: every index has its own end that rows are appended to. SQLite's 2 MiB are few."""
OPERATION_SECONDS = 20.0
ATTEMPTS = 3


class InvalidDatabaseUrl(ValueError):
    """DATABASE_URL is not of a form that we know; the message says which are, and never the password."""


class Conflict(Exception):
    """The database refused to write together what it may well write one by one, or again."""


class OutcomeUnknown(Unavailable):
    """The connection was lost, or time was up, during COMMIT: it may or may not have happened."""


class NotStorable(FlowEngineError):
    """A value is not of a kind that the database can hold: text with a NUL character, say."""

    reason = "INVALID_REQUEST"


def engine_url(url: str) -> sqlalchemy.URL:
    """The SQLAlchemy URL, with our drivers. Raises InvalidDatabaseUrl."""
    forms = "postgresql://user:password@host:5432/database or sqlite:///path/to/file.db"
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidDatabaseUrl(f"it is not a URL; use {forms}") from error
    match parsed.drivername:
        case "postgresql" | "postgres" | "postgresql+psycopg":
            if not parsed.database:
                raise InvalidDatabaseUrl(f"it names no database; use {forms}")
            return parsed.set(drivername="postgresql+psycopg")
        case "sqlite" | "sqlite+aiosqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise InvalidDatabaseUrl(
                    "an SQLite database must be a file, or nothing would outlive the executor"
                )
            if parsed.host:
                raise InvalidDatabaseUrl(
                    "an SQLite path needs three slashes, four when absolute: sqlite:////var/lib/flow.db"
                )
            return parsed.set(drivername="sqlite")
        case other:
            raise InvalidDatabaseUrl(f"{other}:// is not supported; use {forms}")


def sqlite_path(url: sqlalchemy.URL) -> Path:
    return Path(url.database or "").absolute()


class Database:
    """Connections that are checked out once and kept, and the transactions made on them.

    A checkout through SQLAlchemy's pool costs more than a small commit. All connections are in
    autocommit; a transaction says BEGIN and COMMIT itself.
    now: SQL expression of the database's clock; tests put their own here.
    """

    def __init__(self, url: str, *, now: str = "", operation_seconds: float = OPERATION_SECONDS) -> None:
        self.url = engine_url(url)
        self.is_sqlite = self.url.drivername == "sqlite"
        self._now = now
        self._operation_seconds = operation_seconds
        self._engine: AsyncEngine | None = None
        self.opened: Callable[[Collection[Line]], None] = lambda _: None
        """Told after each commit that may let somebody in: the lines."""
        self.signalled: Callable[[], None] = lambda: None
        """Told after each commit that leaves something to apply to other executions."""
        self.offered: Callable[[Collection[tuple[str, str]]], None] = lambda _: None
        """Told after each commit that offered tasks: namespaces and queues."""
        self.due: Callable[[Sequence[Bell]], None] | None = None
        """Told after each commit which bells to ring; without it they are left to whoever takes them."""
        self._writers = Connections(self, 1 if self.is_sqlite else POSTGRES_CONNECTIONS)
        # On PostgreSQL any connection reads; on SQLite readers stand beside the one writer.
        self._readers = Connections(self, SQLITE_READERS) if self.is_sqlite else self._writers

    def open(self) -> None:
        if self._engine is not None:
            return
        if self.is_sqlite:
            self._engine = create_async_engine(
                self.url.set(drivername="sqlite+aiosqlite"),
                isolation_level="AUTOCOMMIT",
                pool_size=1 + SQLITE_READERS,
                max_overflow=0,
                connect_args={"timeout": SQLITE_BUSY_SECONDS, "async_creator_fn": one_hop.connect},
            )
            sqlalchemy.event.listen(self._engine.sync_engine, "connect", _configure_sqlite)
        else:
            self._engine = create_async_engine(
                self.url,
                isolation_level="AUTOCOMMIT",
                pool_size=POSTGRES_CONNECTIONS,
                max_overflow=0,
                connect_args=_postgres_arguments(self.url),
            )
            sqlalchemy.event.listen(self._engine.sync_engine, "connect", _configure_postgres)

    async def close(self) -> None:
        if self._engine is None:
            return
        engine, self._engine = self._engine, None
        await self._writers.close()
        await self._readers.close()
        await engine.dispose()

    async def connect(self) -> AsyncConnection:
        if self._engine is None:
            raise Unavailable("the database is not open")
        return await self._engine.connect()

    async def write(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        *,
        attempts: int = ATTEMPTS,
        repeatable: bool = True,
        tells: bool = True,
    ) -> T:
        """Run `work` in a transaction and commit it, with the entry of the audit log that tells who did it.

        After a conflict `work` is run again, `attempts` times in all; after a lost connection once.
        repeatable: also when it is unknown whether the lost connection committed: `work` then finds by
        itself what it did already.
        tells: False where `work` writes such entries itself, since it is for several calls at once.
        Raises Unavailable when the database does not answer, Conflict when it refuses every time.
        """
        lost = False
        for attempt in range(1, attempts + 2):
            try:
                async with self._transaction() as transaction:
                    answer = await work(transaction)
                    if tells and (deed := present_deed()) is not None:
                        await insert_deeds(transaction, [deed])
                    return answer
            except Conflict:
                if attempt >= attempts:
                    raise
            except Unavailable as error:
                # Every connection that was open may be dead; a fresh one tells.
                if lost or (isinstance(error, OutcomeUnknown) and not repeatable):
                    raise
                lost = True
        raise Unavailable("the database answers with a conflict each time")

    async def read(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sqlalchemy.Row[Any]]:
        """The rows of one query. Raises Unavailable."""
        for attempt in (1, 2):
            try:
                async with self._operation(self._readers) as connection:
                    return (await connection.execute(statement, parameters)).all()
            except Unavailable:
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def time(self) -> datetime:
        (row,) = await self.read(sqlalchemy.select(sqlalchemy.literal_column(self.now).label("now")))
        return instant(row.now)

    @property
    def now(self) -> str:
        if self._now:
            return self._now
        return SqliteTransaction.NOW if self.is_sqlite else PostgresTransaction.NOW

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with self._operation(self._writers) as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            transaction: Transaction
            if self.is_sqlite:
                transaction = SqliteTransaction(driver, connection, self.now)
            else:
                transaction = PostgresTransaction(driver, connection, self.now)
            transaction.rings = self.due is not None
            await transaction.begin()
            try:
                yield transaction
                await transaction.flush()
            except Exception as error:
                if _is_refusal(error):
                    await transaction.rollback()
                raise
            await self._commit(transaction)
            for action in transaction.after_commit:
                action()
            if transaction.opened:
                self.opened(transaction.opened)
            if transaction.signalled:
                self.signalled()
            if transaction.offered:
                self.offered(transaction.offered)
            if transaction.bells and self.due is not None:
                self.due(transaction.bells)

    async def _commit(self, transaction: Transaction) -> None:
        try:
            await transaction.commit()
        except Exception as error:
            if _is_lost(error):
                raise OutcomeUnknown(f"the database went away during a commit: {error}") from error
            raise

    @asynccontextmanager
    async def _operation(self, connections: Connections) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(self._operation_seconds), connections.take() as connection:
                yield connection
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"the database did not answer within {self._operation_seconds:g} s"
            ) from error
        except (DBAPIError, psycopg.Error, sqlite3.Error, OSError) as error:
            raise translated(error) from error


class Connections:
    """A fixed number of connections; idle ones are kept open, suspicious ones are thrown away."""

    def __init__(self, database: Database, size: int) -> None:
        self._database = database
        self._idle: list[AsyncConnection] = []
        self._slots = asyncio.Semaphore(size)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[AsyncConnection]:
        async with self._slots:
            connection = self._idle.pop() if self._idle else await self._database.connect()
            try:
                yield connection
            except BaseException as error:
                if _is_refusal(error):
                    self._idle.append(connection)
                else:
                    await _throw_away(connection)
                if _is_lost(error):
                    await self.close()  # the others of the same server are most likely dead too
                raise
            else:
                self._idle.append(connection)

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await _throw_away(connection)


def _postgres_arguments(url: sqlalchemy.URL) -> dict[str, Any]:
    """What we ask of every connection; the URL's own parameters stand above it."""
    ours = {name: value for name, value in POSTGRES_CONNECT.items() if name not in url.query}
    settings = " ".join(f"-c {name}={value}" for name, value in POSTGRES_SETTINGS.items())
    theirs = url.query.get("options", "")
    return {
        **ours,
        "options": f"{settings} {theirs if isinstance(theirs, str) else ' '.join(theirs)}".strip(),
    }


async def _throw_away(connection: AsyncConnection) -> None:
    async def close() -> None:
        with suppress(Exception):
            await connection.invalidate()
        with suppress(Exception):
            await connection.close()

    # To the end, even if the caller is being cancelled.
    await asyncio.shield(asyncio.ensure_future(close()))


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _is_refusal(error: BaseException) -> bool:
    """Somebody said no, and the transaction was rolled back: nothing is wrong with the connection."""
    if isinstance(error, FlowEngineError):
        return not isinstance(error, OutcomeUnknown)
    return isinstance(error, Exception) and isinstance(translated(error), (Conflict, NotStorable))


def _is_lost(error: BaseException) -> bool:
    cause = _cause(error)
    if isinstance(cause, OutcomeUnknown):
        return True
    if isinstance(cause, psycopg.OperationalError):
        return cause.sqlstate is None or cause.sqlstate.startswith(("08", "57P"))
    return isinstance(cause, (psycopg.InterfaceError, OSError))


def translated(error: Exception) -> Exception:
    """What a driver's exception means: Conflict, NotStorable, Unavailable, or itself: a mistake of ours."""
    cause = _cause(error)
    match cause:
        case (
            psycopg.errors.DeadlockDetected()
            | psycopg.errors.SerializationFailure()
            | psycopg.IntegrityError()
        ):
            return Conflict(str(cause))
        case sqlite3.IntegrityError():
            return Conflict(str(cause))
        case psycopg.DataError():
            return NotStorable(f"a value cannot be stored: {cause}")
        case psycopg.OperationalError() | psycopg.InterfaceError() | sqlite3.OperationalError() | OSError():
            return Unavailable(f"the database does not answer: {cause}".strip())
        case _:
            return (
                Unavailable("the connection to the database is closed")
                if isinstance(error, InterfaceError)
                else error
            )


def _configure_postgres(connection: Any, _record: Any) -> None:
    """Arrays go in binary: their text costs more to write."""
    connection.driver_connection.adapters.register_dumper(list, ListBinaryDumper)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_SECONDS * 1000}")
    cursor.close()
