"""Programs take the tasks of `task.external` steps, on both databases and in both modes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_engine.tether import tethered
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import task_pb2 as tk
from flow_engine.v1.task_pb2_grpc import TaskServiceStub
from services.worker.service import Worker
from tests.integration.executor.conftest import Client
from tests.integration.executor.test_executions import refused
from tests.integration.executor.workflows import chain, node

EXAMPLES = Path(__file__).parents[3] / "examples"
IMMEDIATE, QUEUED = pb.EXECUTION_MODE_IMMEDIATE, pb.EXECUTION_MODE_QUEUED
BIG = 2**53 + 1

WORK = chain(node("work", "task.external", queue="q", input="${ input }"), node("end", "flow.noop"))


@pytest.fixture
def tasks(client: Client) -> Any:
    return TaskServiceStub(client.channel)


def poll(queue: str = "q", wait_ms: int = 20_000, lease_ms: int = 10_000) -> tk.PollTaskRequest:
    request = tk.PollTaskRequest(queue=queue, worker_id="test")
    request.wait.FromMilliseconds(wait_ms)
    request.lease.FromMilliseconds(lease_ms)
    return request


@pytest.mark.parametrize("mode", [IMMEDIATE, QUEUED], ids=["immediate", "queued"])
async def test_whoever_waits_for_a_task_gets_it_at_once_and_its_output_goes_on(
    client: Client, worker: Worker, tasks: Any, mode: int
) -> None:
    polled = asyncio.ensure_future(tasks.PollTask(poll(), timeout=20))
    id_ = (await client.start(WORK, {"n": BIG}, mode=mode)).execution.id
    task = (await polled).task
    assert json.loads(task.input_json) == {"n": BIG}
    assert (task.execution_id, task.workflow_id, task.node_id) == (id_, "test", "work")
    assert (task.attempt, task.offer, task.lease.ToMilliseconds()) == (1, 1, 10_000)
    await client.until(id_, "execution.waiting")
    waiting = await client.get(id_)
    assert waiting.waiting_reason.kind == "task"
    assert "queue 'q'" in waiting.waiting_reason.explanation
    beat = await tasks.HeartbeatTask(tk.HeartbeatTaskRequest(token=task.token))
    assert (beat.cancelled, beat.lease.ToMilliseconds()) == (False, 10_000)

    await tasks.CompleteTask(tk.CompleteTaskRequest(token=task.token, output_json=f'{{"m": {BIG}}}'))

    ended = await client.ended(id_)
    assert ended.status == pb.EXECUTION_STATUS_COMPLETED
    assert json.loads(ended.output_json) == {"m": BIG}
    await tasks.CompleteTask(tk.CompleteTaskRequest(token=task.token, output_json=f'{{"m": {BIG}}}'))
    doubled = tasks.CompleteTask(tk.CompleteTaskRequest(token=task.token, output_json="2"))
    assert (await refused(doubled))[:2] == ("FAILED_PRECONDITION", "TASK_SETTLED")


async def test_a_failure_is_retried_as_the_node_says_and_keeps_its_code(
    client: Client, worker: Worker, tasks: Any
) -> None:
    work = {**WORK["nodes"][0], "retry": {"maxAttempts": 2, "initialIntervalMs": 10}}
    id_ = (await client.start(chain(work, WORK["nodes"][1]), {}, mode=QUEUED)).execution.id
    first = (await tasks.PollTask(poll(), timeout=20)).task
    await tasks.FailTask(tk.FailTaskRequest(token=first.token, code="OUT_OF_PAPER", message="no paper"))
    second = (await tasks.PollTask(poll(), timeout=20)).task
    assert (second.attempt, second.offer, second.step_key) == (2, 1, first.step_key)
    failure = tk.FailTaskRequest(
        token=second.token, code="ON_FIRE", message="help", retryable=False, details_json='{"floor": 3}'
    )
    await tasks.FailTask(failure)
    ended = await client.ended(id_)
    assert (ended.error.code, ended.error.message, ended.error.node_id) == ("ON_FIRE", "help", "work")
    assert json.loads(ended.error.details_json) == {"floor": 3}


async def test_a_time_out_of_the_node_ends_the_task(client: Client, worker: Worker, tasks: Any) -> None:
    work = {**WORK["nodes"][0], "timeoutMs": 300}
    id_ = (await client.start(chain(work), {}, mode=QUEUED)).execution.id
    task = (await tasks.PollTask(poll(), timeout=20)).task
    assert (await client.ended(id_)).error.code == "TIMEOUT"
    late = tasks.CompleteTask(tk.CompleteTaskRequest(token=task.token, output_json="1"))
    assert (await refused(late))[:2] == ("FAILED_PRECONDITION", "TASK_ENDED")


async def test_a_cancelled_execution_tells_the_heartbeat(client: Client, worker: Worker, tasks: Any) -> None:
    id_ = (await client.start(WORK, {}, mode=QUEUED)).execution.id
    task = (await tasks.PollTask(poll(), timeout=20)).task
    await client.until(id_, "execution.waiting")
    await client.control(id_, "cancel")
    await client.ended(id_)
    beat = await tasks.HeartbeatTask(tk.HeartbeatTaskRequest(token=task.token))
    assert (beat.cancelled, beat.reason) == (True, "the execution is cancelled")


async def test_a_stream_gives_tasks_as_those_before_are_done(
    client: Client, worker: Worker, tasks: Any
) -> None:
    loop = {
        "id": "loop",
        "nodes": [
            node("each", "logic.foreach", items=[0, 1, 2, 3, 4], concurrency=5),
            {**node("work", "task.external", queue="s", input="${ item }"), "parentId": "each"},
        ],
        "output": "${ nodes.each.output }",
    }
    id_ = (await client.start(loop, mode=QUEUED)).execution.id
    stream = tasks.StreamTasks(tk.StreamTasksRequest(queue="s", worker_id="one", max_open=2), timeout=20)
    for _ in range(5):
        task = (await stream.read()).task
        output = json.dumps(10 * json.loads(task.input_json))
        await tasks.CompleteTask(tk.CompleteTaskRequest(token=task.token, output_json=output))
    stream.cancel()
    assert json.loads((await client.ended(id_)).output_json) == [0, 10, 20, 30, 40]


async def test_a_large_input_arrives_whole_and_one_too_large_fails_the_step(
    client: Client, worker: Worker, tasks: Any
) -> None:
    await client.start(WORK, {"text": "ä" * 50_000}, mode=QUEUED)
    task = (await tasks.PollTask(poll(), timeout=20)).task
    assert json.loads(task.input_json) == {"text": "ä" * 50_000}
    huge = chain(node("work", "task.external", queue="q", input=["${ input }", "${ input }"]))
    id_ = (await client.start(huge, {"text": "x" * 600_000}, mode=QUEUED)).execution.id
    assert (await client.ended(id_)).error.code == "OUTPUT_TOO_LARGE"


async def test_bad_calls_are_refused_with_the_field(client: Client, tasks: Any) -> None:
    wrong = [
        (tasks.PollTask, tk.PollTaskRequest(), ("/queue", "INVALID_QUEUE")),
        (tasks.PollTask, tk.PollTaskRequest(queue="a b"), ("/queue", "INVALID_QUEUE")),
        (tasks.PollTask, poll(wait_ms=60_001), ("/wait", "OUT_OF_RANGE")),
        (tasks.PollTask, poll(lease_ms=999), ("/lease", "OUT_OF_RANGE")),
        (tasks.CompleteTask, tk.CompleteTaskRequest(output_json="["), ("/outputJson", "TRUNCATED_JSON")),
        (tasks.FailTask, tk.FailTaskRequest(code="no code"), ("/code", "INVALID_CODE")),
        (tasks.FailTask, tk.FailTaskRequest(details_json="["), ("/detailsJson", "TRUNCATED_JSON")),
    ]
    for call, request, found in wrong:
        code, _, fields = await refused(call(request))
        assert (code, fields) == ("INVALID_ARGUMENT", [found])
    for token in ("", "x", "00000000-0000-7000-8000-000000000000.x"):
        unknown = tasks.CompleteTask(tk.CompleteTaskRequest(token=token))
        assert (await refused(unknown))[:2] == ("NOT_FOUND", "TASK_NOT_FOUND")
    assert not (await tasks.PollTask(poll(wait_ms=0))).HasField("task")


async def test_the_example_worker_makes_invoices(client: Client, worker: Worker, executor: Any) -> None:
    workflow = json.loads((EXAMPLES / "external-task.json").read_text())
    order = json.loads((EXAMPLES / "external-task.input.json").read_text())
    expected = json.loads((EXAMPLES / "external-task.expected.json").read_text())
    program = [sys.executable, str(EXAMPLES / "workers" / "invoices.py"), executor.address, "invoices"]
    working = await asyncio.create_subprocess_exec(*tethered(program))
    try:
        good = (await client.start(workflow, order)).execution.id
        bad = (await client.start(workflow, {**order, "lines": []})).execution.id
        ended = await client.ended(good)
        assert json.loads(ended.output_json) == expected["output"]
        assert ended.mode == QUEUED
        assert json.loads((await client.ended(bad)).output_json) == {
            "text": "no invoice: an invoice needs lines"
        }
    finally:
        working.kill()
        await working.wait()
