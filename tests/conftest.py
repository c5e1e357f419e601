"""Real servers for tests: private to the session, on loopback, gone with it.

Under pytest-xdist every process has servers of its own: a second cluster costs half a second.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from services.executor.persistence.migrating import migrate
from tests.infra.distribution import Scheduling
from tests.infra.postgres import PostgresCluster
from tests.infra.valkey import PrivateValkey

# How long an example takes tells how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


IN_MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 << 30


def pytest_configure() -> None:
    """Keep the databases of tests in memory where there is plenty: no test needs the machine to crash.

    A folder that TMPDIR names is used, whatever it is.
    """
    if "TMPDIR" in os.environ or not IN_MEMORY.is_dir() or not os.access(IN_MEMORY, os.W_OK):
        return
    system = os.statvfs(IN_MEMORY)
    if system.f_bavail * system.f_frsize >= ENOUGH_BYTES and not system.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = str(IN_MEMORY)
        tempfile.tempdir = None  # what it found before


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests and the modules they are in stay: the garbage collector need not look at them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    cluster = PostgresCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """An empty database."""
    url = postgres_cluster.create_database()
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'flow.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind in turn."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with our schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "flow.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def migrated_sqlite_url(sqlite_url: str, migrated_sqlite: Path) -> str:
    """A database file with our schema and nothing in it. To migrate takes longer than most tests."""
    shutil.copy(migrated_sqlite, sqlite_url.removeprefix("sqlite:///"))
    return sqlite_url


@pytest.fixture
def migrated_postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """A database with our schema and nothing in it."""
    url = postgres_cluster.create_database(postgres_cluster.template("migrated", migrate))
    yield url
    postgres_cluster.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind in turn, with our schema and nothing in it."""
    url: str = request.getfixturevalue(
        f"migrated_{'sqlite' if request.param == 'sqlite' else 'postgres'}_url"
    )
    return url


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateValkey]:
    server = PrivateValkey(tmp_path_factory.mktemp("valkey"))
    yield server
    asyncio.run(server.stop())


@pytest.fixture
def redis_server(_valkey: PrivateValkey) -> PrivateValkey:
    """A running, empty server, to `kill()` and `await start()`; it keeps its address."""
    asyncio.run(_valkey.start())
    _valkey.flush()
    return _valkey


@pytest.fixture
def redis_url(redis_server: PrivateValkey) -> str:
    return redis_server.url
