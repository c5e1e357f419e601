"""External tasks over REST, on each database."""

from __future__ import annotations

import httpx

from tests.infra.stack import Stack, eventually

BIG = 2**53 + 1
WORKFLOW = {
    "nodes": [{"id": "t", "type": "task.external", "config": {"queue": "rest", "input": {"n": BIG}}}],
    "output": "${ nodes.t.output }",
}


def test_a_program_without_grpc_takes_keeps_fails_and_completes_tasks(shared_stack: Stack) -> None:
    with httpx.Client(base_url=shared_stack.base_url, timeout=30) as client:
        assert client.post("/api/tasks/rest/poll", json={"wait": 0}).status_code == 204
        run = {"workflow": {**WORKFLOW, "retry": {"maxAttempts": 2, "initialIntervalMs": 1}}}
        id_ = client.post("/api/workflow/run", json=run).json()["executionId"]
        task = client.post("/api/tasks/rest/poll", json={"workerId": "curl", "lease": 5000}).json()
        assert (task["executionId"], task["nodeId"], task["input"]) == (id_, "t", {"n": BIG})
        assert task["leaseMs"] == 5000
        beat = client.post("/api/tasks/heartbeat", json={"token": task["token"]}).json()
        assert (beat["cancelled"], beat["leaseMs"]) == (False, 5000)
        failed = {"token": task["token"], "code": "BUSY", "message": "later", "retryAfter": 10}
        assert client.post("/api/tasks/fail", json=failed).status_code == 204
        again = client.post("/api/tasks/rest/poll").json()
        assert (again["attempt"], again["stepKey"]) == (2, task["stepKey"])
        late = client.post("/api/tasks/complete", json={"token": task["token"]})
        assert (late.status_code, late.json()["reason"]) == (409, "TASK_SETTLED")
        done = {"token": again["token"], "output": {"m": BIG}}
        assert client.post("/api/tasks/complete", json=done).status_code == 204

        def output() -> object:
            execution = client.get(f"/api/workflow/execution/{id_}").json()
            return execution["status"] == "completed" and execution["output"]

        assert eventually(output, "the execution completes") == {"m": BIG}
        wrong = client.post("/api/tasks/a b/poll", json={"lease": 1})
        assert wrong.status_code == 400
        unknown = client.post("/api/tasks/complete", json={"token": "x.y"})
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "TASK_NOT_FOUND")
