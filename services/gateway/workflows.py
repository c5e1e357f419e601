"""Stored definitions, checks of definitions, node types."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

from flow_engine.errors import Problem
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import workflow_pb2 as wf
from services.gateway.bodies import LabelRequest, definition_text
from services.gateway.call import Answer, Call, document
from services.gateway.documents import (
    NodeTypeList,
    WorkflowPage,
    diff_document,
    node_type_document,
    validation_document,
    version_page,
    workflow_document,
)
from services.gateway.errors import invalid


async def validate_workflow(call: Call) -> Answer:
    """Every problem of a definition at once. Stores and starts nothing."""
    answer = await call.services.executor.validate(definition_text(await call.body()), call.request_id)
    return document(validation_document(answer))


async def list_nodes(call: Call) -> Answer:
    """Every node type, with the JSON Schema of its config."""
    executor = call.services.executor
    answer = await executor.ask(executor.executions.ListNodeTypes, pb.ListNodeTypesRequest(), call.request_id)
    return document(NodeTypeList(nodes=[node_type_document(node_type) for node_type in answer.node_types]))


async def list_workflows(call: Call) -> Answer:
    """Page through stored workflows."""
    executor = call.services.executor
    request = wf.ListWorkflowsRequest(
        page_size=call.query.get("limit", 0),
        page_token=call.query.get("pageToken", ""),
        labels=dict(call.query.get("label", ())),
    )
    answer = await executor.ask(executor.workflows.ListWorkflows, request, call.request_id)
    return document(
        WorkflowPage(
            workflows=[workflow_document(workflow) for workflow in answer.workflows],
            next_page_token=answer.next_page_token or msgspec.UNSET,
        )
    )


async def create_workflow(call: Call) -> Answer:
    """Store a definition under its id."""
    executor = call.services.executor
    request = wf.CreateWorkflowRequest(workflow_json=definition_text(await call.body()))
    async with executor.naming_all_problems(request.workflow_json, call.request_id):
        answer = await executor.ask(executor.workflows.CreateWorkflow, request, call.request_id, repeat=False)
    return _stored(answer.workflow, 201, {"Location": f"/api/workflows/{quote(answer.workflow.id, safe='')}"})


async def get_workflow(call: Call) -> Answer:
    """A stored definition: its latest version, or another."""
    executor = call.services.executor
    request = wf.GetWorkflowRequest(workflow_id=call.path["workflowId"], version=call.query.get("version", 0))
    answer = await executor.ask(executor.workflows.GetWorkflow, request, call.request_id)
    return _stored(answer.workflow)


async def update_workflow(call: Call) -> Answer:
    """Store a new version. The same definition again changes nothing."""
    executor = call.services.executor
    request = wf.UpdateWorkflowRequest(
        workflow_id=call.path["workflowId"],
        expected_version=call.query.get("expectedVersion") or expected_version(call.headers),
        workflow_json=definition_text(await call.body()),
    )
    async with executor.naming_all_problems(request.workflow_json, call.request_id):
        answer = await executor.ask(executor.workflows.UpdateWorkflow, request, call.request_id, repeat=False)
    return _stored(answer.workflow)


async def list_workflow_versions(call: Call) -> Answer:
    """Page through the versions of a workflow, newest first."""
    executor = call.services.executor
    request = wf.ListWorkflowVersionsRequest(
        workflow_id=call.path["workflowId"],
        page_size=call.query.get("limit", 0),
        page_token=call.query.get("pageToken", ""),
    )
    answer = await executor.ask(executor.workflows.ListWorkflowVersions, request, call.request_id)
    return document(version_page(answer))


async def label_workflow(call: Call) -> Answer:
    """Set and remove labels."""
    body = await call.decoded(LabelRequest)
    executor = call.services.executor
    request = wf.LabelWorkflowRequest(
        workflow_id=call.path["workflowId"],
        set={name: value for name, value in body.labels.items() if value is not None},
        remove=[name for name, value in body.labels.items() if value is None],
    )
    answer = await executor.ask(executor.workflows.LabelWorkflow, request, call.request_id)
    return _stored(answer.workflow)


async def diff_workflow(call: Call) -> Answer:
    """What two stored versions differ in."""
    request = wf.DiffWorkflowRequest(
        workflow_id=call.path["workflowId"],
        from_version=call.query.get("from", 0),
        to_version=call.query.get("to", 0),
    )
    return await _diff(call, request)


async def diff_definition(call: Call) -> Answer:
    """What a stored version and a definition that is not stored differ in."""
    request = wf.DiffWorkflowRequest(
        workflow_id=call.path["workflowId"],
        from_version=call.query.get("from", 0),
        workflow_json=definition_text(await call.body()),
    )
    async with call.services.executor.naming_all_problems(request.workflow_json, call.request_id):
        return await _diff(call, request)


async def _diff(call: Call, request: wf.DiffWorkflowRequest) -> Answer:
    executor = call.services.executor
    answer = await executor.ask(executor.workflows.DiffWorkflow, request, call.request_id)
    return document(diff_document(answer))


async def delete_workflow(call: Call) -> Answer:
    """Take a workflow out of sight. Executions of it go on and stay readable."""
    executor = call.services.executor
    request = wf.DeleteWorkflowRequest(workflow_id=call.path["workflowId"])
    await executor.ask(executor.workflows.DeleteWorkflow, request, call.request_id, repeat=False)
    return Response(status_code=204)


def expected_version(headers: Headers) -> int:
    """The version in If-Match, as ETag gave it; 0 accepts any."""
    tag = headers.get("if-match", "*").strip()
    if tag == "*":
        return 0
    match = re.fullmatch(r'"(\d{1,9})"', tag)
    if match is None:
        raise invalid(
            [Problem("If-Match", "INVALID_PARAMETER", f'expected a version as in ETag: "3", got {tag!r}')]
        )
    return int(match[1])


def _stored(workflow: wf.Workflow, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return document(workflow_document(workflow), status, {"ETag": f'"{workflow.version}"', **(headers or {})})
