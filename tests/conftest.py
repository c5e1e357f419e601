"""Real servers for tests: private to the session, on loopback, gone with it.

Under pytest-xdist every process has servers of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.postgres import PostgresCluster
from tests.infra.valkey import PrivateValkey


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
