"""The schema, DATABASE_URL, and who may open what."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from flow_engine.errors import Unavailable
from services.executor.persistence.database import InvalidDatabaseUrl, engine_url
from services.executor.persistence.filelock import DatabaseInUse
from services.executor.persistence.migrating import (
    MIGRATIONS,
    SchemaMismatch,
    check_schema,
    migrate,
    needed_revision,
)
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.persistence.tables import metadata
from services.executor.stats.tally import COUNTERS
from tests.integration.persistence.stage import execute


def test_the_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    assert migrate(database_url) == needed_revision()
    check_schema(database_url)
    engine = sqlalchemy.create_engine(engine_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        found = sqlalchemy.inspect(connection)
        for table in metadata.sorted_tables:
            names = {check["name"] for check in found.get_check_constraints(table.name)}
            wanted = {c.name for c in table.constraints if isinstance(c, sqlalchemy.CheckConstraint)}
            assert names == wanted
    engine.dispose()


def test_histograms_move_into_the_rows_of_their_counts_and_back(database_url: str) -> None:
    engine = sqlalchemy.create_engine(engine_url(database_url), poolclass=sqlalchemy.NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    def go(step: Callable[[Config, str], None], revision: str) -> None:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            step(config, revision)

    go(command.upgrade, "0017")
    zeros = ", ".join(["0"] * (len(COUNTERS) + 1))
    for subject in (1, 2):
        execute(database_url, f"INSERT INTO stats_counts VALUES ('default', 300, {subject}, 600, {zeros})")
    rows = [("duration", 8, 3), ("duration", 16, 1), ("wait", 8, 2)]
    for measure, bucket, count in rows:
        values = f"('default', 300, 1, 600, '{measure}', {bucket}, {count})"
        execute(database_url, f"INSERT INTO stats_buckets VALUES {values}")
    go(command.upgrade, "0018")
    kept = [json.loads(text) for (text,) in execute(database_url, "SELECT histograms FROM stats_counts")]
    assert sorted(kept, key=len) == [{}, {"duration": {"8": 3, "16": 1}, "wait": {"8": 2}}]
    go(command.downgrade, "0017")
    back = execute(database_url, "SELECT measure, bucket, count FROM stats_buckets WHERE subject = 1")
    assert sorted(map(tuple, back)) == rows
    engine.dispose()


def test_migrating_twice_and_at_once_is_safe(postgres_url: str) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            migrate(postgres_url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    check_schema(postgres_url)


async def test_an_empty_postgresql_database_is_refused_with_the_remedy(postgres_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="flow db upgrade"):
        await SqlExecutionPersistence(postgres_url).start()


def test_a_newer_schema_is_refused(database_url: str) -> None:
    migrate(database_url)
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    for refuse in (check_schema, migrate):
        with pytest.raises(SchemaMismatch, match="does not know"):
            refuse(database_url)


async def test_sqlite_migrates_at_start_and_makes_its_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'not' / 'there' / 'flow.db'}"
    store = SqlExecutionPersistence(url)
    await store.start()
    assert (await store.queue_state(1000)).pending == 0
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2)):
        (row,) = await store.database.read(sqlalchemy.text(f"PRAGMA {pragma}"))
        assert row[0] == value
    await store.stop()
    await store.stop()


async def test_a_second_executor_on_the_same_file_is_refused(sqlite_url: str) -> None:
    first, second = SqlExecutionPersistence(sqlite_url), SqlExecutionPersistence(sqlite_url)
    await first.start()
    with pytest.raises(DatabaseInUse, match="PostgreSQL"):
        await second.start()
    await first.stop()
    await second.start()
    await second.stop()


async def test_parameters_of_the_url_stand_above_ours(postgres_url: str) -> None:
    migrate(postgres_url)
    store = SqlExecutionPersistence(f"{postgres_url}?application_name=mine&options=-c%20lock_timeout%3D1s")
    await store.start()
    names = ("application_name", "lock_timeout", "timezone")
    query = sqlalchemy.text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    (row,) = await store.database.read(query)
    assert tuple(row) == ("mine", "1s", "UTC")
    await store.stop()


async def test_a_database_that_is_not_there_is_unavailable(unused_tcp_port: int) -> None:
    store = SqlExecutionPersistence(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nothing")
    with pytest.raises(Unavailable):
        await store.start()


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h:5432/d?sslmode=require", "postgresql+psycopg"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
        ("sqlite:///relative/flow.db", "sqlite"),
        ("sqlite:////absolute/flow.db", "sqlite"),
    ],
)
def test_known_forms_of_database_url(url: str, driver: str) -> None:
    assert engine_url(url).drivername == driver


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not a URL"),
        ("flow.db", "not a URL"),
        ("mysql://u:secret@h/d", "mysql:// is not supported"),
        ("postgresql://u@h", "names no database"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite://host/flow.db", "three slashes"),
    ],
)
def test_other_forms_are_refused_without_telling_the_password(url: str, why: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match=why) as refused:
        engine_url(url)
    assert "secret" not in str(refused.value)
