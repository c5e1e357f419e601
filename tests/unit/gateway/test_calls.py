"""Reading, controlling, answering, stored definitions, node types."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import workflow_pb2 as wf
from tests.unit.gateway.engine import Engine

EXECUTION = "/api/workflow/execution/e1"
JSON = {"Content-Type": "application/json"}


async def test_an_execution_is_given_with_its_steps_and_values_as_they_are(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    run = engine.run(
        input_json='{"n": 9007199254740993}',
        pending_control=pb.PENDING_CONTROL_CANCEL,
        retry_of="e0",
        root_id="e0",
        tags=["a"],
        progress=pb.Progress(completed_steps=1, total_steps=2, percent=50),
        waiting_reason=pb.WaitingReason(kind="queued", explanation="3 are ahead", queue_position=4),
    )
    run.execution.steps.add(
        node_id="big",
        status=pb.STEP_STATUS_COMPLETED,
        output_hash="ab",
        output_bytes=2**53 + 1,
        iteration=[1, 0],
    )
    run.execution.steps.add(node_id="ask", status=pb.STEP_STATUS_WAITING, waiting_json='{"title": "?"}')
    response = await client.get(EXECUTION)
    document = response.json()
    assert '"input":{"n": 9007199254740993}' in response.text
    assert document["pendingControl"] == "cancel"
    assert (document["retryOf"], document["rootId"], document["tags"]) == ("e0", "e0", ["a"])
    assert document["progress"] == {"completedSteps": 1, "totalSteps": 2, "percent": 50.0}
    assert document["waitingReason"]["queuePosition"] == 4
    assert document["steps"] == [
        {
            "nodeId": "big",
            "iteration": [1, 0],
            "status": "completed",
            "attempts": 0,
            "outputRef": {"hash": "ab", "bytes": 9007199254740993},
        },
        {"nodeId": "ask", "status": "waiting", "attempts": 0, "waiting": {"title": "?"}},
    ]


async def test_steps_can_be_left_out_and_the_definition_added(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.run(definition_json='{"nodes": []}')
    assert (await client.get(EXECUTION)).json()["steps"] == []
    document = (await client.get(f"{EXECUTION}?steps=false&definition=true")).json()
    request = engine.last(pb.GetExecutionRequest)
    assert (request.omit_steps, request.include_definition) == (True, True)
    assert "steps" not in document
    assert document["definition"] == {"nodes": []}


async def test_steps_and_events_come_in_pages(client: httpx.AsyncClient, engine: Engine) -> None:
    run = engine.run()
    run.happen("execution.completed")
    events = (await client.get(f"{EXECUTION}/events?afterSequence=1&limit=5")).json()
    assert events == {
        "events": [{"sequence": 2, "executionId": "e1", "type": "execution.completed"}],
        "lastSequence": 2,
    }
    engine.answers[pb.ListStepsRequest] = pb.ListStepsResponse(
        steps=[pb.Step(node_id="a", status=pb.STEP_STATUS_SKIPPED)], next_page_token="t2"
    )
    steps = (await client.get(f"{EXECUTION}/steps?limit=1&pageToken=t1")).json()
    assert steps == {"steps": [{"nodeId": "a", "status": "skipped", "attempts": 0}], "nextPageToken": "t2"}
    assert engine.last(pb.ListStepsRequest) == pb.ListStepsRequest(
        execution_id="e1", page_size=1, page_token="t1"
    )


async def test_executions_are_filtered(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.answers[pb.ListExecutionsRequest] = pb.ListExecutionsResponse(
        executions=[engine.run().execution], next_page_token="next"
    )
    query = (
        "limit=5&pageToken=t&workflowId=w&status=failed,waiting&status=paused&mode=queued&tag=a&tag=b"
        "&createdAfter=2026-01-31T12:00:00Z&createdBefore=2026-02-01T00:00:00%2B01:00"
    )
    page = (await client.get(f"/api/workflow/executions?{query}")).json()
    assert page["nextPageToken"] == "next"
    assert page["executions"][0]["executionId"] == "e1"
    assert "steps" not in page["executions"][0]
    request = engine.last(pb.ListExecutionsRequest)
    assert list(request.statuses) == [6, 4, 3]
    assert (request.page_size, request.page_token, request.workflow_id, request.mode) == (5, "t", "w", 3)
    assert list(request.tags) == ["a", "b"]
    assert request.created_after_time.ToJsonString() == "2026-01-31T12:00:00Z"
    assert request.created_before_time.ToJsonString() == "2026-01-31T23:00:00Z"


async def test_every_wrong_query_parameter_is_named(client: httpx.AsyncClient, engine: Engine) -> None:
    response = await client.get(
        "/api/workflow/executions?limit=0&status=done&colour=red&createdAfter=soon&mode=auto"
    )
    assert response.status_code == 400
    assert [(p["path"], p["code"]) for p in response.json()["problems"]] == [
        ("limit", "INVALID_PARAMETER"),
        ("status", "INVALID_PARAMETER"),
        ("colour", "UNKNOWN_PARAMETER"),
        ("createdAfter", "INVALID_PARAMETER"),
        ("mode", "INVALID_PARAMETER"),
    ]
    assert not engine.asked


@pytest.mark.parametrize(
    ("method", "path", "request_type", "answer_type"),
    [
        ("POST", "/pause", pb.PauseExecutionRequest, pb.PauseExecutionResponse),
        ("POST", "/resume", pb.ResumeExecutionRequest, pb.ResumeExecutionResponse),
        ("POST", "/cancel", pb.CancelExecutionRequest, pb.CancelExecutionResponse),
        ("DELETE", "", pb.CancelExecutionRequest, pb.CancelExecutionResponse),
    ],
)
async def test_control_is_200_when_done_and_202_when_accepted(
    client: httpx.AsyncClient, engine: Engine, method: str, path: str, request_type: Any, answer_type: Any
) -> None:
    run = engine.run()
    assert (await client.request(method, EXECUTION + path)).status_code == 200
    engine.answers[request_type] = answer_type(execution=run.execution, done=False)
    response = await client.request(method, EXECUTION + path, content="{}", headers=JSON)
    assert response.status_code == 202
    assert response.headers["location"] == EXECUTION
    assert response.json()["executionId"] == "e1"
    assert engine.last(request_type).execution_id == "e1"


async def test_reasons_are_passed_on_and_unknown_fields_refused(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.run()
    await client.post(f"{EXECUTION}/pause", json={"reason": "lunch"})
    assert engine.last(pb.PauseExecutionRequest).reason == "lunch"
    response = await client.post(f"{EXECUTION}/cancel", json={"why": "lunch"})
    assert (response.status_code, response.json()["path"]) == (400, "/why")
    response = await client.post(f"{EXECUTION}/pause", content="reason=lunch")
    assert response.status_code == 415


async def test_a_retry_is_202_with_the_place_of_the_new_execution(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    response = await client.post(f"{EXECUTION}/retry", json={"fromNode": "a"})
    assert (response.status_code, response.headers["location"]) == (202, "/api/workflow/execution/e2")
    assert response.json()["retryOf"] == "e1"
    assert engine.last(pb.RetryExecutionRequest).from_node == "a"
    assert (await client.post(f"{EXECUTION}/retry")).status_code == 202


async def test_an_answer_is_passed_on_as_it_is(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.run()
    answer = '{"approved" : true, "n": 9007199254740993}'
    response = await client.post(f"{EXECUTION}/input/a%2Fb?iteration=2,0", content=answer, headers=JSON)
    assert response.status_code == 200
    request = engine.last(pb.SubmitInputRequest)
    assert (request.node_id, list(request.iteration), request.input_json) == ("a/b", [2, 0], answer)
    for body, code in (("", "EMPTY_BODY"), ("{", "TRUNCATED_JSON"), ("[1,]", "INVALID_JSON")):
        response = await client.post(f"{EXECUTION}/input/a", content=body, headers=JSON)
        assert (response.status_code, response.json()["problems"][0]["code"]) == (400, code)
    assert (
        await client.post(f"{EXECUTION}/input/a?iteration=x", content="1", headers=JSON)
    ).status_code == 400


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_definition_is_checked_whether_wrapped_or_not(
    client: httpx.AsyncClient, engine: Engine, wrapped: bool
) -> None:
    definition = '{"nodes": [ ], "v": 1.0}'
    engine.answers[pb.ValidateWorkflowRequest] = pb.ValidateWorkflowResponse(
        valid=False, problems=[pb.Problem(path="/nodes", code="EMPTY", message="no nodes", hint="add one")]
    )
    body = f'{{"workflow": {definition}}}' if wrapped else definition
    response = await client.post("/api/workflow/validate", content=body, headers=JSON)
    assert response.status_code == 200
    assert response.json() == {
        "valid": False,
        "problems": [{"path": "/nodes", "code": "EMPTY", "message": "no nodes", "hint": "add one"}],
    }
    assert engine.last(pb.ValidateWorkflowRequest).workflow_json == definition


async def test_workflows_are_stored_read_changed_and_deleted(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    created = await client.post(
        "/api/workflows", content='{"nodes": [], "n": 9007199254740993}', headers=JSON
    )
    assert created.status_code == 201
    assert created.headers["location"] == "/api/workflows/w%201%2F%C3%BC"
    assert created.headers["etag"] == '"1"'
    assert '"definition":{"nodes": [], "n": 9007199254740993}' in created.text

    read = await client.get("/api/workflows/w?version=3")
    assert (read.json()["version"], read.json()["id"], read.headers["etag"]) == (3, "w", '"3"')

    changed = await client.put("/api/workflows/w", content="{}", headers={**JSON, "If-Match": '"1"'})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert engine.last(wf.UpdateWorkflowRequest).expected_version == 1
    wrong = await client.put("/api/workflows/w", content="{}", headers={**JSON, "If-Match": "1"})
    assert (wrong.status_code, wrong.json()["path"]) == (400, "If-Match")

    assert (await client.delete("/api/workflows/w")).status_code == 204
    assert (await client.get("/api/workflows")).json() == {"workflows": []}


async def test_node_types_come_with_their_schema(client: httpx.AsyncClient, engine: Engine) -> None:
    schema = {"type": "object", "properties": {"url": {"type": "string"}}}
    engine.answers[pb.ListNodeTypesRequest] = pb.ListNodeTypesResponse(
        node_types=[
            pb.NodeType(
                type="http.request", title="HTTP", external=True, config_schema_json=json.dumps(schema)
            )
        ]
    )
    (node,) = (await client.get("/api/nodes")).json()["nodes"]
    assert (node["type"], node["external"], node["configSchema"]) == ("http.request", True, schema)
