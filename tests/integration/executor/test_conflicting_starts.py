"""Starts beside live executions of the same workflow, and starts into a full queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.executor.bootstrap import Executor
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, MakeSettings, SlowServer
from tests.integration.executor.test_executions import refused
from tests.integration.executor.workflows import ADD_ONE, approval, call, chain

IMMEDIATE = pb.EXECUTION_MODE_IMMEDIATE
QUEUED = pb.EXECUTION_MODE_QUEUED
MODES = pytest.mark.parametrize("mode", [IMMEDIATE, QUEUED], ids=["immediate", "queued"])


@MODES
async def test_a_second_start_is_refused_with_the_id_of_the_first(client: Client, mode: int) -> None:
    workflow = chain(approval("ok"), onConflict="reject")
    first = await client.start(workflow, mode=mode, wait=0)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await client.start(workflow, mode=mode)
    assert first.execution.id in (raised.value.details() or "")
    assert (await refused(client.start(workflow, mode=mode)))[:2] == ("ALREADY_EXISTS", "WORKFLOW_RUNNING")

    await client.executions.CancelExecution(pb.CancelExecutionRequest(execution_id=first.execution.id))
    await client.ended(first.execution.id)
    assert (await client.start(workflow, mode=mode, wait=0)).created


@MODES
async def test_of_two_starts_at_once_one_runs_and_both_get_its_id(
    client: Client, slow_server: SlowServer, mode: int, worker: Worker
) -> None:
    workflow = chain(call("slow", slow_server.url), onConflict="use_existing")

    answers = await asyncio.gather(*(client.start(workflow, mode=mode, wait=0) for _ in range(2)))

    assert len({answer.execution.id for answer in answers}) == 1
    assert sorted(answer.created for answer in answers) == [False, True]
    slow_server.answer.set()
    assert (await client.ended(answers[0].execution.id)).status == pb.EXECUTION_STATUS_COMPLETED
    assert slow_server.calls == 1


async def test_a_start_cancels_the_one_that_runs(client: Client, slow_server: SlowServer) -> None:
    first = await client.start(chain(call("slow", slow_server.url)), mode=IMMEDIATE, wait=0)
    await slow_server.asked.acquire()

    second = await client.start(chain(approval("ok"), onConflict="cancel_existing"), mode=IMMEDIATE)

    await asyncio.wait_for(slow_server.cut.wait(), 5)
    assert (await client.ended(first.execution.id)).status == pb.EXECUTION_STATUS_CANCELLED
    assert second.created
    assert second.execution.status == pb.EXECUTION_STATUS_WAITING


async def test_a_retry_never_runs_beside_a_live_execution_of_such_a_workflow(client: Client) -> None:
    workflow = chain(approval("ok"), onConflict="use_existing")
    first = (await client.start(workflow, mode=IMMEDIATE)).execution.id
    await client.executions.CancelExecution(pb.CancelExecutionRequest(execution_id=first))
    await client.start(workflow, mode=IMMEDIATE)

    retry = pb.RetryExecutionRequest(execution_id=first)
    assert (await refused(client.executions.RetryExecution(retry)))[1] == "WORKFLOW_RUNNING"


async def test_a_policy_needs_the_id_that_it_is_about(client: Client) -> None:
    workflow = {**ADD_ONE, "id": None, "onConflict": "reject"}
    answer = await client.executions.ValidateWorkflow(
        pb.ValidateWorkflowRequest(workflow_json=json.dumps(workflow))
    )
    assert [(problem.path, problem.code) for problem in answer.problems] == [("/id", "MISSING_FIELD")]


@pytest.fixture
async def full_executor(make_settings: MakeSettings) -> AsyncIterator[Executor]:
    """Lets two executions queue, and nobody works on them."""
    executor = Executor(make_settings(queue_max_pending=2))
    await executor.start()
    yield executor
    await executor.stop()


@pytest.fixture
async def small_queue(full_executor: Executor) -> AsyncIterator[Client]:
    connected = Client(full_executor.address)
    yield connected
    await connected.channel.close()


async def test_a_full_queue_refuses_what_would_be_queued_and_nothing_else(
    full_executor: Executor, small_queue: Client
) -> None:
    async def queue() -> pb.StartExecutionResponse:
        return await small_queue.start(ADD_ONE, {"n": 1}, mode=QUEUED, request_id="first")

    await queue()
    second = await small_queue.start(ADD_ONE, {"n": 2}, mode=QUEUED)

    full = await refused(small_queue.start(ADD_ONE, {"n": 3}, mode=QUEUED))
    assert full[:2] == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
    assert not (await queue()).created, "what was accepted before is answered"
    assert (await small_queue.start(ADD_ONE, {"n": 4}, mode=IMMEDIATE)).execution.output_json == "5"

    await small_queue.executions.CancelExecution(pb.CancelExecutionRequest(execution_id=second.execution.id))
    await full_executor.queue_gauge.turn()
    assert (await small_queue.start(ADD_ONE, {"n": 5}, mode=QUEUED)).created
