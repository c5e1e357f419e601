"""Processes die, Redis forgets: what was accepted still ends, and finished steps stay finished."""

from __future__ import annotations

import signal

import httpx
import pytest

from tests.e2e import workflows
from tests.e2e.conftest import MakeStack
from tests.infra.stack import Stack, eventually
from tests.infra.valkey import PrivateValkey
from tests.infra.witness import Witness

databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"])
modes = pytest.mark.parametrize(("mode", "database"), [("immediate", "postgresql"), ("queued", "sqlite")])
"""Each mode on one database: `tests.chaos` tries them all."""


def queued(stack: Stack, workflow: workflows.Workflow) -> str:
    answer = stack.run(workflow, mode="queued")
    assert (answer["httpStatus"], answer["mode"]) == (202, "queued"), answer
    execution_id: str = answer["executionId"]
    return execution_id


@databases
def test_another_worker_finishes_what_a_killed_one_ran(
    make_stack: MakeStack, witness: Witness, database: str
) -> None:
    stack = make_stack(database).start()
    execution_id = queued(stack, workflows.held_call(witness.url, hold_ms=1500))
    witness.wait_for("/held")

    stack.worker.kill()
    stack.service("worker").start()

    assert stack.until(execution_id, "completed", "failed")["status"] == "completed"
    assert [call["path"] for call in witness.calls()] == ["/first", "/held", "/held", "/last"]
    assert len({call["key"] for call in witness.calls("/held")}) == 1, "an attempt repeats its key"


@modes
def test_everything_accepted_ends_after_the_executor_was_killed(
    make_stack: MakeStack, witness: Witness, database: str, mode: str
) -> None:
    stack = make_stack(database).start()
    accepted = []
    for number in range(5):
        workflow = workflows.held_call(witness.url, f"held{number}", hold_ms=1500)
        answer = stack.run(workflow, mode=mode, headers={"Prefer": "respond-async"})
        accepted.append(answer["executionId"])
    for number in range(5):
        witness.wait_for(f"/held{number}")

    stack.executor.kill()
    stack.executor.start()

    for execution_id in accepted:
        assert stack.until(execution_id, "completed", "failed", seconds=60)["status"] == "completed"
    assert len(witness.calls("/first")) == len(accepted), "finished steps ran once"


def test_a_caller_that_waits_learns_that_the_executor_died(make_stack: MakeStack, witness: Witness) -> None:
    """The gateway repeats the start under a request id of its own: same execution, no second one."""
    stack = make_stack().start()
    answers: list[httpx.Response] = []

    import threading

    def call() -> None:
        body = {"workflow": workflows.held_call(witness.url, hold_ms=500), "mode": "immediate"}
        answers.append(stack.call("POST", "/api/workflow/run", body))

    caller = threading.Thread(target=call)
    caller.start()
    witness.wait_for("/held")
    stack.executor.kill()
    stack.executor.start()
    caller.join(60)

    (answer,) = answers
    assert answer.status_code in (200, 202, 503), answer.text
    listed = stack.call("GET", "/api/workflow/executions").json()["executions"]
    assert len(listed) == 1
    assert stack.until(listed[0]["executionId"], "completed", seconds=60)


def test_queued_executions_survive_that_redis_forgets_everything(
    make_stack: MakeStack, redis_server: PrivateValkey
) -> None:
    stack = make_stack()
    stack.executor.start()
    stack.gateway.start()
    accepted = [queued(stack, workflows.ECHO) for _ in range(20)]

    redis_server.flush()
    stack.worker.start()

    for execution_id in accepted:
        assert stack.until(execution_id, "completed", "failed")["status"] == "completed"


def test_starts_are_accepted_and_run_while_redis_is_down(
    make_stack: MakeStack, redis_server: PrivateValkey
) -> None:
    stack = make_stack().start()
    redis_server.kill()

    execution_id = queued(stack, workflows.ECHO)

    assert stack.until(execution_id, "completed", "failed")["status"] == "completed"


@modes
def test_an_approval_is_answered_after_all_services_were_restarted(
    make_stack: MakeStack, database: str, mode: str
) -> None:
    stack = make_stack(database).start()
    execution_id = stack.run(workflows.APPROVAL, {"amount": 1}, mode=mode)["executionId"]
    stack.until(execution_id, "waiting")

    for process in (stack.gateway, stack.worker, stack.executor):
        assert process.stop() == 0
    stack.start()
    answer = stack.call(
        "POST", f"/api/workflow/execution/{execution_id}/input/ok", {"approved": True, "comment": "eve"}
    )

    assert answer.is_success, answer.text
    assert stack.until(execution_id, "completed", "failed")["output"] == {"by": "eve"}


def test_a_worker_that_was_frozen_past_its_lease_writes_nothing(
    make_stack: MakeStack, witness: Witness
) -> None:
    stack = make_stack().start()
    execution_id = queued(stack, workflows.held_call(witness.url, hold_ms=500))
    witness.wait_for("/held")
    stack.worker.send(signal.SIGSTOP)
    stack.service("worker").start()

    done = stack.until(execution_id, "completed", "failed")
    stack.worker.send(signal.SIGCONT)

    assert done["status"] == "completed"
    epochs = [event["epoch"] for event in stack.events(execution_id) if event["type"] == "execution.claimed"]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 2
    assert stack.execution(execution_id)["lastSequence"] == done["lastSequence"]


@pytest.mark.parametrize("kind", ["worker", "executor"])
def test_sigterm_hands_running_work_over_and_exits_cleanly(
    make_stack: MakeStack, witness: Witness, kind: str
) -> None:
    stack = make_stack().start()
    mode = "queued" if kind == "worker" else "immediate"
    answer = stack.run(
        workflows.held_call(witness.url, hold_ms=700), mode=mode, headers={"Prefer": "respond-async"}
    )
    witness.wait_for("/held")

    process = stack.worker if kind == "worker" else stack.executor
    assert process.stop() == 0
    process.start()

    assert stack.until(answer["executionId"], "completed", "failed")["status"] == "completed"
    assert [call["path"] for call in witness.calls()] == ["/first", "/held", "/last"]


def test_a_workflow_that_kills_its_worker_every_time_fails_and_harms_nobody_else(
    make_stack: MakeStack, witness: Witness
) -> None:
    stack = make_stack().start()
    spare = stack.service("worker").start()
    execution_id = queued(stack, workflows.held_call(witness.url, hold_ms=60_000))

    for attempt in range(2):
        witness.wait_for("/held", attempt + 1)
        victim = eventually(lambda: claimed_by(stack, execution_id), "somebody runs it")
        for process in (stack.worker, spare):
            if victim in process.address:
                process.kill()
                process.start()
    witness.wait_for("/held", 3)
    kill_solitary_process(stack)

    failed = stack.until(execution_id, "failed", seconds=60)
    assert failed["error"]["code"] == "WORKER_LOST"
    assert len(witness.calls("/held")) == 3


def claimed_by(stack: Stack, execution_id: str) -> str | None:
    if stack.execution(execution_id)["status"] != "running":
        return None
    claims = [event for event in stack.events(execution_id) if event["type"] == "execution.claimed"]
    worker_id: str = claims[-1]["workerId"]
    return worker_id


def kill_solitary_process(stack: Stack) -> None:
    """Kills the child in which a worker of this stack runs an execution alone."""
    import os
    from pathlib import Path

    def find() -> int | None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if "services.worker.solitary" in command and stack.grpc_address in command:
                return int(folder.name)
        return None

    os.kill(eventually(find, "a process runs it alone"), signal.SIGKILL)
