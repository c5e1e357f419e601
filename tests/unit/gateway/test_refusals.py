from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest

from flow_engine import errors
from flow_engine.errors import Problem
from flow_engine.v1 import execution_pb2 as pb
from services.gateway.errors import HTTP_STATUS
from tests.unit.gateway.engine import Engine, Refusal

EXECUTION = "/api/workflow/execution/e1"
Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        (Code.INVALID_ARGUMENT, "INVALID_WORKFLOW", 400),
        (Code.INVALID_ARGUMENT, "INVALID_INPUT", 400),
        (Code.NOT_FOUND, "EXECUTION_NOT_FOUND", 404),
        (Code.NOT_FOUND, "NODE_NOT_FOUND", 404),
        (Code.FAILED_PRECONDITION, "ILLEGAL_TRANSITION", 409),
        (Code.FAILED_PRECONDITION, "NOT_WAITING", 409),
        (Code.FAILED_PRECONDITION, "AMBIGUOUS", 409),
        (Code.FAILED_PRECONDITION, "ALREADY_ANSWERED", 409),
        (Code.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT", 409),
        (Code.ALREADY_EXISTS, "WORKFLOW_EXISTS", 409),
        (Code.ABORTED, "VERSION_CONFLICT", 409),
        (Code.RESOURCE_EXHAUSTED, "BUSY", 429),
        (Code.INTERNAL, "INTERNAL", 500),
    ],
)
async def test_the_reason_decides_the_status(
    client: httpx.AsyncClient, engine: Engine, code: grpc.StatusCode, reason: str, status: int
) -> None:
    engine.refusals = [Refusal(code, reason, "because")]
    response = await client.get(EXECUTION)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert (document["status"], document["code"], document["reason"]) == (status, code.name, reason)
    assert document["detail"] == ("because" if status < 500 else HIDDEN)
    assert document["requestId"] == response.headers["x-request-id"]


HIDDEN = "the engine failed; its log has more under this request id"


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        (Code.INVALID_ARGUMENT, "bad", 400),
        (Code.NOT_FOUND, "gone", 404),
        (Code.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 8)", 413),
        (Code.RESOURCE_EXHAUSTED, "too much", 429),
        (Code.UNKNOWN, "Unexpected <class 'KeyError'>: secret", 500),
        (Code.INTERNAL, "Traceback: secret", 500),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", 504),
        (Code.UNIMPLEMENTED, "Method not found!", 501),
    ],
)
async def test_errors_without_a_reason_go_by_their_code_and_say_nothing_about_the_inside(
    client: httpx.AsyncClient, engine: Engine, code: grpc.StatusCode, message: str, status: int
) -> None:
    engine.refusals = [Refusal(code, message=message)]
    response = await client.get(EXECUTION)
    assert response.status_code == status
    assert not re.search(r"secret|class|Traceback|Error|Method", response.json()["detail"])


