"""People, outside systems, and starts and control beside other executions, seen through REST."""

from __future__ import annotations

import json

from tests.e2e import workflows
from tests.infra.stack import Stack
from tests.infra.witness import Witness

FORM: workflows.Workflow = {
    "id": "form",
    "nodes": [
        {
            "id": "ask",
            "type": "human.input",
            "config": {
                "title": "Where to?",
                "assignee": "ada",
                "timeoutMs": 60_000,
                "schema": {
                    "type": "object",
                    "required": ["street", "floor"],
                    "properties": {"floor": {"type": "integer"}},
                },
            },
        },
        {"id": "sent", "type": "data.set", "config": {"values": {"to": "${ nodes.ask.output.street }"}}},
        {"id": "late", "type": "data.set", "config": {"values": {"to": "nowhere"}}},
    ],
    "edges": [
        {"source": "ask", "sourceHandle": "answered", "target": "sent"},
        {"source": "ask", "sourceHandle": "timeout", "target": "late"},
    ],
}


def test_a_form_shows_whom_it_asks_names_wrong_fields_and_has_a_way_out(shared_stack: Stack) -> None:
    execution_id = shared_stack.run(FORM)["executionId"]
    shown = shared_stack.until(execution_id, "waiting")
    asked = shown["steps"][0]["waiting"]
    assert (asked["kind"], asked["assignee"], asked["schema"]["required"]) == (
        "person", "ada", ["street", "floor"],
    )  # fmt: skip
    assert shown["waitingReason"]["explanation"] == "Step 'ask' waits for an answer from ada."
    assert shown["waitingReason"]["until"] == asked["until"]

    path = f"/api/workflow/execution/{execution_id}/input/ask"
    wrong = shared_stack.call("POST", path, {"floor": "first"})
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "INVALID_INPUT")
    assert {problem["path"] for problem in wrong.json()["problems"]} == {"/street", "/floor"}
    assert shared_stack.call("POST", path, {"street": "Elm", "floor": 1}).status_code == 200
    assert shared_stack.until(execution_id, "completed", "failed")["output"] == {"to": "Elm"}

    hasty = json.loads(json.dumps(FORM))
    hasty["nodes"][0]["config"]["timeoutMs"] = 50
    late = shared_stack.run(hasty)["executionId"]
    assert shared_stack.until(late, "completed", "failed")["output"] == {"to": "nowhere"}


def test_an_outside_system_calls_back_at_the_address_it_was_given(
    shared_stack: Stack, witness: Witness
) -> None:
    ship = {
        "id": "ship",
        "type": "http.request",
        "config": {
            "method": "POST",
            "url": f"{witness.url}/ship",
            "body": {"to": "${ callbacks.shipped.url }"},
        },
    }
    workflow = {
        "nodes": [ship, {"id": "shipped", "type": "wait.callback"}],
        "edges": [{"source": "ship", "target": "shipped"}],
    }
    execution_id = shared_stack.run(workflow)["executionId"]
    witness.wait_for("/ship")
    url = json.loads(witness.calls("/ship")[0]["body"])["to"]
    assert url.startswith(shared_stack.base_url)
    path = url.removeprefix(shared_stack.base_url)

    # Early or not: what comes is taken.
    looked = shared_stack.call("GET", path)
    assert (looked.status_code, looked.headers["allow"]) == (405, "POST")
    told = shared_stack.call("POST", path, {"at": "noon"})
    assert (told.status_code, told.json()) == (200, {"received": True})
    assert shared_stack.call("POST", path, {"at": "noon"}).status_code == 200
    assert shared_stack.call("POST", path, {"at": "one"}).json()["reason"] == "ALREADY_ANSWERED"
    forged = shared_stack.call("POST", path[:-1] + ("A" if path[-1] != "A" else "B"), {})
    assert (forged.status_code, forged.json()["reason"]) == (404, "CALLBACK_NOT_FOUND")
    assert shared_stack.until(execution_id, "completed", "failed")["output"] == {"at": "noon"}
    history = json.dumps([e.get("input") for e in shared_stack.events(execution_id)])
    assert path.rpartition("/")[2] not in history


