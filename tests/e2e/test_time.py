"""Timers, back-off and deadlines, over restarts and while nobody runs the execution."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.e2e import workflows
from tests.e2e.conftest import MakeStack
from tests.infra.stack import Stack
from tests.infra.witness import Witness
from tests.integration.persistence.stage import execute


def restart(stack: Stack) -> None:
    stack.worker.stop()
    stack.executor.stop()
    stack.executor.start()
    stack.worker.start()


def let_come(stack: Stack, execution_id: str, what: str) -> None:
    """As if its time (wake_at or deadline_at) had come."""
    past = f"UPDATE workflow_executions SET {what} = created_at WHERE id = '{execution_id}'"
    execute(stack.database_url, past)


def chain(*nodes: dict[str, Any]) -> workflows.Workflow:
    edges = [{"source": a["id"], "target": b["id"]} for a, b in pairwise(nodes)]
    return {"nodes": list(nodes), "edges": edges}


def test_a_delay_of_a_day_is_kept_over_a_restart(make_stack: MakeStack, witness: Witness) -> None:
    stack = make_stack("sqlite").start()
    delay = {"id": "t", "type": "logic.delay", "config": {"durationMs": 86_400_000}}
    after = {"id": "after", "type": "http.request", "config": {"url": f"{witness.url}/after"}}
    execution_id = stack.run(chain(delay, after), mode="immediate")["executionId"]
    reason = stack.until(execution_id, "waiting")["waitingReason"]
    assert (reason["kind"], reason["nodeIds"]) == ("timer", ["t"])
    assert reason["until"] > "2026"

    restart(stack)
    assert stack.execution(execution_id)["waitingReason"] == reason
    assert not witness.calls()
    let_come(stack, execution_id, "wake_at")

    assert stack.until(execution_id, "completed", "failed")["status"] == "completed"
    assert len(witness.calls("/after")) == 1


def test_a_long_back_off_is_kept_over_a_restart(make_stack: MakeStack, witness: Witness) -> None:
    stack = make_stack("postgresql").start()
    call = {
        "id": "call",
        "type": "http.request",
        "config": {"url": f"{witness.url}/down?status=503"},
        "retry": {"maxAttempts": 2, "initialIntervalMs": 3_600_000, "maxIntervalMs": 3_600_000},
    }
    execution_id = stack.run(chain(call), mode="queued")["executionId"]
    reason = stack.until(execution_id, "waiting")["waitingReason"]
    assert (reason["kind"], reason["nodeIds"]) == ("retry", ["call"])

    restart(stack)
    assert len(witness.calls()) == 1
    let_come(stack, execution_id, "wake_at")

    failed = stack.until(execution_id, "completed", "failed")
    assert (failed["status"], failed["steps"][0]["attempts"]) == ("failed", 2)
    assert len({call["key"] for call in witness.calls()}) == 1


@pytest.mark.parametrize("paused", [False, True], ids=["waiting", "paused"])
def test_the_deadline_runs_on_while_an_execution_rests(shared_stack: Stack, paused: bool) -> None:
    answer = shared_stack.run(workflows.APPROVAL, {"amount": 1}, options={"timeout": 3_600_000})
    execution_id = answer["executionId"]
    shared_stack.until(execution_id, "waiting")
    if paused:
        assert shared_stack.control(execution_id, "pause").status_code == 200
    let_come(shared_stack, execution_id, "deadline_at")

    failed = shared_stack.until(execution_id, "failed", "completed", "cancelled")
    assert (failed["status"], failed["error"]["code"]) == ("failed", "TIMEOUT")
    refused = shared_stack.control(execution_id, "resume")
    assert (refused.status_code, refused.json()["executionStatus"]) == (409, "failed")


@pytest.mark.parametrize("mode", ["immediate", "queued"])
def test_a_node_s_own_time_ends_it(shared_stack: Stack, witness: Witness, mode: str) -> None:
    workflow = workflows.held_call(witness.url)
    workflow["nodes"][1]["timeoutMs"] = 200

    execution_id = shared_stack.run(workflow, mode=mode)["executionId"]

    failed = shared_stack.until(execution_id, "failed", "completed")
    assert (failed["error"]["code"], failed["error"]["nodeId"]) == ("TIMEOUT", "held")
    assert witness.gone.wait(5)
