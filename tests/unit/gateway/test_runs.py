from __future__ import annotations

import json
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.duration_pb2 import Duration

from flow_engine.errors import Problem
from flow_engine.v1 import execution_pb2 as pb
from tests.unit.gateway.engine import Engine, Refusal

JSON = {"Content-Type": "application/json"}
WORKFLOW = (
    '{"id": "w",  "nodes": [{"id": "a", "type": "data.set", "config": {"values": {"n": 9007199254740993}}}]}'
)


def completed(**fields: Any) -> pb.StartExecutionResponse:
    execution = pb.Execution(
        id="e1",
        workflow_id="w",
        workflow_name="W",
        status=pb.EXECUTION_STATUS_COMPLETED,
        mode=pb.EXECUTION_MODE_IMMEDIATE,
        root_id="e1",
        priority=5,
        last_sequence=6,
        **fields,
    )
    return pb.StartExecutionResponse(execution=execution, created=True)


async def run(client: httpx.AsyncClient, body: str | bytes | None = None, **headers: str) -> httpx.Response:
    sent = body if body is not None else f'{{"workflow": {WORKFLOW}}}'
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/api/workflow/run", content=sent, headers={**JSON, **named})


async def test_an_execution_that_has_ended_is_answered_with_200(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    answer = completed(output_json='{"n":9007199254740993,"f":1.50}')
    answer.execution.created_time.FromJsonString("2026-01-31T12:00:00.000Z")
    answer.execution.started_time.FromJsonString("2026-01-31T12:00:00.100Z")
    answer.execution.completed_time.FromJsonString("2026-01-31T12:00:00.350Z")
    answer.execution.complexity.CopyFrom(
        pb.ComplexityAnalysis(
            mode=pb.EXECUTION_MODE_IMMEDIATE,
            requested_mode=pb.EXECUTION_MODE_AUTO,
            factors=[
                pb.ComplexityFactor(
                    name="nodeCount", value_json="1", threshold_json="10", explanation="1 of 10 nodes"
                )
            ],
            estimated_duration=Duration(nanos=5_000_000),
            node_count=1,
        )
    )
    answer.execution.steps.add(node_id="a", status=pb.STEP_STATUS_COMPLETED, attempts=1, output_json="[1]")
    engine.answers[pb.StartExecutionRequest] = answer

    response = await run(client)

    assert response.status_code == 200
    assert '"output":{"n":9007199254740993,"f":1.50}' in response.text
    assert "location" not in response.headers
    assert response.json() == {
        "executionId": "e1",
        "workflowId": "w",
        "workflowName": "W",
        "status": "completed",
        "mode": "immediate",
        "createdAt": "2026-01-31T12:00:00Z",
        "startedAt": "2026-01-31T12:00:00.100000Z",
        "completedAt": "2026-01-31T12:00:00.350000Z",
        "durationMs": 250,
        "complexity": {
            "mode": "immediate",
            "requestedMode": "auto",
            "explanation": "",
            "factors": [
                {
                    "name": "nodeCount",
                    "value": 1,
                    "threshold": 10,
                    "fired": False,
                    "explanation": "1 of 10 nodes",
                }
            ],
            "estimatedDurationMs": 5,
            "nodeCount": 1,
            "externalCallCount": 0,
            "loopCount": 0,
            "maxParallelPaths": 0,
            "humanInput": False,
        },
        "output": {"n": 9007199254740993, "f": 1.5},
        "steps": [{"nodeId": "a", "status": "completed", "attempts": 1, "output": [1]}],
        "tags": [],
        "priority": 5,
        "rootId": "e1",
        "epoch": 0,
        "lastSequence": 6,
    }


async def test_a_failed_execution_is_a_good_answer(client: httpx.AsyncClient, engine: Engine) -> None:
    answer = completed()
    answer.execution.status = pb.EXECUTION_STATUS_FAILED
    answer.execution.error.CopyFrom(
        pb.ExecutionError(
            code="TIMEOUT", message="too slow", node_id="a", iteration=[2, 0], details_json="{}"
        )
    )
    engine.answers[pb.StartExecutionRequest] = answer
    response = await run(client)
    assert response.status_code == 200
    assert response.json()["error"] == {
        "code": "TIMEOUT",
        "message": "too slow",
        "nodeId": "a",
        "iteration": [2, 0],
        "details": {},
    }


@pytest.mark.parametrize(
    "status",
    [
        pb.EXECUTION_STATUS_PENDING,
        pb.EXECUTION_STATUS_RUNNING,
        pb.EXECUTION_STATUS_WAITING,
        pb.EXECUTION_STATUS_PAUSED,
    ],
)
async def test_an_execution_that_goes_on_is_answered_with_202_and_where_to_find_it(
    client: httpx.AsyncClient, engine: Engine, status: pb.ExecutionStatus
) -> None:
    answer = completed()
    answer.execution.status = status
    engine.answers[pb.StartExecutionRequest] = answer
    response = await run(client)
    assert (response.status_code, response.headers["location"]) == (202, "/api/workflow/execution/e1")


async def test_definition_and_input_arrive_as_the_text_that_was_sent(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    value = '{ "big" : 9007199254740993 , "f":1.0,"é":"\\u00e9"}'
    await run(client, f'{{"input": {value}, "workflow": {WORKFLOW}}}')
    spec = engine.last(pb.StartExecutionRequest).spec
    assert (spec.workflow_json, spec.input_json) == (WORKFLOW, value)


async def test_null_is_an_input_and_no_workflow(client: httpx.AsyncClient, engine: Engine) -> None:
    await run(client, '{"workflow": null, "workflowId": "w", "input": null, "mode": null, "options": null}')
    spec = engine.last(pb.StartExecutionRequest).spec
    assert (spec.workflow_json, spec.workflow_id, spec.input_json, spec.mode) == ("", "w", "null", 0)


async def test_options_are_passed_on(client: httpx.AsyncClient, engine: Engine) -> None:
    options = {"timeout": 1500, "priority": 0, "tags": ["a"], "maxRetries": 0, "immediateBudget": 250}
    body = {"workflowId": "w", "workflowVersion": 3, "mode": "queued", "options": options}
    await run(client, json.dumps(body))
    spec = engine.last(pb.StartExecutionRequest).spec
    assert (spec.workflow_version, spec.mode) == (3, pb.EXECUTION_MODE_QUEUED)
    assert spec.options == pb.ExecutionOptions(
        timeout=Duration(seconds=1, nanos=500_000_000),
        priority=0,
        tags=["a"],
        max_retries=0,
        immediate_budget=Duration(nanos=250_000_000),
    )
    assert spec.options.HasField("priority")
    assert spec.options.HasField("max_retries")


@pytest.mark.parametrize(
    ("prefer", "seconds", "applied"),
    [
        (None, None, None),
        ("respond-async", 0, "respond-async"),
        ("wait=7", 7, "wait=7"),
        ("respond-async, wait=7", 7, "respond-async, wait=7"),
        ("Wait = 3600", 60, "wait=60"),
        ("wait=soon, handling=lenient", None, None),
    ],
)
async def test_prefer_bounds_the_wait(
    client: httpx.AsyncClient, engine: Engine, prefer: str | None, seconds: int | None, applied: str | None
) -> None:
    response = await run(client, **({"Prefer": prefer} if prefer else {}))
    request = engine.last(pb.StartExecutionRequest)
    assert request.HasField("wait") == (seconds is not None)
    assert request.wait.seconds == (seconds or 0)
    assert response.headers.get("preference-applied") == applied


async def test_an_idempotency_key_names_the_start(client: httpx.AsyncClient, engine: Engine) -> None:
    response = await run(client, Idempotency_Key="order-7")
    assert engine.last(pb.StartExecutionRequest).spec.request_id == "order-7"
    assert response.headers["idempotency-replayed"] == "false"


async def test_a_start_is_repeated_under_one_generated_id_while_the_executor_is_away(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.refusals = [Refusal(grpc.StatusCode.UNAVAILABLE)] * 2
    assert (await run(client)).status_code == 202
    ids = {request.spec.request_id for request in engine.asked}
    assert engine.calls["StartExecutionRequest"] == 3
    assert len(ids) == 1
    assert len(ids.pop()) > 20


async def test_a_start_that_takes_too_long_is_asked_for_again_without_waiting(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.refusals = [Refusal(grpc.StatusCode.DEADLINE_EXCEEDED)]
    assert (await run(client)).status_code == 202
    first, second = engine.asked
    assert first.spec == second.spec
    assert not first.HasField("wait")
    assert second.HasField("wait")
    assert second.wait.seconds == 0


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ("", [("/workflow", "MISSING")]),
        ("{}", [("/workflow", "MISSING")]),
        ("[]", [("", "WRONG_TYPE")]),
        ("nonsense", [("", "INVALID_JSON")]),
        ('{"workflow": {"a": 01}}', [("", "INVALID_JSON")]),
        ('{"workflow": {}} {}', [("", "INVALID_JSON")]),
        (b'{"workflow": "\xff"}', [("", "INVALID_UTF8")]),
        ('{"workflow": {}, "workflowId": "w"}', [("/workflowId", "CONFLICT")]),
        ('{"workflow": {}, "workflowVersion": 1}', [("/workflowVersion", "CONFLICT")]),
        ('{"workflow": ' + "[" * 100_000 + "]" * 100_000 + "}", [("", "TOO_DEEP")]),
        (
            (
                '{"workflo": {}, "mode": "fast", "options": '
                '{"priority": 10, "tags": [1], "a/b": 1, "timeout": 99999999999999999999}}'
            ),
            [
                ("/workflo", "UNKNOWN_FIELD"),
                ("/mode", "OUT_OF_RANGE"),
                ("/options/priority", "OUT_OF_RANGE"),
                ("/options/tags/0", "WRONG_TYPE"),
                ("/options/a~1b", "UNKNOWN_FIELD"),
                ("/options/timeout", "OUT_OF_RANGE"),
            ],
        ),
        ('{"workflowId": "w", "options": {"timeout": 9e99}}', [("/options/timeout", "WRONG_TYPE")]),
    ],
    ids=range(12),
)
async def test_every_wrong_field_of_the_body_is_named(
    client: httpx.AsyncClient, engine: Engine, body: str | bytes, problems: list[tuple[str, str]]
) -> None:
    response = await run(client, body)
    document = response.json()
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert document["reason"] == "INVALID_REQUEST"
    assert document["path"] == problems[0][0]
    assert [(found["path"], found["code"]) for found in document["problems"]] == problems
    assert not engine.asked


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", ""]
)
async def test_only_json_is_taken(client: httpx.AsyncClient, kind: str) -> None:
    response = await client.post(
        "/api/workflow/run", content="{}", headers={"Content-Type": kind} if kind else {}
    )
    assert (response.status_code, response.json()["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_too_large_a_body_is_refused_with_and_without_a_declared_length(start_gateway: Any) -> None:
    gateway = await start_gateway(body_limit_bytes=1000)

    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100

    for content in (b" " * 2000, chunks()):
        response = await gateway.client.post("/api/workflow/run", content=content, headers=JSON)
        assert (response.status_code, response.json()["reason"]) == (413, "TOO_LARGE")


async def test_all_problems_of_a_definition_are_named_even_if_the_trailer_had_no_room(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.refusals = [
        Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_WORKFLOW",
            "two problems",
            {"problems": "2"},
            [Problem("/nodes/0", "A", "first")],
        )
    ]
    engine.answers[pb.ValidateWorkflowRequest] = pb.ValidateWorkflowResponse(
        problems=[
            pb.Problem(path="/nodes/0", code="A", message="first"),
            pb.Problem(path="/nodes/1", code="B", message="second", hint="try"),
        ]
    )
    response = await run(client)
    assert response.status_code == 400
    assert response.json()["problems"] == [
        {"path": "/nodes/0", "code": "A", "message": "first"},
        {"path": "/nodes/1", "code": "B", "message": "second", "hint": "try"},
    ]
    assert engine.last(pb.ValidateWorkflowRequest).workflow_json == WORKFLOW


async def test_analysis_explains_and_starts_nothing(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.answers[pb.AnalyzeWorkflowRequest] = pb.AnalyzeWorkflowResponse(
        complexity=pb.ComplexityAnalysis(mode=pb.EXECUTION_MODE_QUEUED, explanation="a person is asked")
    )
    response = await client.post("/api/workflow/analyze", content=f'{{"workflow": {WORKFLOW}}}', headers=JSON)
    assert response.status_code == 200
    assert response.json()["complexity"]["mode"] == "queued"
    assert response.json()["complexity"]["explanation"] == "a person is asked"
    assert not engine.calls["StartExecutionRequest"]
