"""Definitions that must be refused, over REST and gRPC: with every problem, and nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
from tests.infra.stack import Stack
from tests.unit.workflow.invalid_cases import CASES, InvalidCase


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


EMBEDDABLE = [case for case in CASES if case.is_json and case.name != "top-level null"]  # null is absent
IN_PROTOBUF = [case for case in EMBEDDABLE if is_utf8(case.text)]
# What is refused is refused before any database: one is enough.
pytestmark = pytest.mark.parametrize("shared_stack", ["sqlite"], ids=["on-sqlite"], indirect=True)

INSIDES = ("Traceback", "flow_engine.", "Error(", "Exception", "<class", ".py")


@pytest.fixture(scope="module")
def stub(shared_stack: Stack) -> Iterator[Any]:
    with grpc.insecure_channel(
        shared_stack.grpc_address,
        options=[("grpc.enable_http_proxy", 0), ("grpc.max_metadata_size", 1 << 20)],
    ) as channel:
        yield ExecutionServiceStub(channel)


def found(problems: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((problem["path"], problem["code"]) for problem in problems)


def shows_no_insides(text: str) -> bool:
    return not any(word in text for word in INSIDES)


@pytest.mark.parametrize("case", EMBEDDABLE, ids=lambda case: case.name)
def test_a_start_over_rest_is_refused_with_every_problem(shared_stack: Stack, case: InvalidCase) -> None:
    response = shared_stack.call(
        "POST",
        "/api/workflow/run",
        content=b'{"workflow": ' + case.text + b"}",
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code in (400, 413), response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    assert found(response.json()["problems"]) == case.problems
    assert shows_no_insides(response.text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_validating_over_rest_names_every_problem(shared_stack: Stack, case: InvalidCase) -> None:
    response = httpx.post(
        f"{shared_stack.base_url}/api/workflow/validate",
        content=case.text,
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    assert response.status_code in (200, 400, 413), response.text
    assert found(response.json()["problems"]) == case.problems
    assert shows_no_insides(response.text)


@pytest.mark.parametrize("case", IN_PROTOBUF, ids=lambda case: case.name)
def test_a_start_over_grpc_is_refused_with_its_problems(
    shared_stack: Stack, stub: Any, case: InvalidCase
) -> None:
    request = pb.StartExecutionRequest(spec=pb.StartSpec(workflow_json=case.text.decode()))
    with pytest.raises(grpc.RpcError) as raised:
        stub.StartExecution(request, timeout=30)

    refused: Any = raised.value
    status = rpc_status.from_call(refused)
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    told: list[tuple[str, str]] = []
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            told = [(violation.field, violation.reason) for violation in bad.field_violations]
    assert tuple(told) == case.problems[: len(told)]
    assert told
    assert shows_no_insides(status.message)


def test_nothing_of_it_was_stored(shared_stack: Stack) -> None:
    """A refused start leaves nothing behind, not even for others to see later."""
    newest = shared_stack.call("GET", "/api/workflow/executions").json()["executions"][:1]
    for case in EMBEDDABLE:
        content = b'{"workflow": ' + case.text + b"}"
        headers = {"Content-Type": "application/json"}
        shared_stack.call("POST", "/api/workflow/run", content=content, headers=headers)
    assert shared_stack.call("GET", "/api/workflow/executions").json()["executions"][:1] == newest
