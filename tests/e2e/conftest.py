"""Whole stacks: the real services as processes, on each database."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.executor.persistence.migrating import migrate
from services.executor.secrets.keyring import new_key
from tests.infra.egress import LOOPBACK
from tests.infra.postgres import PostgresCluster
from tests.infra.stack import Stack
from tests.infra.valkey import PrivateValkey
from tests.infra.witness import Witness

QUICK = {
    "FLOW_LEASE_SECONDS": "3",
    "FLOW_IMMEDIATE_LEASE_SECONDS": "3",
    "FLOW_SWEEP_INTERVAL_SECONDS": "0.2",
    "FLOW_SECRETS_KEY": new_key(),
}
"""Settings under which a lost process is noticed within seconds."""

MakeStack = Callable[..., Stack]


@pytest.fixture
def make_stack(
    tmp_path: Path, redis_server: PrivateValkey, request: pytest.FixtureRequest
) -> Iterator[MakeStack]:
    """A stack of this test's own, not started. `database` is sqlite or postgresql."""
    stacks: list[Stack] = []

    def make(database: str = "sqlite", **settings: str) -> Stack:
        url = request.getfixturevalue(
            "migrated_sqlite_url" if database == "sqlite" else "migrated_postgres_url"
        )
        stack = Stack(tmp_path, url, redis_server.url, **{**QUICK, **LOOPBACK, **settings})
        stacks.append(stack)
        return stack

    yield make
    for stack in stacks:
        stack.stop()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"], ids=["on-sqlite", "on-postgresql"])
def shared_stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A running stack on each database in turn, shared by all tests that only use it."""
    folder = tmp_path_factory.mktemp("stack")
    cluster: PostgresCluster | None = None
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), folder / "flow.db")
        url = f"sqlite:///{folder / 'flow.db'}"
    else:
        cluster = request.getfixturevalue("postgres_cluster")
        url = cluster.create_database(cluster.template("migrated", migrate))
    valkey = PrivateValkey(folder / "valkey")
    asyncio.run(valkey.start())
    stack = Stack(folder, url, valkey.url, **QUICK, **LOOPBACK, FLOW_CODE_PYTHON="1")
    try:
        yield stack.start()
    finally:
        stack.stop()
        asyncio.run(valkey.stop())
        if cluster is not None:
            cluster.drop_database(url)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    server = Witness(tmp_path / "witness.ndjson")
    yield server
    server.close()
