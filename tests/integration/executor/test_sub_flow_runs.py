"""Sub-flows over the API: stored definitions, the versions that are kept, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import workflow_pb2
from services.executor.bootstrap import Executor
from services.worker.service import Worker
from services.worker.settings import Settings as WorkerSettings
from tests.integration.executor.conftest import Client
from tests.integration.executor.test_executions import refused
from tests.integration.executor.workflows import ADD_ONE, approval, chain, node

IMMEDIATE, QUEUED = pb.EXECUTION_MODE_IMMEDIATE, pb.EXECUTION_MODE_QUEUED


def subflow(id_: str, workflow_id: str = "", **config: Any) -> dict[str, Any]:
    return node(id_, "flow.subflow", **({"workflowId": workflow_id} if workflow_id else {}), **config)


async def store(client: Client, workflow: dict[str, Any]) -> None:
    request = workflow_pb2.CreateWorkflowRequest(workflow_json=json.dumps(workflow))
    await client.workflows.CreateWorkflow(request)


async def update(client: Client, workflow: dict[str, Any]) -> None:
    await client.workflows.UpdateWorkflow(
        workflow_pb2.UpdateWorkflowRequest(workflow_id=workflow["id"], workflow_json=json.dumps(workflow))
    )


@pytest.mark.parametrize("mode", [IMMEDIATE, QUEUED], ids=["immediate", "queued"])
async def test_a_stored_workflow_runs_inside_another(client: Client, worker: Worker, mode: int) -> None:
    await store(client, {**ADD_ONE, "id": "add"})
    workflow = chain(subflow("one", "add", input={"n": "${ input.n }"}), node("last", "flow.noop"))
    started = await client.start(workflow, {"n": 1}, mode=mode)
    ended = await client.ended(started.execution.id)
    assert json.loads(ended.output_json) == 2
    steps = [(step.node_id, list(step.iteration), step.node_type) for step in ended.steps]
    assert steps == [
        ("one", [], "flow.subflow"),
        ("one/a", [0], "data.set"),
        ("one/b", [0], "flow.noop"),
        ("last", [], "flow.noop"),
    ]


async def test_an_execution_keeps_the_versions_that_it_started_with(
    client: Client, executor: Executor, redis_url: str
) -> None:
    await store(client, chain(node("a", "data.set", values={"v": 1}), id="inner"))
    await store(client, chain(approval("ok"), subflow("in", "inner"), id="outer"))
    started = await client.executions.StartExecution(
        pb.StartExecutionRequest(spec=pb.StartSpec(workflow_id="outer", mode=QUEUED))
    )
    await update(client, chain(node("a", "data.set", values={"v": 2}), id="inner"))
    await client.workflows.DeleteWorkflow(workflow_pb2.DeleteWorkflowRequest(workflow_id="inner"))

    worker = Worker(WorkerSettings(executor_address=executor.address, redis_url=redis_url))
    await worker.start()
    try:
        await client.until(started.execution.id, "execution.waiting")
        await client.executions.SubmitInput(
            pb.SubmitInputRequest(
                execution_id=started.execution.id, node_id="ok", input_json='{"approved": true}'
            )
        )
        ended = await client.ended(started.execution.id)
    finally:
        await worker.stop()
    assert json.loads(ended.output_json) == {"v": 1}


async def test_a_person_inside_a_sub_flow_is_asked_by_its_path(client: Client, worker: Worker) -> None:
    workflow = chain(subflow("in", workflow=chain(approval("ok"))))
    execution_id = (await client.start(workflow, mode=IMMEDIATE)).execution.id
    await client.until(execution_id, "execution.waiting")
    assert list((await client.get(execution_id)).waiting_reason.node_ids) == ["in/ok"]
    await client.executions.SubmitInput(
        pb.SubmitInputRequest(execution_id=execution_id, node_id="in/ok", input_json='{"approved": true}')
    )
    assert (await client.ended(execution_id)).status == pb.EXECUTION_STATUS_COMPLETED


async def test_a_retry_from_a_node_inside_keeps_what_was_before_it(client: Client, worker: Worker) -> None:
    inner = chain(node("a", "data.set", values={"v": 1}), node("bad", "flow.fail", code="BROKEN"))
    failed = await client.ended((await client.start(chain(subflow("in", workflow=inner)))).execution.id)
    assert (failed.error.code, failed.error.node_id) == ("BROKEN", "in/bad")
    again = await client.executions.RetryExecution(
        pb.RetryExecutionRequest(execution_id=failed.id, from_node="in/bad")
    )
    frames = await client.frames(again.execution.id)
    assert [kept["nodeId"] for frame in frames for kept in frame.get("kept", [])] == ["in/a"]


async def test_what_cannot_run_is_refused_by_every_call_alike(client: Client) -> None:
    await store(client, {**ADD_ONE, "id": "add"})
    workflow = chain(subflow("a", "nowhere"), subflow("b", "add", version=7), subflow("c", "self"), id="self")
    problems = [
        ("/nodes/0/config/workflowId", "UNKNOWN_WORKFLOW"),
        ("/nodes/1/config/version", "UNKNOWN_WORKFLOW_VERSION"),
        ("/nodes/2/config/workflowId", "SUBFLOW_RECURSION"),
    ]
    text = json.dumps(workflow)
    validated = await client.executions.ValidateWorkflow(pb.ValidateWorkflowRequest(workflow_json=text))
    assert [(problem.path, problem.code) for problem in validated.problems] == problems
    calls = [
        client.start(workflow),
        client.executions.AnalyzeWorkflow(pb.AnalyzeWorkflowRequest(spec=pb.StartSpec(workflow_json=text))),
        client.workflows.CreateWorkflow(workflow_pb2.CreateWorkflowRequest(workflow_json=text)),
    ]
    for call in calls:
        code, reason, fields = await refused(call)
        assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
        assert fields == problems


async def test_the_nodes_inside_are_analysed_too(client: Client) -> None:
    await store(client, chain(*[node(f"n{n}", "flow.noop") for n in range(10)], id="ten"))
    spec = pb.StartSpec(workflow_json=json.dumps(chain(subflow("in", "ten"))))
    response = await client.executions.AnalyzeWorkflow(pb.AnalyzeWorkflowRequest(spec=spec))
    assert response.complexity.node_count == 11
    assert response.complexity.loop_count == 0
    assert response.complexity.mode == QUEUED


async def test_a_stored_workflow_stays_as_it_was_sent(client: Client) -> None:
    await store(client, {**ADD_ONE, "id": "add"})
    workflow = chain(subflow("in", "add"), id="outer")
    await store(client, workflow)
    response = await client.workflows.GetWorkflow(workflow_pb2.GetWorkflowRequest(workflow_id="outer"))
    assert json.loads(response.workflow.definition_json) == workflow


# Child executions


def detached(id_: str, *nodes: dict[str, Any], **config: Any) -> dict[str, Any]:
    settings = config.pop("settings", {})
    return subflow(id_, workflow=chain(*nodes, **settings), detached=True, **config)


async def child_of(client: Client, parent_id: str, node_id: str = "child") -> str:
    frame = await client.until(parent_id, "child.started")
    assert frame["nodeId"] == node_id
    child_id: str = frame["childId"]
    await client.found(child_id)
    return child_id


async def test_a_child_runs_on_the_queue_and_its_parent_goes_on_with_its_output(
    client: Client, worker: Worker
) -> None:
    add = node("add", "data.set", values={"n": "${ input.n + 1 }"})
    workflow = chain(detached("child", add, input={"n": "${ input.n }"}), node("last", "flow.noop"))
    parent = await client.ended(
        (await client.start(workflow, {"n": 1}, options=pb.ExecutionOptions(tags=["t"]))).execution.id
    )
    assert json.loads(parent.output_json) == {"n": 2}
    child = await client.get(await child_of(client, parent.id))
    assert child.status == pb.EXECUTION_STATUS_COMPLETED
    assert (child.parent_id, child.root_id, child.mode) == (parent.id, parent.id, QUEUED)
    assert list(child.tags) == ["t"]
    (step,) = [step for step in parent.steps if step.node_id == "child"]
    assert step.child_id == child.id
    types = [frame["type"] for frame in await client.frames(parent.id)]
    assert types.count("child.started") == types.count("child.finished") == 1
    listed = await client.executions.ListExecutions(pb.ListExecutionsRequest(parent_id=parent.id))
    assert [execution.id for execution in listed.executions] == [child.id]


async def test_the_failure_of_a_child_fails_its_step(client: Client, worker: Worker) -> None:
    workflow = chain(detached("child", node("bad", "flow.fail", code="BROKEN", message="no")))
    parent = await client.ended((await client.start(workflow)).execution.id)
    assert (parent.error.code, parent.error.node_id) == ("BROKEN", "child")
    assert json.loads(parent.error.details_json)["executionId"] == await child_of(client, parent.id)


async def test_who_does_not_wait_ends_at_once(client: Client, worker: Worker) -> None:
    workflow = chain(detached("child", approval("ok"), waitForCompletion=False))
    parent = await client.ended((await client.start(workflow)).execution.id)
    child_id = await child_of(client, parent.id)
    assert json.loads(parent.output_json) == {"executionId": child_id}
    await client.until(child_id, "execution.waiting")


async def test_a_parent_that_waits_says_for_whom(client: Client, worker: Worker) -> None:
    parent_id = (await client.start(chain(detached("child", approval("ok"))))).execution.id
    await client.until(parent_id, "execution.waiting")
    reason = (await client.get(parent_id)).waiting_reason
    assert (reason.kind, list(reason.node_ids)) == ("child", ["child"])


async def test_control_of_a_parent_reaches_its_children_and_theirs(client: Client, worker: Worker) -> None:
    inner = detached("child", approval("ok"))
    parent_id = (await client.start(chain(detached("child", inner)))).execution.id
    child_id = await child_of(client, parent_id)
    grandchild_id = await child_of(client, child_id)
    await client.until(grandchild_id, "execution.waiting")
    for what, kind in (("pause", "paused"), ("resume", "resumed"), ("cancel", "cancelled")):
        await client.control(parent_id, what)
        for execution_id in (parent_id, child_id, grandchild_id):
            await client.until(execution_id, f"execution.{kind}")
    assert (await client.get(grandchild_id)).root_id == parent_id


async def test_a_child_that_nobody_waits_for_any_more_is_cancelled(client: Client, worker: Worker) -> None:
    child = {**detached("child", approval("ok")), "timeoutMs": 300, "onError": "continue"}
    parent = await client.ended((await client.start(chain(child))).execution.id)
    assert parent.status == pb.EXECUTION_STATUS_COMPLETED
    child_id = await child_of(client, parent.id)
    assert (await client.ended(child_id)).status == pb.EXECUTION_STATUS_CANCELLED


async def test_a_child_has_no_more_time_than_its_parent(client: Client, worker: Worker) -> None:
    workflow = chain(detached("child", approval("ok")), timeoutMs=60_000)
    parent_id = (await client.start(workflow)).execution.id
    child_id = await child_of(client, parent_id)
    await client.until(child_id, "execution.created")
    assert (await client.get(child_id)).deadline_time == (await client.get(parent_id)).deadline_time


async def test_a_retry_of_a_child_is_an_execution_without_parent(client: Client, worker: Worker) -> None:
    parent_id = (
        await client.start(chain(detached("child", node("bad", "flow.fail", code="B"))))
    ).execution.id
    await client.ended(parent_id)
    again = await client.executions.RetryExecution(
        pb.RetryExecutionRequest(execution_id=await child_of(client, parent_id))
    )
    assert again.execution.parent_id == ""
    assert again.execution.root_id == parent_id


# Distributed loops


def each(*nodes: dict[str, Any], **config: Any) -> dict[str, Any]:
    """A loop over input.items, each an execution."""
    inside = chain(*nodes)
    for one in inside["nodes"]:
        one.setdefault("parentId", "each")
    loop = node("each", "logic.foreach", items="${ input.items }", distribute=True, **config)
    return {**inside, "nodes": [loop, *inside["nodes"]]}


async def test_items_are_executions_on_the_queue_whose_outputs_come_in_order(
    client: Client, worker: Worker
) -> None:
    workflow = each(node("x", "data.set", values={"n": "${ item * input.by }"}), concurrency=3)
    items = list(range(20))
    started = await client.start(workflow, {"items": items, "by": 2})
    parent = await client.ended(started.execution.id)
    assert json.loads(parent.output_json) == [{"n": 2 * item} for item in items]
    listed = await client.executions.ListExecutions(pb.ListExecutionsRequest(parent_id=parent.id))
    assert len(listed.executions) == 20
    child = await client.get(listed.executions[0].id)
    assert [(step.node_id, len(step.iteration)) for step in child.steps] == [("x", 1)]
    assert child.progress.percent == 100
    frames = [frame["type"] for frame in await client.frames(parent.id)]
    assert frames.count("child.started") == frames.count("child.finished") == 20


async def test_a_failed_item_fails_the_loop_and_the_others_stop(client: Client, worker: Worker) -> None:
    workflow = each(
        node("bad", "logic.if", condition="${ item == 1 }"),
        node("fail", "flow.fail", code="BROKEN"),
        concurrency=10,
    )
    workflow["edges"] = [{"source": "bad", "sourceHandle": "true", "target": "fail"}]
    workflow["nodes"].append({**approval("ok"), "parentId": "each"})
    started = await client.start(workflow, {"items": [0, 1, 2]})
    parent = await client.ended(started.execution.id)
    assert parent.error.code == "BROKEN"
    listed = await client.executions.ListExecutions(pb.ListExecutionsRequest(parent_id=parent.id))
    ended = [await client.ended(child.id) for child in listed.executions]
    assert sorted(pb.ExecutionStatus.Name(child.status) for child in ended) == [
        "EXECUTION_STATUS_CANCELLED",
        "EXECUTION_STATUS_CANCELLED",
        "EXECUTION_STATUS_FAILED",
    ]


async def test_a_person_is_asked_in_the_item(client: Client, worker: Worker) -> None:
    started = await client.start(each(approval("ok"), concurrency=2), {"items": ["a", "b"]})
    await client.until(started.execution.id, "execution.waiting")
    listed = await client.executions.ListExecutions(pb.ListExecutionsRequest(parent_id=started.execution.id))
    for child in listed.executions:
        await client.until(child.id, "execution.waiting")
        await client.executions.SubmitInput(
            pb.SubmitInputRequest(execution_id=child.id, node_id="ok", input_json='{"approved": true}')
        )
    parent = await client.ended(started.execution.id)
    assert [answer["approved"] for answer in json.loads(parent.output_json)] == [True, True]