def test_a_workflow_that_runs_once_at_a_time_says_which_execution_runs(shared_stack: Stack) -> None:
    workflow = {**workflows.APPROVAL, "id": "once", "onConflict": "reject"}
    first = shared_stack.run(workflow, {"amount": 1})["executionId"]

    second = shared_stack.run(workflow, {"amount": 1})

    assert (second["httpStatus"], second["reason"]) == (409, "WORKFLOW_RUNNING")
    assert second["details"]["executionId"] == first
    shared_stack.control(first, "cancel")


def test_many_are_cancelled_at_once_after_a_look_at_which(shared_stack: Stack) -> None:
    workflow = {**workflows.APPROVAL, "id": "many"}
    started = [shared_stack.run(workflow, {"amount": n})["executionId"] for n in range(3)]
    for execution_id in started:
        shared_stack.until(execution_id, "waiting")
    wanted = {"filter": {"workflowId": "many", "statuses": ["waiting"]}, "limit": 2}

    path = "/api/workflow/executions/cancel"
    dry = shared_stack.call("POST", path, {**wanted, "dryRun": True}).json()
    assert (dry["done"], [one["executionId"] for one in dry["executions"]]) == (2, started[:0:-1])
    assert shared_stack.execution(started[2])["status"] == "waiting"
    page = shared_stack.call("POST", path, wanted).json()
    rest = shared_stack.call("POST", path, {**wanted, "pageToken": page["nextPageToken"]}).json()
    assert [one["effect"] for one in page["executions"] + rest["executions"]] == ["done"] * 3
    assert {shared_stack.execution(one)["status"] for one in started} == {"cancelled"}
    assert shared_stack.call("POST", path, {"filter": {}}).status_code == 400


def test_a_large_output_is_fetched_by_its_hash(shared_stack: Stack) -> None:
    workflow = {
        "nodes": [{"id": "big", "type": "data.set", "config": {"values": {"t": "${ input.t }"}}}],
        "edges": [],
    }
    execution_id = shared_stack.run(workflow, {"t": "x" * 6000})["executionId"]
    (step,) = shared_stack.until(execution_id, "completed")["steps"]
    path = f"/api/workflow/execution/{execution_id}/payloads/"
    assert shared_stack.call("GET", path + step["outputRef"]["hash"]).json() == {"t": "x" * 6000}
    missing = shared_stack.call("GET", path + "0" * 64)
    assert (missing.status_code, missing.json()["reason"]) == (404, "VALUE_NOT_FOUND")


def test_a_long_history_goes_on_from_its_snapshot_and_shows_every_step(shared_stack: Stack) -> None:
    """More steps than fit under the bound from which on a worker leaves a snapshot behind."""
    definition: workflows.Workflow = {
        "nodes": [
            {"id": "each", "type": "logic.foreach", "config": {"items": "${ input }"}},
            {
                "id": "x",
                "parentId": "each",
                "type": "data.set",
                "config": {"values": {"twice": "${ item * 2 }"}},
            },
            {"id": "ask", "type": "human.approval", "config": {"title": "?", "timeoutMs": 600_000}},
            {"id": "sum", "type": "data.set", "config": {"values": {"n": "${ size(nodes.each.output) }"}}},
        ],
        "edges": [
            {"source": "each", "target": "ask"},
            {"source": "ask", "sourceHandle": "approved", "target": "sum"},
        ],
    }
    execution_id = shared_stack.run(definition, input=list(range(80)), mode="queued")["executionId"]
    shared_stack.until(execution_id, "waiting")
    path = f"/api/workflow/execution/{execution_id}/input/ask"
    assert shared_stack.call("POST", path, {"approved": True}).status_code == 200
    ended = shared_stack.until(execution_id, "completed", "failed")
    assert ended["output"] == {"n": 80}
    assert [step["nodeId"] for step in ended["steps"]] == ["each", *["x"] * 80, "ask", "sum"]
