"""What operators see of a running system."""

from __future__ import annotations

from typing import Any

from flow_engine.v1 import operations_pb2 as pb
from flow_engine.v1.execution_pb2 import EXECUTION_MODE_QUEUED
from flow_engine.v1.operations_pb2_grpc import OperationsServiceStub
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, SlowServer
from tests.integration.executor.workflows import call, chain


async def test_a_worker_is_told_of_with_what_it_runs(
    client: Client, worker: Worker, slow_server: SlowServer
) -> None:
    operations: Any = OperationsServiceStub(client.channel)
    started = await client.start(chain(call("a", slow_server.url)), mode=EXECUTION_MODE_QUEUED)
    await slow_server.asked.acquire()
    answer = await operations.ListWorkers(pb.ListWorkersRequest())
    (found,) = answer.workers
    assert (found.id, found.slots, found.running_count, found.draining) == (worker.id, 16, 1, False)
    assert "http.request" in found.capabilities
    assert [one.execution_id for one in found.executions] == [started.execution.id]
    queue = await operations.GetQueue(pb.GetQueueRequest())
    assert (queue.pending_count, queue.running_count, queue.worker_count, queue.slots) == (0, 1, 1, 16)
    slow_server.answer.set()
    await client.ended(started.execution.id)
