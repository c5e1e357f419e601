"""Stored workflows at a running executor: versions, what they differ in, and what runs of them keep."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import workflow_pb2 as wf
from services.worker.service import Worker
from tests.integration.executor.conftest import Client

IMMEDIATE, QUEUED = pb.EXECUTION_MODE_IMMEDIATE, pb.EXECUTION_MODE_QUEUED


def asking(word: str) -> dict[str, Any]:
    """A workflow that waits for a person and then says its word."""
    return {
        "id": "ask",
        "nodes": [
            {"id": "ok", "type": "human.approval", "config": {"title": "May I?"}},
            {"id": "say", "type": "data.set", "config": {"values": {"word": word}}},
        ],
        "edges": [{"source": "ok", "sourceHandle": "approved", "target": "say"}],
        "output": "${ nodes.say.output.word }",
    }


async def store(client: Client, definition: dict[str, Any], version: int = 1) -> None:
    text = json.dumps(definition)
    if version == 1:
        await client.workflows.CreateWorkflow(wf.CreateWorkflowRequest(workflow_json=text))
    else:
        request = wf.UpdateWorkflowRequest(
            workflow_id=definition["id"], workflow_json=text, expected_version=version - 1
        )
        await client.workflows.UpdateWorkflow(request)


async def test_an_execution_finishes_on_the_version_it_started_with(client: Client, worker: Worker) -> None:
    await store(client, asking("one"))

    async def start(version: int) -> str:
        spec = pb.StartSpec(workflow_id="ask", workflow_version=version, mode=QUEUED)
        request = pb.StartExecutionRequest(spec=spec)
        execution_id: str = (await client.executions.StartExecution(request)).execution.id
        await client.until(execution_id, "execution.waiting")
        return execution_id

    of_first = await start(0)
    await store(client, asking("two"), version=2)
    of_latest, of_first_again = await start(0), await start(1)
    await client.workflows.DeleteWorkflow(wf.DeleteWorkflowRequest(workflow_id="ask"))
    said = []
    for execution_id in (of_first, of_latest, of_first_again):
        answer = pb.SubmitInputRequest(
            execution_id=execution_id, node_id="ok", input_json='{"approved": true}'
        )
        await client.executions.SubmitInput(answer)
        ended = await client.ended(execution_id)
        said.append((ended.workflow_version, json.loads(ended.output_json)))
    assert said == [(1, "one"), (2, "two"), (1, "one")]


async def test_two_versions_or_a_version_and_a_definition_are_compared(client: Client) -> None:
    await store(client, asking("one"))
    await store(client, asking("two"), version=2)
    answer = await client.workflows.DiffWorkflow(wf.DiffWorkflowRequest(workflow_id="ask"))
    (node,) = answer.nodes
    (change,) = node.changes
    assert (answer.from_version, answer.to_version, answer.same) == (1, 2, False)
    assert (node.node_id, change.path, change.before_json, change.after_json) == (
        "say",
        "/config/values/word",
        '"one"',
        '"two"',
    )
    request = wf.DiffWorkflowRequest(workflow_id="ask", workflow_json=json.dumps(asking("two")))
    answer = await client.workflows.DiffWorkflow(request)
    assert (answer.from_version, answer.to_version, answer.same) == (2, 0, True)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.workflows.DiffWorkflow(wf.DiffWorkflowRequest(workflow_id="ask", to_version=9))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_versions_and_labels_are_listed(client: Client) -> None:
    request = wf.CreateWorkflowRequest(workflow_json=json.dumps(asking("one")), labels={"team": "x"})
    await client.workflows.CreateWorkflow(request)
    for version in (2, 3):
        await store(client, asking(str(version)), version=version)
    await client.workflows.LabelWorkflow(
        wf.LabelWorkflowRequest(workflow_id="ask", set={"tier": "1"}, remove=["team"])
    )
    page = await client.workflows.ListWorkflowVersions(
        wf.ListWorkflowVersionsRequest(workflow_id="ask", page_size=2)
    )
    rest = await client.workflows.ListWorkflowVersions(
        wf.ListWorkflowVersionsRequest(workflow_id="ask", page_token=page.next_page_token)
    )
    assert [version.version for version in (*page.versions, *rest.versions)] == [3, 2, 1]
    assert rest.next_page_token == ""
    found = await client.workflows.ListWorkflows(wf.ListWorkflowsRequest(labels={"tier": "1"}))
    assert [(w.id, dict(w.labels)) for w in found.workflows] == [("ask", {"tier": "1"})]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.workflows.LabelWorkflow(wf.LabelWorkflowRequest(workflow_id="ask", set={"?": ""}))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
