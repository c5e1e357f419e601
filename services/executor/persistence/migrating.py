"""Bringing a database to the schema that this program needs, and refusing one that has another.

Alembic is imported only where there is something to migrate: it would be a tenth of an executor's start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from flow_engine.errors import Unavailable
from services.executor.persistence.database import engine_url, sqlite_path
from services.executor.persistence.filelock import FileLock

MIGRATIONS = Path(__file__).with_name("migrations")
CONNECT_SECONDS = 5
ADVISORY_LOCK = 0x666C6F77  # "flow"


class SchemaMismatch(Exception):
    """The database has another schema than this program; the message says what to do."""


def migrate(url: str) -> str:
    """Upgrade the database to the newest schema and return its revision; safe to repeat and to run at once.

    On SQLite the caller holds the lock of the database file.
    Raises InvalidDatabaseUrl, SchemaMismatch, Unavailable.
    """
    with _connection(url) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        current = _current(connection)
        _refuse_unknown(current)
        if current != needed_revision():
            _upgrade(connection)
        return needed_revision()


def prepare(url: str) -> None:
    """Make sure of the schema beside a running executor: a database that has none yet is migrated on SQLite.

    Raises DatabaseInUse, SchemaMismatch, InvalidDatabaseUrl, Unavailable.
    """
    try:
        check_schema(url)
    except SchemaMismatch:
        parsed = engine_url(url)
        if parsed.drivername != "sqlite":
            raise
        lock = FileLock(sqlite_path(parsed))
        lock.acquire()
        try:
            migrate(url)
        finally:
            lock.release()


def check_schema(url: str) -> None:
    """Raises SchemaMismatch unless the database has exactly the schema that this program needs."""
    with _connection(url) as connection:
        current = _current(connection)
    needed = needed_revision()
    if current == needed:
        return
    _refuse_unknown(current)
    state = (
        "has no tables yet" if current is None else f"is at schema {current}, and this program needs {needed}"
    )
    raise SchemaMismatch(f"the database {state}; run `flow db upgrade`")


def needed_revision() -> str:
    return max(_revisions())


@cache
def _revisions() -> frozenset[str]:
    """Those that this program knows. The name of a migration's file begins with the number that it is."""
    return frozenset(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _refuse_unknown(current: str | None) -> None:
    if current is not None and current not in _revisions():
        raise SchemaMismatch(
            f"the database is at schema {current}, which this program ({needed_revision()}) does not know; "
            "update the program"
        )


def _current(connection: sqlalchemy.Connection) -> str | None:
    """As Alembic keeps it; None in a database that it never saw."""
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(
        sqlalchemy.text("SELECT version_num FROM alembic_version")
    ).scalar()
    return found


def _upgrade(connection: sqlalchemy.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _connection(url: str) -> Iterator[sqlalchemy.Connection]:
    parsed = engine_url(url)
    if parsed.drivername == "sqlite":
        sqlite_path(parsed).parent.mkdir(parents=True, exist_ok=True)
    if parsed.drivername != "sqlite" and "connect_timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
    engine = sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise Unavailable(f"the database does not answer: {error.orig}") from error
    finally:
        engine.dispose()