async def test_problems_and_details_reach_the_client(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.refusals = [
        Refusal(
            Code.FAILED_PRECONDITION,
            "AMBIGUOUS",
            "several wait",
            {"iterations": "[[0,1],[2]]", "nodeId": "7"},
            [Problem("/a", "X", "wrong", "do this"), Problem("/b", "Y", "also")],
        )
    ]
    document = (await client.get(EXECUTION)).json()
    assert document["path"] == "/a"
    assert document["problems"] == [
        {"path": "/a", "code": "X", "message": "wrong", "hint": "do this"},
        {"path": "/b", "code": "Y", "message": "also"},
    ]
    assert document["details"] == {"iterations": [[0, 1], [2]], "nodeId": "7"}


async def test_an_illegal_transition_names_the_status(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.refusals = [
        Refusal(
            Code.FAILED_PRECONDITION,
            "ILLEGAL_TRANSITION",
            metadata={"status": "completed", "requested": "paused"},
        )
    ]
    response = await client.post(f"{EXECUTION}/pause")
    assert (response.status_code, response.json()["executionStatus"]) == (409, "completed")


async def test_a_busy_engine_says_when_to_come_back(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.refusals = [Refusal(Code.RESOURCE_EXHAUSTED, "BUSY", metadata={"retryAfterSeconds": "7"})]
    response = await client.get(EXECUTION)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")


async def test_an_absent_executor_is_a_503_with_retry_after(
    start_gateway: Callable[..., Any], engine: Engine
) -> None:
    await engine.stop()
    gateway = await start_gateway(patience_seconds=0.1)
    for method, path in [
        ("GET", EXECUTION),
        ("GET", f"{EXECUTION}/stream"),
        ("GET", "/api/nodes"),
        ("GET", "/readyz"),
    ]:
        response = await gateway.client.request(method, path)
        assert (response.status_code, response.json()["reason"]) == (503, "UNAVAILABLE")
        assert response.headers["retry-after"] == "1"
    response = await gateway.client.post("/api/workflow/run", json={"workflowId": "w"})
    assert response.status_code == 503
    assert (await gateway.client.get("/healthz")).json() == {"status": "ok"}
    await engine.start()
    engine.run()
    async with asyncio.timeout(10):
        while (await gateway.client.get("/readyz")).json() != {"status": "ready"}:
            pass
    assert (await gateway.client.get(EXECUTION)).status_code == 200


async def test_calls_wait_out_a_short_absence_but_are_not_doubled_where_that_matters(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.run()
    engine.refusals = [Refusal(Code.UNAVAILABLE)] * 3
    assert (await client.post(f"{EXECUTION}/pause")).status_code == 200
    engine.refusals = [Refusal(Code.UNAVAILABLE)]
    assert (await client.post("/api/workflows", json={"nodes": []})).status_code == 503
    assert engine.calls["CreateWorkflowRequest"] == 1


async def test_unknown_paths_and_methods_are_problems_too(client: httpx.AsyncClient) -> None:
    for path in (
        "/nope",
        "/api/workflow/run/",
        "/api/workflow/execution",
        "/api/../etc/passwd",
        "/%00",
        "/api/statistics",
    ):
        response = await client.get(path)
        assert (response.status_code, response.json()["reason"]) == (404, "ROUTE_NOT_FOUND")
    response = await client.get("/api/workflow/run")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    response = await client.put("/api/workflows")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    assert (await client.request("BREW", "/healthz")).status_code in (400, 405)
    assert (await client.head("/healthz")).status_code == 200
    assert (await client.head(f"{EXECUTION}/stream")).status_code == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", "[", ""]
)
async def test_foreign_host_names_are_refused_even_on_loopback(client: httpx.AsyncClient, host: str) -> None:
    response = await client.get("/healthz", headers={"Host": host})
    assert (response.status_code, response.json()["reason"]) == (403, "HOST_NOT_ALLOWED")
    assert "FLOW_ALLOWED_HOSTS" in response.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"])
async def test_names_of_the_loopback_are_fine(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/healthz", headers={"Host": host})).status_code == 200


async def test_pages_of_other_origins_are_refused(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.run()
    for origin in ("https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1.nip.io"):
        response = await client.post(f"{EXECUTION}/cancel", headers={"Origin": origin})
        assert (response.status_code, response.json()["reason"]) == (403, "ORIGIN_NOT_ALLOWED")
        assert not [name for name in response.headers if name.startswith("access-control")]
    own = str(client.base_url).rstrip("/")
    assert (await client.post(f"{EXECUTION}/cancel", headers={"Origin": own})).status_code == 200
    assert engine.calls["CancelExecutionRequest"] == 1


async def test_named_hosts_and_origins_are_let_in(start_gateway: Callable[..., Any]) -> None:
    gateway = await start_gateway(allowed_hosts=("flow.example", "localhost:5173"))
    for headers, status in [
        ({"Host": "flow.example"}, 200),
        ({"Host": "flow.example:8443", "Origin": "https://flow.example"}, 200),
        ({"Origin": "http://localhost:5173"}, 200),
        ({"Origin": "http://localhost:5174"}, 403),
        ({"Host": "other.example"}, 403),
    ]:
        assert (await gateway.client.get("/healthz", headers=headers)).status_code == status


async def test_request_ids_are_kept_or_made(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz", headers={"X-Request-Id": "abc-1"})).headers[
        "x-request-id"
    ] == "abc-1"
    made = await client.get("/healthz", headers={"X-Request-Id": "a b"})
    assert re.fullmatch(r"[0-9a-f]{32}", made.headers["x-request-id"])


async def test_hostile_ids_never_make_a_5xx(client: httpx.AsyncClient) -> None:
    for value in ("%ff", "%00", "%ED%A0%80", "a" * 5000, "..%2f..", "'; drop table", "%F0%9F%92%A9"):
        response = await client.get(f"/api/workflow/execution/{value}")
        assert response.status_code in (400, 404)
    response = await client.post(
        "/api/workflow/run", content='{"workflowId": "\\ud800"}', headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400


def test_every_reason_of_the_engine_has_a_status() -> None:
    internal = {"LEASE_LOST", "REPORT_GAP", "REPORT_CONFLICT"}  # between executor and worker only
    reasons = {
        kind.reason
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.FlowEngineError)
    }
    assert reasons - internal <= HTTP_STATUS.keys()


async def test_a_vanished_upstream_ends_the_stream(client: httpx.AsyncClient, engine: Engine) -> None:
    run = engine.run()
    async with client.stream("GET", f"{EXECUTION}/stream") as response:
        parts = response.aiter_text()
        await anext(parts)
        del engine.runs["e1"]
        await engine.stop()
        await engine.start()
        assert [part async for part in parts] == []
    assert run.execution.status == pb.EXECUTION_STATUS_RUNNING
