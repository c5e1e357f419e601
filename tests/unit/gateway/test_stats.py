"""GET /api/stats."""

from __future__ import annotations

import httpx

from flow_engine.v1 import stats_pb2 as pb
from tests.unit.gateway.engine import Engine


async def test_figures_are_told_in_milliseconds_and_shares(client: httpx.AsyncClient, engine: Engine) -> None:
    stats = pb.ExecutionStats(runs=3, completed=2, failed=1, success_rate=2 / 3, promotions=1)
    stats.duration.p50.FromMicroseconds(1500)
    stats.mode_regret.rate = 1 / 3
    stats.usage.cpu_time.FromMilliseconds(7)
    answer = pb.GetStatsResponse(total=stats, workflows=[pb.WorkflowStats(workflow_id="w", stats=stats)])
    answer.start_time.FromSeconds(0)
    answer.slowest_nodes.add(node_id="a", workflow_id="w", node_type="t", runs=1)
    answer.throughput.add(completed=2).start_time.FromSeconds(300)
    answer.bucket.FromSeconds(300)
    engine.answers[pb.GetStatsRequest] = answer

    response = await client.get(
        "/api/stats?workflowId=w&from=2030-01-01&to=2030-01-02T00:00:00Z&bucketMs=600000&limit=5"
    )
    document = response.json()
    assert document["start"] == "1970-01-01T00:00:00Z"
    assert document["total"]["successRate"] == 0.6667
    assert document["total"]["durationMs"]["p50"] == 1.5
    assert "queueWaitMs" not in document["total"]
    assert document["total"]["modeRegret"] == {"immediatePromoted": 0, "queuedShort": 0, "rate": 0.3333}
    assert document["workflows"][0]["stats"]["usage"]["cpuMs"] == 7
    assert document["slowestNodes"][0]["nodeId"] == "a"
    assert document["throughput"] == [
        {"start": "1970-01-01T00:05:00Z", "completed": 2, "failed": 0, "cancelled": 0}
    ]
    asked = engine.asked[-1]
    assert (asked.workflow_id, asked.limit, asked.bucket.seconds) == ("w", 5, 600)
    assert asked.end_time.seconds - asked.start_time.seconds == 86_400


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/stats?bucketMs=1&form=2030-01-01")
    assert response.status_code == 400
    assert {problem["path"] for problem in response.json()["problems"]} == {"bucketMs", "form"}
