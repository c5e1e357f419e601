"""Pause, resume, cancel, retry and answers, in both modes, seen through REST."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.e2e import workflows
from tests.infra.stack import Stack, eventually
from tests.infra.witness import Witness


def started(stack: Stack, workflow: Any, mode: str) -> str:
    """Starts it without waiting for its end."""
    answer = stack.run(workflow, mode=mode, headers={"Prefer": "respond-async"})
    assert answer["httpStatus"] == 202, answer
    execution_id: str = answer["executionId"]
    return execution_id


@pytest.mark.parametrize("mode", ["immediate", "queued"])
def test_cancelling_interrupts_a_running_request(shared_stack: Stack, witness: Witness, mode: str) -> None:
    execution_id = started(shared_stack, workflows.held_call(witness.url), mode)
    witness.wait_for("/held")

    assert shared_stack.control(execution_id, "cancel").status_code in (200, 202)

    assert witness.gone.wait(5), "the request went on"
    assert shared_stack.until(execution_id, "cancelled", "completed")["status"] == "cancelled"
    assert not witness.calls("/last")
    assert shared_stack.control(execution_id, "cancel").status_code == 200
    refused = shared_stack.control(execution_id, "pause")
    assert (refused.status_code, refused.json()["reason"]) == (409, "ILLEGAL_TRANSITION")


@pytest.mark.parametrize("mode", ["immediate", "queued"])
def test_pausing_lets_the_running_step_finish_and_resuming_goes_on(
    shared_stack: Stack, witness: Witness, mode: str
) -> None:
    execution_id = started(shared_stack, workflows.held_call(witness.url, hold_ms=2500), mode)
    witness.wait_for("/held")

    assert shared_stack.control(execution_id, "pause").status_code == 202
    paused = shared_stack.until(execution_id, "paused", "completed")
    assert paused["status"] == "paused"
    assert {step["nodeId"]: step["status"] for step in paused["steps"]} == {
        "first": "completed",
        "held": "completed",
    }
    assert not witness.calls("/last")
    assert shared_stack.control(execution_id, "pause").status_code == 200

    assert shared_stack.control(execution_id, "resume").status_code in (200, 202)
    assert shared_stack.until(execution_id, "completed", "failed")["status"] == "completed"
    assert [call["path"] for call in witness.calls()] == ["/first", "/held", "/last"]


@pytest.mark.parametrize("mode", ["immediate", "queued"])
def test_an_approval_waits_and_its_answer_continues(shared_stack: Stack, mode: str) -> None:
    answer = shared_stack.run(workflows.APPROVAL, {"amount": 12}, mode=mode)
    assert answer["httpStatus"] == 202
    execution_id = answer["executionId"]
    waiting = shared_stack.until(execution_id, "waiting")
    assert waiting["waitingReason"]["kind"] == "person"
    path = f"/api/workflow/execution/{execution_id}/input/ok"

    wrong = shared_stack.call("POST", path, {"approved": "perhaps"})
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "INVALID_INPUT")
    assert wrong.json()["problems"][0]["path"] == "/approved"
    right = {"approved": True, "comment": "ada"}
    assert shared_stack.call("POST", path, right).status_code in (200, 202)
    assert shared_stack.call("POST", path, right).status_code == 200
    second = shared_stack.call("POST", path, {"approved": False})
    assert (second.status_code, second.json()["reason"]) == (409, "ALREADY_ANSWERED")

    done = shared_stack.until(execution_id, "completed", "failed")
    assert (done["status"], done["output"]) == ("completed", {"by": "ada"})


def test_a_retry_keeps_the_finished_steps(shared_stack: Stack, witness: Witness) -> None:
    workflow = workflows.calls(witness.url, "one", "two")
    workflow["nodes"][1]["config"]["url"] += "${ input.fail ? '?status=500' : '' }"
    workflow["nodes"].append({"id": "gate", "type": "human.approval", "config": {"title": "go on?"}})
    workflow["edges"] = [{"source": "one", "target": "gate"}, {"source": "gate", "target": "two"}]
    workflow["nodes"][1]["config"]["url"] = witness.url + "/two?status=400"
    execution_id = shared_stack.run(workflow)["executionId"]
    shared_stack.until(execution_id, "waiting")
    answer = {"approved": True}
    assert shared_stack.call("POST", f"/api/workflow/execution/{execution_id}/input/gate", answer).is_success
    assert shared_stack.until(execution_id, "failed")["error"]["nodeId"] == "two"

    response = shared_stack.control(execution_id, "retry")
    assert response.status_code == 202
    retry_id = response.json()["executionId"]
    assert response.headers["location"].endswith(retry_id)
    done = shared_stack.until(retry_id, "failed")

    assert done["retryOf"] == execution_id
    assert [call["path"] for call in witness.calls()] == ["/one", "/two", "/two"]
    keys = {call["key"] for call in witness.calls("/two")}
    assert len(keys) == 2, "a failed step gets a new key when it is retried"


def test_a_caller_is_answered_at_its_budget_and_the_run_goes_on(
    shared_stack: Stack, witness: Witness
) -> None:
    workflow = workflows.calls(witness.url + "/", "a?hold=400", "b?hold=400", "c?hold=400")
    for node, name in zip(workflow["nodes"], "abc", strict=True):
        node["id"] = name
        node["config"]["url"] = f"{witness.url}/{name}?hold=400"
    workflow["edges"] = [{"source": "a", "target": "b"}, {"source": "b", "target": "c"}]

    answer = shared_stack.run(workflow, mode="immediate", options={"immediateBudget": 500})

    assert (answer["httpStatus"], answer["mode"]) == (202, "queued")
    done = shared_stack.until(answer["executionId"], "completed", "failed")
    assert done["status"] == "completed"
    assert [call["path"] for call in witness.calls()] == ["/a", "/b", "/c"]
    promoted = [
        event for event in shared_stack.events(answer["executionId"]) if event["type"].endswith("promoted")
    ]
    assert len(promoted) == 1


def test_a_vanished_caller_does_not_stop_its_run(shared_stack: Stack, witness: Witness) -> None:
    def leave() -> None:
        try:
            shared_stack.run(workflows.held_call(witness.url, hold_ms=800), mode="immediate", timeout=0.3)
        except Exception:
            return

    caller = threading.Thread(target=leave)
    caller.start()
    caller.join()

    eventually(lambda: witness.calls("/last"), "the run went on")
