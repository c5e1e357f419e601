"""The executor as a process: how it says that it serves, how it stops, what keeps it from starting."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flow_engine.v1 import execution_pb2 as pb
from tests.infra.egress import LOOPBACK
from tests.integration.executor.conftest import Client, SlowServer
from tests.integration.executor.workflows import ADD_ONE, call, chain, node

Launch = Callable[..., Awaitable[Process]]


@pytest.fixture
async def launch(tmp_path: Path, redis_url: str) -> AsyncIterator[Launch]:
    """Starts an executor process; the environment is empty but for what is given."""
    processes: list[Process] = []

    async def start(**environment: str) -> Process:
        settings = {
            "PATH": os.environ["PATH"],
            "FLOW_DATA_DIR": str(tmp_path),
            "FLOW_GRPC_ADDRESS": "127.0.0.1:0",
            "REDIS_URL": redis_url,
            **LOOPBACK,
            **environment,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.executor", stdout=PIPE, stderr=PIPE, env=settings
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address_of(process: Process) -> str:
    assert process.stdout
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert line.startswith("ready 127.0.0.1:"), await refusal_of(process)
    return line.split()[1]


async def refusal_of(process: Process) -> tuple[int | None, str]:
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert out == b""
    return process.returncode, err.decode()


async def test_it_says_where_it_serves_and_stops_in_good_order(launch: Launch) -> None:
    process = await launch()
    client = Client(await address_of(process))
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    started = await client.start(ADD_ONE, {"n": 1})
    assert started.execution.status == pb.EXECUTION_STATUS_COMPLETED
    await client.channel.close()
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err


async def test_open_streams_do_not_keep_it_from_stopping(launch: Launch, slow_server: SlowServer) -> None:
    process = await launch(FLOW_SHUTDOWN_GRACE_SECONDS="0.5")
    client = Client(await address_of(process))
    started = await client.start(chain(call("a", slow_server.url)), mode=pb.EXECUTION_MODE_IMMEDIATE, wait=0)
    stream = client.executions.WatchExecution(pb.WatchExecutionRequest(execution_id=started.execution.id))
    await stream.read()
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 8)
    assert process.returncode == 0
    await client.channel.close()


async def test_an_execution_outlives_the_executor_that_was_killed(
    launch: Launch, slow_server: SlowServer
) -> None:
    process = await launch()
    client = Client(await address_of(process))
    workflow = chain(node("a", "data.set", values={"n": 1}), call("b", slow_server.url))
    started = await client.start(workflow, mode=pb.EXECUTION_MODE_IMMEDIATE, wait=0)
    await slow_server.asked.acquire()
    process.kill()
    await process.wait()
    await client.channel.close()
    second = await launch()
    client = Client(await address_of(second))
    left = await client.get(started.execution.id)
    assert (left.status, left.mode) == (pb.EXECUTION_STATUS_PENDING, pb.EXECUTION_MODE_QUEUED)
    assert (left.steps[0].node_id, left.steps[0].status) == ("a", pb.STEP_STATUS_COMPLETED)
    events = await client.executions.ListEvents(pb.ListEventsRequest(execution_id=left.id))
    promoted = next(event for event in events.events if event.type == "execution.promoted")
    assert '"reason":"executorLost"' in promoted.frame_json
    await client.channel.close()


async def test_a_second_executor_on_one_sqlite_file_refuses_to_start(launch: Launch) -> None:
    await address_of(await launch())
    code, message = await refusal_of(await launch())
    assert code == 78
    assert message.count("\n") == 1
    assert "another executor uses" in message


REFUSED = [
    ({"FLOW_GRPC_ADDRESS": "0.0.0.0:0"}, "FLOW_INSECURE=1"),
    ({"FLOW_GRPC_ADDRESS": "nowhere"}, "FLOW_GRPC_ADDRESS: 'nowhere'"),
    ({"REDIS_URL": ""}, "REDIS_URL: not set"),
    ({"FLOW_LEASE_SECONDS": "soon"}, "FLOW_LEASE_SECONDS: 'soon' is not a number"),
    ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL: 'mysql://x'"),
]


@pytest.mark.parametrize(("environment", "told"), REFUSED, ids=[told for _, told in REFUSED])
async def test_wrong_settings_are_named(launch: Launch, environment: dict[str, str], told: str) -> None:
    code, message = await refusal_of(await launch(**environment))
    assert code == 78
    assert told in message
    assert message.count("\n") == 1


async def test_a_postgresql_without_its_tables_is_refused_or_upgraded(
    launch: Launch, postgres_url: str
) -> None:
    code, message = await refusal_of(await launch(DATABASE_URL=postgres_url))
    assert (code, "flow db upgrade" in message) == (78, True)
    await address_of(await launch(DATABASE_URL=postgres_url, FLOW_MIGRATE="1"))


MIGRATED_AHEAD = """
import os, sys
from services.executor.ahead import migrated_ahead
from services.executor.settings import from_environment
settings = from_environment(os.environ)
with migrated_ahead(settings):
    pass
from services.executor.persistence.migrating import check_schema
check_schema(settings.database_url)
assert "alembic" not in sys.modules
"""


async def test_what_migrates_is_not_loaded_by_who_serves(tmp_path: Path, redis_url: str) -> None:
    settings = {"FLOW_DATA_DIR": str(tmp_path), "REDIS_URL": redis_url, "PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATED_AHEAD, env=settings)
    assert await process.wait() == 0


async def test_two_executors_never_share_a_port(launch: Launch, tmp_path: Path) -> None:
    address = await address_of(await launch())
    second = await launch(FLOW_GRPC_ADDRESS=address, FLOW_DATA_DIR=str(tmp_path / "other"))
    code, message = await refusal_of(second)
    assert (code, f"cannot listen on {address}" in message) == (78, True)


async def test_starts_are_accepted_while_redis_is_down(launch: Launch) -> None:
    client = Client(await address_of(await launch(REDIS_URL="redis://127.0.0.1:1/0")))
    for mode, status in (
        (pb.EXECUTION_MODE_IMMEDIATE, pb.EXECUTION_STATUS_COMPLETED),
        (pb.EXECUTION_MODE_QUEUED, pb.EXECUTION_STATUS_PENDING),
    ):
        started = await client.start(ADD_ONE, {"n": 1}, mode=mode)
        assert started.execution.status == status
    await client.channel.close()


async def test_reflection_lists_every_service(launch: Launch) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    channel = grpc.aio.insecure_channel(await address_of(await launch()))
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
    call_ = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    async for response in call_:
        names = {service.name for service in response.list_services_response.service}
        assert {f"flow_engine.v1.{name}Service" for name in ("Execution", "Workflow", "Worker")} <= names
        break
    call_.cancel()
    await channel.close()
