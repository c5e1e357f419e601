"""The same workflow, immediate and queued, on both databases, seen through REST."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e import workflows
from tests.infra.stack import Stack
from tests.infra.witness import Witness

EXACT = 2**53 + 1


def test_a_small_workflow_completes_inside_the_request(shared_stack: Stack) -> None:
    answer = shared_stack.run(workflows.SMALL, {"a": 5, "b": 7})

    assert answer["httpStatus"] == 200
    assert (answer["status"], answer["mode"]) == ("completed", "immediate")
    assert answer["output"] == {"size": "big", "of": 12}
    assert {factor["name"] for factor in answer["complexity"]["factors"]} >= {"nodeCount", "humanInput"}


def test_external_calls_in_a_loop_are_queued_and_complete_on_the_worker(
    shared_stack: Stack, witness: Witness
) -> None:
    answer = shared_stack.run(workflows.foreach_calls(witness.url), {"items": [1, 2, 3]})

    assert (answer["httpStatus"], answer["mode"]) == (202, "queued")
    done = shared_stack.until(answer["executionId"], "completed", "failed")
    assert (done["status"], done["output"]) == ("completed", [200, 200, 200])
    assert sorted(call["path"] for call in witness.calls()) == ["/item/1", "/item/2", "/item/3"]


@pytest.mark.parametrize("value", [1, EXACT, -EXACT, 1.0, 2**63 - 1, 1e300, "x", None, [], {"a": [EXACT]}])
@pytest.mark.parametrize("mode", ["immediate", "queued"])
def test_values_come_back_as_they_went_in(shared_stack: Stack, mode: str, value: Any) -> None:
    answer = shared_stack.run(workflows.ECHO, {"value": value}, mode=mode)

    done = shared_stack.until(answer["executionId"], "completed", "failed")
    assert done["output"] == {"value": value}
    assert type(done["output"]["value"]) is type(value)


def test_both_modes_give_the_same_output_and_the_same_step_events(
    shared_stack: Stack, witness: Witness
) -> None:
    def told(mode: str) -> tuple[Any, dict[str, list[Any]]]:
        answer = shared_stack.run(
            {**workflows.foreach_calls(witness.url), "output": "${ size(nodes.each.output) }"},
            {"items": [1, 2, 3]},
            mode=mode,
        )
        done = shared_stack.until(answer["executionId"], "completed", "failed")
        by_node: dict[str, list[Any]] = {}
        for event in shared_stack.events(answer["executionId"]):
            if event["type"].startswith("step."):
                key = f"{event['nodeId']}{event.get('iteration', [])}"
                by_node.setdefault(key, []).append((event["type"], event.get("attempt"), event.get("handle")))
        return done["output"], by_node

    assert told("immediate") == told("queued")


def test_steps_are_listed_in_order_of_start_with_their_outcome(shared_stack: Stack) -> None:
    answer = shared_stack.run(workflows.SMALL, {"a": 1, "b": 2})

    steps = shared_stack.execution(answer["executionId"])["steps"]
    assert [(step["nodeId"], step["status"]) for step in steps] == [
        ("sum", "completed"),
        ("big", "completed"),
        ("yes", "skipped"),
        ("no", "completed"),
        ("end", "completed"),
    ] or sorted((step["nodeId"], step["status"]) for step in steps) == [
        ("big", "completed"),
        ("end", "completed"),
        ("no", "completed"),
        ("sum", "completed"),
        ("yes", "skipped"),
    ]


def test_a_failed_execution_is_no_failed_call(shared_stack: Stack) -> None:
    workflow = {
        "nodes": [{"id": "f", "type": "flow.fail", "config": {"code": "NOPE", "message": "no"}}],
        "edges": [],
    }

    answer = shared_stack.run(workflow)

    assert (answer["httpStatus"], answer["status"]) == (200, "failed")
    assert (answer["error"]["code"], answer["error"]["nodeId"]) == ("NOPE", "f")


def test_every_problem_of_a_definition_is_told_at_once_and_nothing_is_stored(shared_stack: Stack) -> None:
    newest = shared_stack.call("GET", "/api/workflow/executions").json()["executions"][:1]
    wrong = {
        "nodes": [
            {"id": "a", "type": "http.reqest", "config": {}},
            {"id": "a", "type": "data.set", "config": {"values": {"x": "${ 1 + }"}}},
            {"id": "b", "type": "http.request", "config": {}, "parentId": "nowhere"},
        ],
        "edges": [{"source": "a", "target": "ghost"}],
    }

    response = shared_stack.call("POST", "/api/workflow/run", {"workflow": wrong})

    assert response.status_code == 400
    assert response.headers["content-type"].startswith("application/problem+json")
    problems = response.json()["problems"]
    assert {problem["code"] for problem in problems} >= {"UNKNOWN_TYPE", "DUPLICATE_ID"}
    assert all(problem["path"] and problem["message"] for problem in problems)
    assert len(problems) >= 5
    assert shared_stack.call("GET", "/api/workflow/executions").json()["executions"][:1] == newest


def test_the_same_idempotency_key_gives_the_same_execution(shared_stack: Stack) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = shared_stack.run(workflows.SMALL, {"a": 1, "b": 2}, headers=headers)
    again = shared_stack.run(workflows.SMALL, {"a": 1, "b": 2}, headers=headers)
    other = shared_stack.run(workflows.SMALL, {"a": 1, "b": 3}, headers=headers)

    assert again["executionId"] == first["executionId"]
    assert (other["httpStatus"], other["reason"]) == (409, "IDEMPOTENCY_CONFLICT")
