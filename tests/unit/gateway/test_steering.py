"""Control by filter, callbacks, values by hash and refused starts, as HTTP."""

from __future__ import annotations

import grpc
import httpx
import pytest

from flow_engine.v1 import execution_pb2 as pb
from tests.unit.gateway.engine import Engine, Refusal

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry"])
async def test_a_filter_is_passed_on_and_a_page_comes_back(
    client: httpx.AsyncClient, engine: Engine, verb: str
) -> None:
    refused = pb.ControlledExecution(
        execution_id="e1",
        status=pb.EXECUTION_STATUS_COMPLETED,
        effect=pb.CONTROL_EFFECT_REFUSED,
        reason="ILLEGAL_TRANSITION",
        message="no",
    )
    engine.answers[pb.ControlExecutionsRequest] = pb.ControlExecutionsResponse(
        executions=[refused], refused_count=1, next_page_token="t2"
    )
    body = {
        "filter": {
            "workflowId": "w", "statuses": ["waiting"], "tags": ["x"], "createdAfter": "2026-01-31T12:00:00",
        },
        "dryRun": True, "reason": "over", "limit": 2, "pageToken": "t1",
    }  # fmt: skip

    response = await client.post(f"/api/workflow/executions/{verb}", json=body)

    assert response.status_code == 200
    assert response.json() == {
        "done": 0, "accepted": 0, "refused": 1, "nextPageToken": "t2",
        "executions": [{
            "executionId": "e1", "status": "completed", "effect": "refused",
            "reason": "ILLEGAL_TRANSITION", "message": "no",
        }],
    }  # fmt: skip
    request = engine.last(pb.ControlExecutionsRequest)
    assert request.action == pb.ControlAction.Value(f"CONTROL_ACTION_{verb.upper()}")
    assert (request.dry_run, request.reason, request.page_size, request.page_token) == (True, "over", 2, "t1")
    assert (request.filter.workflow_id, list(request.filter.tags)) == ("w", ["x"])
    assert request.filter.created_after_time.ToJsonString() == "2026-01-31T12:00:00Z"


async def test_every_wrong_condition_is_named(client: httpx.AsyncClient, engine: Engine) -> None:
    body = {"filter": {"statuses": ["gone"], "mode": "auto", "workflow": "w"}, "limit": 0}
    response = await client.post("/api/workflow/executions/cancel", json=body)
    assert response.status_code == 400
    assert [problem["path"] for problem in response.json()["problems"]] == [
        "/filter/statuses/0", "/filter/mode", "/filter/workflow", "/limit",
    ]  # fmt: skip
    assert not engine.asked


async def test_retries_by_filter_are_not_repeated(client: httpx.AsyncClient, engine: Engine) -> None:
    body = {"filter": {"workflowId": "w"}}
    for verb, calls in (("retry", 1), ("cancel", 2)):
        engine.refusals = [Refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")]
        engine.calls.clear()
        await client.post(f"/api/workflow/executions/{verb}", json=body)
        assert engine.calls["ControlExecutionsRequest"] == calls
        engine.refusals = []


async def test_a_callback_learns_nothing_but_that_it_was_received(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    path = "/api/workflow/callback/tok_en-1"
    response = await client.post(path, content='{"n": 9007199254740993}', headers=JSON)
    assert (response.status_code, response.json()) == (200, {"received": True})
    assert engine.last(pb.SubmitCallbackRequest) == pb.SubmitCallbackRequest(
        token="tok_en-1", payload_json='{"n": 9007199254740993}'
    )
    assert (await client.post(path)).status_code == 200
    for method in ("GET", "PUT", "DELETE"):
        refused = await client.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert engine.calls["SubmitCallbackRequest"] == 2


async def test_a_value_comes_back_as_it_is(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.answers[pb.GetValueRequest] = pb.GetValueResponse(value_json='{"n": 9007199254740993}')
    response = await client.get("/api/workflow/execution/e1/payloads/abc")
    assert response.text == '{"n": 9007199254740993}'
    assert response.headers["content-type"] == "application/json"
    assert engine.last(pb.GetValueRequest) == pb.GetValueRequest(execution_id="e1", hash="abc")


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", metadata={"retryAfterSeconds": "5"}), 429),
        (Refusal(grpc.StatusCode.ALREADY_EXISTS, "WORKFLOW_RUNNING", metadata={"executionId": "e9"}), 409),
    ],
    ids=["full", "running"],
)
async def test_a_start_that_is_refused_says_how_to_go_on(
    client: httpx.AsyncClient, engine: Engine, refusal: Refusal, status: int
) -> None:
    engine.refusals = [refusal]
    response = await client.post("/api/workflow/run", json={"workflowId": "w"})
    assert (response.status_code, response.json()["reason"]) == (status, refusal.reason)
    assert response.headers.get("retry-after") == refusal.metadata.get("retryAfterSeconds")
    assert response.json()["details"].get("executionId") == refusal.metadata.get("executionId")
