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


async def test_a_worker_is_drained_and_let_work_again(client: httpx.AsyncClient, engine: Engine) -> None:
    answer = await client.post("/api/workers/worker:1/drain")
    assert (answer.status_code, answer.json()["draining"]) == (200, True)
    answer = await client.post("/api/workers/worker:1/drain", json={"undo": True})
    assert answer.json()["draining"] is False
    assert engine.last(pb.DrainWorkerRequest).undo


async def test_an_execution_is_requeued_once_a_call(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.run("e1")
    answer = await client.post("/api/workflow/execution/e1/requeue", json={"first": True})
    assert (answer.status_code, answer.json()["executionId"]) == (200, "e1")
    assert engine.last(pb.RequeueExecutionRequest).first
    assert (await client.post("/api/workflow/execution/nope/requeue")).status_code == 404


async def test_a_purge_passes_its_conditions_on(client: httpx.AsyncClient, engine: Engine) -> None:
    body = {"workflowId": "w", "priority": 0, "createdBefore": "2026-01-01T12:00:00Z", "dryRun": True}
    answer = await client.post("/api/queue/purge", json=body)
    assert answer.json() == {"count": 2, "executionIds": ["e1"], "more": False}
    asked = engine.last(pb.PurgeQueueRequest)
    assert (asked.workflow_id, asked.priority, asked.HasField("priority")) == ("w", 0, True)
    assert (asked.created_before_time, asked.dry_run, asked.all) == (NOON, True, False)
    wrong = await client.post("/api/queue/purge", json={"priority": 10, "everything": True})
    assert {problem["path"] for problem in wrong.json()["problems"]} == {"/priority", "/everything"}


async def test_a_diagnosis_says_whether_anything_is_broken(client: httpx.AsyncClient, engine: Engine) -> None:
    checks = [
        pb.Check(name="database", state=pb.CHECK_STATE_OK, finding="fine"),
        pb.Check(name="redis", state=pb.CHECK_STATE_ERROR, finding="gone", remedy="start it"),
    ]
    engine.answers[pb.DiagnoseRequest] = pb.DiagnoseResponse(checks=checks, executor_time=NOON)
    answer = (await client.get("/api/diagnosis")).json()
    assert answer["healthy"] is False
    assert answer["checks"] == [
        {"name": "database", "state": "ok", "finding": "fine"},
        {"name": "redis", "state": "error", "finding": "gone", "remedy": "start it"},
    ]
