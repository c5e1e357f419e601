"""Several executors on one PostgreSQL: it makes no difference which of them is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e import workflows
from tests.e2e.conftest import MakeStack
from tests.infra.balancer import Balancer
from tests.infra.stack import ServiceProcess, Stack, eventually, free_port
from tests.infra.witness import Witness


@dataclass
class Replicas:
    """Two executors; a gateway dials each, the stack's own gateway and worker both through one address."""

    stack: Stack
    executors: list[ServiceProcess]
    gateways: list[ServiceProcess]

    def ask(self, which: int, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        url = f"{self.gateways[which].address}/api/workflow{path}"
        return httpx.request(method, url, json=body, timeout=60, **options)

    def start_immediate(self, which: int, workflow: workflows.Workflow) -> str:
        answer = self.ask(
            which, "POST", "/run", {"workflow": workflow, "input": {"amount": 1}, "mode": "immediate"},
            headers={"Prefer": "respond-async"},
        )  # fmt: skip
        execution_id: str = answer.json()["executionId"]
        return execution_id

    def until(self, which: int, execution_id: str, *statuses: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask(which, "GET", f"/execution/{execution_id}").json()
            return found if found["status"] in statuses else None

        return eventually(look, f"{execution_id} is {statuses}")


@pytest.fixture
def replicas(make_stack: MakeStack) -> Iterator[Replicas]:
    ports = [free_port(), free_port()]
    balancer = Balancer(ports)
    stack = make_stack("postgresql", FLOW_GRPC_ADDRESS=balancer.address)
    each = [{"FLOW_GRPC_ADDRESS": f"127.0.0.1:{port}"} for port in ports]
    executors = [stack.service("executor", **address) for address in each]
    gateways = [
        stack.service("gateway", FLOW_HTTP_ADDRESS=f"127.0.0.1:{free_port()}", **address) for address in each
    ]
    for process in (*executors, stack.gateway, stack.worker, *gateways):
        process.start()
    yield Replicas(stack, executors, gateways)
    balancer.close()


def test_an_immediate_run_is_paused_resumed_and_watched_through_the_other_executor(
    replicas: Replicas, witness: Witness
) -> None:
    execution_id = replicas.start_immediate(0, workflows.held_call(witness.url, hold_ms=700))
    witness.wait_for("/held")

    assert replicas.ask(1, "POST", f"/execution/{execution_id}/pause").status_code == 202
    replicas.until(1, execution_id, "paused")
    assert not witness.calls("/last")
    assert replicas.ask(1, "POST", f"/execution/{execution_id}/resume").status_code == 200

    sequences = []
    stream = f"{replicas.gateways[1].address}/api/workflow/execution/{execution_id}/stream"
    with httpx.stream("GET", stream, timeout=30) as lines:
        for line in lines.iter_lines():
            if line.startswith("data:"):
                sequences.append(json.loads(line[5:])["sequence"])
    done = replicas.until(0, execution_id, "completed", "failed")
    assert done["status"] == "completed"
    assert sequences == list(range(1, done["lastSequence"] + 1))
    assert [call["path"] for call in witness.calls()] == ["/first", "/held", "/last"]


def test_an_immediate_run_is_cancelled_through_the_other_executor(
    replicas: Replicas, witness: Witness
) -> None:
    execution_id = replicas.start_immediate(0, workflows.held_call(witness.url))
    witness.wait_for("/held")

    assert replicas.ask(1, "POST", f"/execution/{execution_id}/cancel").status_code in (200, 202)

    assert witness.gone.wait(5), "the request went on"
    assert replicas.until(1, execution_id, "cancelled", "completed")["status"] == "cancelled"


def test_a_person_answers_through_the_other_executor(replicas: Replicas) -> None:
    execution_id = replicas.start_immediate(0, workflows.APPROVAL)
    replicas.until(1, execution_id, "waiting")
    answer = {"approved": True, "comment": "ada"}
    assert replicas.ask(1, "POST", f"/execution/{execution_id}/input/ok", answer).status_code == 200
    assert replicas.until(0, execution_id, "completed", "failed")["output"] == {"by": "ada"}


def test_no_work_is_done_twice_and_one_dead_executor_is_no_loss(replicas: Replicas, witness: Witness) -> None:
    stack = replicas.stack
    started = [
        stack.run(workflows.calls(f"{witness.url}/{n}", "x", "y"), mode="queued")["executionId"]
        for n in range(20)
    ]
    for execution_id in started:
        done = stack.until(execution_id, "completed", "failed")
        assert done["status"] == "completed"
        claims = [e for e in stack.events(execution_id) if e["type"] == "execution.claimed"]
        assert len(claims) == 1
    assert len(witness.calls()) == 2 * len(started)

    replicas.executors[0].kill()

    answer = stack.run(workflows.calls(witness.url, "after"), mode="queued", headers={"Idempotency-Key": "k"})
    assert stack.until(answer["executionId"], "completed", "failed")["status"] == "completed"
