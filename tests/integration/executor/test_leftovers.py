"""Runs that are over leave nothing that only the garbage collector would find: that looks rarely."""

from __future__ import annotations

import asyncio
import gc

from flow_engine.interpreter.runner import Runner
from flow_engine.v1 import execution_pb2 as pb
from services.executor.strategies.immediate import ImmediateRun
from services.worker.runs import Run
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, SlowServer
from tests.integration.executor.workflows import ADD_ONE, LOOP, call, chain


def left() -> list[object]:
    return [found for found in gc.get_objects() if isinstance(found, (Runner, ImmediateRun, Run))]


async def test_runs_are_freed_as_soon_as_they_are_over(
    client: Client, worker: Worker, slow_server: SlowServer
) -> None:
    gc.collect()
    gc.disable()
    try:
        for mode in (pb.EXECUTION_MODE_IMMEDIATE, pb.EXECUTION_MODE_QUEUED):
            for workflow in (ADD_ONE, LOOP):
                started = await client.start(workflow, {"n": 1, "items": [1, 2]}, mode=mode)
                await client.ended(started.execution.id)
            started = await client.start(chain(call("a", slow_server.url)), mode=mode, wait=0)
            await slow_server.asked.acquire()
            await client.executions.CancelExecution(
                pb.CancelExecutionRequest(execution_id=started.execution.id)
            )
            assert (await client.ended(started.execution.id)).status == pb.EXECUTION_STATUS_CANCELLED
        async with asyncio.timeout(5):
            while left():  # noqa: ASYNC110 - nothing is set when an object goes
                await asyncio.sleep(0)
    finally:
        gc.enable()
