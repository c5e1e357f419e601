"""Two executors on one PostgreSQL: whichever answers, the answer is the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.executor.bootstrap import Executor
from services.executor.settings import Settings
from services.worker.service import Worker
from services.worker.settings import Settings as WorkerSettings
from tests.infra.egress import LOOPBACK_RULES
from tests.integration.executor.conftest import Client, SlowServer
from tests.integration.executor.workflows import ADD_ONE, approval, call, chain, node

IMMEDIATE = pb.EXECUTION_MODE_IMMEDIATE
QUEUED = pb.EXECUTION_MODE_QUEUED


@dataclass
class Pair:
    first: Client
    second: Client
    first_address: str


@pytest.fixture
async def pair(migrated_postgres_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    settings = Settings(
        data_dir=tmp_path,
        database_url=migrated_postgres_url,
        redis_url=redis_url,
        grpc_port=0,
        migrate=True,
        sweep_interval_seconds=0.2,
        egress=LOOPBACK_RULES,
    )
    executors = [Executor(settings), Executor(settings)]
    for executor in executors:
        await executor.start()
    first, second = (Client(executor.address) for executor in executors)
    yield Pair(first, second, executors[0].address)
    for client in (first, second):
        await client.channel.close()
    for executor in executors:
        await executor.stop()


@pytest.fixture
async def worker_of_first(pair: Pair, redis_url: str) -> AsyncIterator[Worker]:
    worker = Worker(
        WorkerSettings(executor_address=pair.first_address, redis_url=redis_url, egress=LOOPBACK_RULES)
    )
    await worker.start()
    yield worker
    await worker.stop()


async def test_a_run_in_one_is_watched_and_cancelled_through_the_other(
    pair: Pair, slow_server: SlowServer
) -> None:
    started = await pair.first.start(chain(call("a", slow_server.url)), mode=IMMEDIATE, wait=0)
    await slow_server.asked.acquire()
    watching = asyncio.create_task(pair.second.frames(started.execution.id))
    await pair.second.until(started.execution.id, "step.started")
    await pair.second.executions.CancelExecution(pb.CancelExecutionRequest(execution_id=started.execution.id))
    async with asyncio.timeout(1.5):
        await slow_server.cut.wait()
        frames = await watching
    assert frames[-1]["type"] == "execution.cancelled"
    assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))


async def test_a_worker_of_one_runs_what_the_other_was_asked_for(pair: Pair, worker_of_first: Worker) -> None:
    started = await pair.second.start(ADD_ONE, {"n": 1}, mode=QUEUED)
    ended = await pair.second.ended(started.execution.id)
    assert (ended.status, ended.output_json) == (pb.EXECUTION_STATUS_COMPLETED, "2")


async def test_an_answer_through_one_wakes_an_execution_whose_worker_knows_the_other(
    pair: Pair, worker_of_first: Worker
) -> None:
    started = await pair.second.start(chain(approval("ok"), node("b", "flow.noop")))
    await pair.second.until(started.execution.id, "execution.waiting")
    await pair.second.executions.SubmitInput(
        pb.SubmitInputRequest(
            execution_id=started.execution.id, node_id="ok", input_json='{"approved": true}'
        )
    )
    assert (await pair.first.ended(started.execution.id)).status == pb.EXECUTION_STATUS_COMPLETED


async def test_starts_at_once_at_both_with_one_request_id_make_one_execution(pair: Pair) -> None:
    starts = [client.start(ADD_ONE, {"n": 1}, request_id="r") for client in (pair.first, pair.second) * 3]
    responses = await asyncio.gather(*starts)
    assert len({response.execution.id for response in responses}) == 1
    assert sum(response.created for response in responses) == 1
    assert {response.execution.output_json for response in responses} == {"2"}
