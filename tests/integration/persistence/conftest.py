"""One suite for both databases."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.executor.persistence.migrating import migrate
from services.executor.persistence.store import SqlExecutionPersistence
from tests.infra.postgres import PostgresCluster
from tests.integration.persistence.stage import CLOCK, Stage, empty, put_clock


def _prepare(url: str) -> None:
    migrate(url)
    put_clock(url)


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "flow.db"
    _prepare(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_cluster: PostgresCluster) -> str:
    url = postgres_cluster.create_database()
    _prepare(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn, with our schema and a clock that stands still."""
    if request.param == "sqlite":
        copy = tmp_path / "flow.db"
        shutil.copy(request.getfixturevalue("_migrated_sqlite"), copy)
        return f"sqlite:///{copy}"
    # To make a database for each test would take longer than most of them.
    url: str = request.getfixturevalue("_migrated_postgres")
    empty(url)
    return url


@pytest.fixture
async def stage(migrated_url: str) -> AsyncIterator[Stage]:
    store = SqlExecutionPersistence(migrated_url, now=CLOCK)
    await store.start()
    stage = Stage(migrated_url, store)
    yield stage
    await store.stop()
    stage.audit()
    stage.close()


@pytest.fixture
async def second_store(stage: Stage) -> AsyncIterator[SqlExecutionPersistence]:
    """A second executor on the same PostgreSQL database; on SQLite, which serves one, the same."""
    if stage.is_sqlite:
        yield stage.store
        return
    store = SqlExecutionPersistence(stage.url, now=CLOCK)
    await store.start()
    yield store
    await store.stop()
