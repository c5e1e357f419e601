"""Why an immediate run goes on in the queue: every reason, told in its history, with no step run twice."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e import workflows
from tests.e2e.conftest import MakeStack
from tests.infra.stack import Stack
from tests.infra.witness import Witness


def three_calls(url: str) -> workflows.Workflow:
    workflow = workflows.calls(url, "a", "b", "c")
    for node in workflow["nodes"]:
        node["config"]["url"] += "?hold=400"
    return workflow


def reasons(stack: Stack, execution_id: str) -> list[str]:
    return [event["reason"] for event in stack.events(execution_id) if event["type"] == "execution.promoted"]


def answered_after(stack: Stack, workflow: workflows.Workflow, budget_ms: int) -> tuple[str, float]:
    """Its id, and after how many milliseconds the caller had an answer."""
    stack.run(workflows.SMALL, {"a": 1, "b": 2})  # connections are there
    began = time.perf_counter()
    answer = stack.run(workflow, mode="immediate", options={"immediateBudget": budget_ms})
    elapsed_ms = 1000 * (time.perf_counter() - began)
    print(f"answered after {elapsed_ms:.0f} ms at a budget of {budget_ms} ms")
    assert (answer["httpStatus"], answer["mode"]) == (202, "queued")
    return answer["executionId"], elapsed_ms


def test_what_does_not_fit_the_budget_goes_on_after_the_steps_that_did(
    shared_stack: Stack, witness: Witness
) -> None:
    execution_id, elapsed_ms = answered_after(shared_stack, three_calls(witness.url), 500)

    assert elapsed_ms < 2000
    done = shared_stack.until(execution_id, "completed", "failed")
    assert done["status"] == "completed"
    assert [call["path"] for call in witness.calls()] == ["/a", "/b", "/c"], "each step ran once"
    types = [event["type"] for event in shared_stack.events(execution_id)]
    assert types.index("execution.promoted") < types.index("execution.claimed")


def test_a_caller_is_answered_when_its_budget_ends_and_the_step_ends_where_it_runs(
    shared_stack: Stack, witness: Witness
) -> None:
    workflow = workflows.held_call(witness.url, hold_ms=2500)
    execution_id, elapsed_ms = answered_after(shared_stack, workflow, 800)

    assert elapsed_ms < 2400, "before the step has ended"
    assert shared_stack.until(execution_id, "completed", "failed")["status"] == "completed"
    assert [call["path"] for call in witness.calls()] == ["/first", "/held", "/last"]
    assert reasons(shared_stack, execution_id) == ["budget"]


@pytest.mark.parametrize(
    ("node", "budget", "reason"),
    [
        ({"type": "human.approval", "config": {"title": "?"}}, 30_000, "waiting"),
        ({"type": "wait.callback"}, 30_000, "waiting"),
        ({"type": "logic.delay", "config": {"durationMs": 20_000}}, 30_000, "waiting"),
        ({"type": "logic.delay", "config": {"durationMs": 20_000}}, 10_000, "predicted"),
    ],
    ids=["person", "callback", "timer", "predicted"],
)
def test_what_must_wait_or_would_take_too_long_is_handed_on_at_once(
    shared_stack: Stack, node: dict[str, Any], budget: int, reason: str
) -> None:
    workflow = {
        "nodes": [{"id": "before", "type": "data.set", "config": {"values": {"n": 1}}}, {"id": "x", **node}],
        "edges": [{"source": "before", "target": "x"}],
    }
    answer = shared_stack.run(workflow, mode="immediate", options={"immediateBudget": budget})

    assert answer["httpStatus"] == 202
    execution_id = answer["executionId"]
    shared_stack.until(execution_id, "waiting")
    assert reasons(shared_stack, execution_id) == [reason]
    started = [e["nodeId"] for e in shared_stack.events(execution_id) if e["type"] == "step.started"]
    assert started == ["before", "x"]
    shared_stack.control(execution_id, "cancel")


@pytest.mark.parametrize(("reason", "database"), [("shutdown", "sqlite"), ("executorLost", "postgresql")])
def test_a_run_outlives_its_executor(
    make_stack: MakeStack, witness: Witness, database: str, reason: str
) -> None:
    stack = make_stack(database).start()
    answer = stack.run(
        workflows.held_call(witness.url, hold_ms=1000), mode="immediate", headers={"Prefer": "respond-async"}
    )
    witness.wait_for("/held")

    if reason == "shutdown":
        assert stack.executor.stop() == 0
    else:
        stack.executor.kill()
    stack.executor.start()

    done = stack.until(answer["executionId"], "completed", "failed", seconds=60)
    assert (done["status"], done["mode"]) == ("completed", "queued")
    assert reasons(stack, answer["executionId"]) == [reason]
    held = ["/held"] if reason == "shutdown" else ["/held", "/held"]
    assert [call["path"] for call in witness.calls()] == ["/first", *held, "/last"]
