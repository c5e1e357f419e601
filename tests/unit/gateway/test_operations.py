"""Workers and the queue as operators get them by HTTP."""

from __future__ import annotations

import httpx
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flow_engine.v1 import operations_pb2 as pb
from tests.unit.gateway.engine import Engine

NOON = Timestamp(seconds=1767268800)


async def test_workers_come_with_what_they_run(client: httpx.AsyncClient, engine: Engine) -> None:
    worker = pb.WorkerInfo(
        id="worker:1",
        hostname="h",
        slots=16,
        free_slots=15,
        started_time=NOON,
        running_count=1,
        executions=[pb.RunningExecution(execution_id="e1", workflow_id="w", started_time=NOON)],
        capabilities=["flow.noop"],
    )
    engine.answers[pb.ListWorkersRequest] = pb.ListWorkersResponse(workers=[worker], database_time=NOON)
    answer = (await client.get("/api/workers")).json()
    (found,) = answer["workers"]
    assert (found["id"], found["freeSlots"], found["draining"]) == ("worker:1", 15, False)
    assert found["startedAt"] == "2026-01-01T12:00:00Z"
    assert [one["executionId"] for one in found["executions"]] == ["e1"]


async def test_the_queue_is_told_by_its_parts(client: httpx.AsyncClient, engine: Engine) -> None:
    assert "oldestPendingMs" not in (await client.get("/api/queue")).json()
    engine.answers[pb.GetQueueRequest] = pb.GetQueueResponse(
        pending_count=3,
        oldest_pending_age=Duration(seconds=2),
        priorities=[pb.PriorityDepth(priority=5, pending_count=3, oldest_pending_age=Duration(seconds=2))],
        keys=[pb.KeyDepth(kind="rateLimit", key="k", limit=2, period=Duration(seconds=1), waiting_count=3)],
    )
    queue = (await client.get("/api/queue")).json()
    assert (queue["pendingCount"], queue["oldestPendingMs"]) == (3, 2000)
    assert queue["priorities"] == [{"priority": 5, "pendingCount": 3, "oldestPendingMs": 2000}]
    assert (queue["keys"][0]["periodMs"], queue["keys"][0]["waitingCount"]) == (1000, 3)
