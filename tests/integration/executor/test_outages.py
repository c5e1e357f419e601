"""What an outage of the database does to immediate runs, and to those who wait for them.

The server is started from the test's own thread, with which it would die.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.executor.bootstrap import Executor
from services.executor.settings import Settings
from tests.infra.egress import LOOPBACK_RULES
from tests.infra.postgres import PostgresCluster
from tests.integration.executor.conftest import Client, SlowServer
from tests.integration.executor.test_executions import refused
from tests.integration.executor.workflows import ADD_ONE, call, chain, node


@pytest.fixture
async def client_on_postgresql(
    migrated_postgres_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Client]:
    executor = Executor(
        Settings(
            data_dir=tmp_path,
            database_url=migrated_postgres_url,
            redis_url=redis_url,
            grpc_port=0,
            migrate=True,
            shutdown_grace_seconds=1.0,
            egress=LOOPBACK_RULES,
        )
    )
    await executor.start()
    client = Client(executor.address)
    yield client
    await client.channel.close()
    await executor.stop()


async def test_a_run_whose_database_comes_back_in_time_ends_as_if_nothing_was(
    client_on_postgresql: Client, postgres_cluster: PostgresCluster, slow_server: SlowServer
) -> None:
    client = client_on_postgresql
    workflow = chain(call("a", slow_server.url), node("b", "flow.noop"))
    waiting = asyncio.create_task(client.start(workflow, mode=pb.EXECUTION_MODE_IMMEDIATE))
    await slow_server.asked.acquire()
    postgres_cluster.crash()
    slow_server.answer.set()
    postgres_cluster.start()
    execution = (await waiting).execution
    ended = await client.ended(execution.id)
    assert ended.status == pb.EXECUTION_STATUS_COMPLETED
    assert [step.attempts for step in ended.steps] == [1, 1]
    assert slow_server.calls == 1


async def test_while_the_database_is_away_starts_are_refused_as_unavailable(
    client_on_postgresql: Client, postgres_cluster: PostgresCluster
) -> None:
    client = client_on_postgresql
    postgres_cluster.crash()
    try:
        code, reason, _ = await refused(client.start(ADD_ONE, {"n": 1}))
    finally:
        postgres_cluster.start()
    assert (code, reason) == ("UNAVAILABLE", "UNAVAILABLE")
    started = await client.start(ADD_ONE, {"n": 1})
    assert started.execution.status == pb.EXECUTION_STATUS_COMPLETED


async def test_a_stream_goes_on_after_the_database_was_away(
    client_on_postgresql: Client, postgres_cluster: PostgresCluster, slow_server: SlowServer
) -> None:
    """The stream may be cut; what its client has seen stays true, and it goes on behind that."""
    client = client_on_postgresql
    workflow = chain(call("a", slow_server.url))
    started = await client.start(workflow, mode=pb.EXECUTION_MODE_IMMEDIATE, wait=0)
    await client.until(started.execution.id, "step.started")
    seen = await events_so_far(client, started.execution.id)
    postgres_cluster.crash()
    postgres_cluster.start()
    slow_server.answer.set()
    rest = await client.frames(started.execution.id, after=seen[-1])
    assert [*seen, *(frame["sequence"] for frame in rest)] == list(range(1, len(seen) + len(rest) + 1))


async def events_so_far(client: Client, execution_id: str) -> list[int]:
    response = await client.executions.ListEvents(pb.ListEventsRequest(execution_id=execution_id))
    return [event.sequence for event in response.events]
