"""What operators do: commands against a running system, some parts of which are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.e2e import workflows
from tests.e2e.conftest import MakeStack
from tests.infra.egress import LOOPBACK
from tests.infra.stack import Stack, eventually
from tests.infra.valkey import PrivateValkey
from tests.infra.witness import Witness


def flow(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output of a command."""
    command = [sys.executable, "-m", "services.cli", *arguments]
    environment = {
        **os.environ,
        "FLOW_GRPC_ADDRESS": stack.grpc_address,
        "FLOW_HTTP_ADDRESS": stack.base_url.removeprefix("http://"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def asked(stack: Stack, *arguments: str) -> Any:
    code, output = flow(stack, *arguments, "--json")
    assert code == 0, output
    return json.loads(output)


def states(stack: Stack) -> tuple[int, dict[str, str]]:
    """Exit code of `flow doctor`, and the state of each check."""
    code, output = flow(stack, "doctor", "--json")
    return code, {check["name"]: check["state"] for check in json.loads(output)["checks"]}


def limited(url: str, name: str) -> workflows.Workflow:
    return {
        **workflows.held_call(url, name, hold_ms=1500),
        "id": "limited",
        "concurrency": {"key": "all", "limit": 1},
    }


def test_slots_come_back_after_every_worker_was_killed(make_stack: MakeStack, witness: Witness) -> None:
    stack = make_stack("postgresql").start()
    second = stack.service("worker").start()
    ids = [stack.run(limited(witness.url, name), mode="queued")["executionId"] for name in ("one", "two")]
    witness.wait_for("/one")
    reason = stack.execution(ids[1])["waitingReason"]
    assert (reason["kind"], reason["key"], reason["limit"]) == ("concurrency", "all", 1)
    assert "1/1" in flow(stack, "queue")[1]

    stack.worker.kill()
    second.kill()
    stack.service("worker").start()

    for execution_id in ids:
        assert stack.until(execution_id, "completed", "failed")["status"] == "completed"
    assert asked(stack, "queue")["keys"] == []


def test_operators_drain_requeue_purge_and_are_told_what_is_wrong(
    make_stack: MakeStack, witness: Witness, redis_server: PrivateValkey
) -> None:
    stack = make_stack().start()
    assert states(stack)[0] == 0
    (worker,) = asked(stack, "workers")["workers"]
    running = stack.run(workflows.held_call(witness.url, hold_ms=1500), mode="queued")["executionId"]
    witness.wait_for("/held")
    drained = asked(stack, "drain", worker["id"][-8:])
    assert (drained["draining"], drained["runningCount"]) == (True, 1)
    pending = [stack.run(workflows.ECHO, mode="queued")["executionId"] for _ in range(3)]
    assert stack.until(running, "completed", "failed")["status"] == "completed", "it finishes what it has"
    assert stack.execution(pending[0])["waitingReason"]["kind"] in ("noWorker", "queued")
    code, found = states(stack)
    assert (code, found["workers"]) == (1, "error")

    refused = stack.call("POST", "/api/queue/purge", {})
    assert (refused.status_code, refused.json()["reason"]) == (400, "INVALID_REQUEST")
    assert flow(stack, "requeue", pending[2], "--first")[0] == 0
    assert "would be" in flow(stack, "purge", "--all", "--dry-run")[1]
    assert stack.execution(pending[0])["status"] == "pending"
    stack.call("POST", "/api/workflow/execution/" + pending[1] + "/cancel", {})
    assert asked(stack, "purge", "--priority", "5", "--reason", "by mistake")["count"] == 2
    assert stack.execution(pending[0])["status"] == "cancelled"

    asked(stack, "drain", "--undo", worker["id"])
    redis_server.kill()
    code, found = states(stack)
    assert (code, found["redis"], found["database"], found["gateway"]) == (1, "error", "ok", "ok")
    again = stack.run(workflows.ECHO, mode="queued")["executionId"]
    assert stack.until(again, "completed", "failed")["status"] == "completed", "Redis only rings"

    stack.executor.kill()
    code, found = states(stack)
    assert (code, found["executor"], found["gateway"]) == (3, "error", "error")
    assert stack.call("GET", "/readyz").status_code == 503
    eventually(lambda: stack.call("GET", "/api/queue").status_code == 503, "the gateway says why")


def test_workers_come_when_work_waits_and_go_when_they_are_idle(
    make_stack: MakeStack, witness: Witness
) -> None:
    stack = make_stack(FLOW_WORKER_CONCURRENCY="1")
    stack.executor.start()
    stack.gateway.start()
    command = [sys.executable, "-m", "services.cli", "worker", "--min", "1", "--max", "2", "--idle", "1s"]
    environment = {
        **os.environ,
        "FLOW_GRPC_ADDRESS": stack.grpc_address,
        "FLOW_WORKER_CONCURRENCY": "1",
        "FLOW_DATA_DIR": str(stack.folder),
        "REDIS_URL": stack.redis_url,
        **LOOPBACK,
    }
    log = stack.folder / "elastic.log"
    with log.open("w") as standard_error:
        crew = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=standard_error)
    try:
        held = workflows.held_call(witness.url, hold_ms=3000)
        ids = [stack.run(held, mode="queued")["executionId"] for _ in range(4)]
        eventually(lambda: len(asked(stack, "workers")["workers"]) >= 2, "another worker comes", 60)
        for execution_id in ids:
            assert stack.until(execution_id, "completed", "failed", seconds=90)["status"] == "completed"
        eventually(lambda: len(asked(stack, "workers")["workers"]) == 1, "only one is left", 60)
        changes = [line for line in log.read_text().splitlines() if line.startswith("workers: ")]
        assert changes[0].startswith("workers: 1 → 2, the oldest of "), changes
        assert "slots free for" in changes[-1]
    finally:
        crew.terminate()
        assert crew.wait(60) == 0
