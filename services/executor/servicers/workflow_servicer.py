"""WorkflowService: stored definitions, each change a new version."""

from __future__ import annotations

from typing import Any

import grpc
import msgspec

from flow_engine.errors import InvalidRequest, InvalidWorkflow, Problem
from flow_engine.ids import content_hash
from flow_engine.payload import JsonValue, decode
from flow_engine.v1 import workflow_pb2 as pb
from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceServicer
from flow_engine.workflow.diff import diff
from flow_engine.workflow.labels import relabelled
from services.executor.access.caller import current_namespace
from services.executor.definitions import Definition, Definitions
from services.executor.persistence.contract import StoredWorkflow, WorkflowStore
from services.executor.servicers import messages
from services.executor.servicers.execution_servicer import LastId, page_size, read_token, write_token
from services.executor.servicers.messages import timestamp

Context = grpc.aio.ServicerContext[Any, Any]


class WorkflowServicer(WorkflowServiceServicer):
    def __init__(self, store: WorkflowStore, definitions: Definitions) -> None:
        self._store = store
        self._definitions = definitions

    async def CreateWorkflow(  # noqa: N802
        self, request: pb.CreateWorkflowRequest, context: Context
    ) -> pb.CreateWorkflowResponse:
        definition = await self._definitions.compile(request.workflow_json.encode(), current_namespace())
        graph = definition.graph
        if not graph.id:
            raise InvalidWorkflow([Problem("/id", "MISSING_FIELD", "a stored workflow needs an id")])
        stored = await self._store.create_workflow(
            graph.id,
            graph.name,
            content_hash(definition.source),
            definition.source,
            current_namespace(),
            relabelled({}, request.labels),
        )
        return pb.CreateWorkflowResponse(workflow=workflow(stored))

    async def UpdateWorkflow(  # noqa: N802
        self, request: pb.UpdateWorkflowRequest, context: Context
    ) -> pb.UpdateWorkflowResponse:
        workflow_id = workflow_id_of(request)
        definition = await self._definitions.compile(
            request.workflow_json.encode(), current_namespace(), workflow_id=workflow_id
        )
        check_id(definition, workflow_id)
        stored = await self._store.update_workflow(
            workflow_id,
            definition.graph.name,
            content_hash(definition.source),
            definition.source,
            request.expected_version,
            current_namespace(),
        )
        return pb.UpdateWorkflowResponse(workflow=workflow(stored))

    async def GetWorkflow(  # noqa: N802
        self, request: pb.GetWorkflowRequest, context: Context
    ) -> pb.GetWorkflowResponse:
        stored = await self._store.get_workflow(workflow_id_of(request), request.version, current_namespace())
        return pb.GetWorkflowResponse(workflow=workflow(stored))

    async def ListWorkflows(  # noqa: N802
        self, request: pb.ListWorkflowsRequest, context: Context
    ) -> pb.ListWorkflowsResponse:
        size = page_size(request.page_size, default=50, most=500)
        after = read_token(request.page_token, LastId).id if request.page_token else ""
        found = await self._store.list_workflows(size + 1, after, current_namespace(), request.labels)
        page = found[:size]
        token = write_token(LastId(page[-1].id)) if len(found) > size else ""
        return pb.ListWorkflowsResponse(workflows=map(listed, page), next_page_token=token)

    async def ListWorkflowVersions(  # noqa: N802
        self, request: pb.ListWorkflowVersionsRequest, context: Context
    ) -> pb.ListWorkflowVersionsResponse:
        size = page_size(request.page_size, default=50, most=500)
        before = read_token(request.page_token, Version).number if request.page_token else 0
        found = await self._store.list_versions(
            workflow_id_of(request), size + 1, before, current_namespace()
        )
        page = found[:size]
        token = write_token(Version(page[-1].version)) if len(found) > size else ""
        return pb.ListWorkflowVersionsResponse(versions=map(listed, page), next_page_token=token)

    async def LabelWorkflow(  # noqa: N802
        self, request: pb.LabelWorkflowRequest, context: Context
    ) -> pb.LabelWorkflowResponse:
        stored = await self._store.label_workflow(
            workflow_id_of(request),
            lambda labels: relabelled(labels, request.set, request.remove),
            current_namespace(),
        )
        return pb.LabelWorkflowResponse(workflow=listed(stored))

    async def DiffWorkflow(  # noqa: N802
        self, request: pb.DiffWorkflowRequest, context: Context
    ) -> pb.DiffWorkflowResponse:
        before, after, to_version = await self._compared(request)
        found = diff(decode(before.definition), after, self._definitions.types)
        return pb.DiffWorkflowResponse(
            from_version=before.version,
            to_version=to_version,
            same=found.same,
            nodes=map(messages.node_diff, found.nodes),
            edges=map(messages.edge_diff, found.edges),
            settings=map(messages.field_diff, found.settings),
        )

    async def _compared(self, request: pb.DiffWorkflowRequest) -> tuple[StoredWorkflow, JsonValue, int]:
        """The stored side, the other one, and the other one's version: 0 when it is not stored."""
        workflow_id, namespace = workflow_id_of(request), current_namespace()
        if request.workflow_json:
            if request.to_version:
                message = "give a version or a definition to compare with, not both"
                raise InvalidRequest([Problem("/toVersion", "CONFLICTING_FIELDS", message)])
            definition = await self._definitions.compile(request.workflow_json.encode(), namespace)
            before = await self._store.get_workflow(workflow_id, request.from_version, namespace)
            return before, decode(definition.source), 0
        after = await self._store.get_workflow(workflow_id, request.to_version, namespace)
        # What is before the first version is the first version.
        from_version = request.from_version or max(1, after.version - 1)
        before = await self._store.get_workflow(workflow_id, from_version, namespace)
        return before, decode(after.definition), after.version

    async def DeleteWorkflow(  # noqa: N802
        self, request: pb.DeleteWorkflowRequest, context: Context
    ) -> pb.DeleteWorkflowResponse:
        await self._store.delete_workflow(workflow_id_of(request), current_namespace())
        return pb.DeleteWorkflowResponse()


class Version(msgspec.Struct, array_like=True):
    """The last version seen, in a page token."""

    number: int


def workflow_id_of(request: Any) -> str:
    workflow_id: str = request.workflow_id
    if not workflow_id:
        raise InvalidRequest([Problem("/workflowId", "MISSING_FIELD", "say which workflow is meant")])
    return workflow_id


def check_id(definition: Definition, workflow_id: str) -> None:
    """A definition may leave its id out, but not carry another one."""
    if definition.graph.id not in ("", workflow_id):
        message = f"the definition's id is {definition.graph.id!r}, not {workflow_id!r}"
        raise InvalidWorkflow([Problem("/id", "ID_MISMATCH", message, "an id cannot be changed")])


def workflow(stored: StoredWorkflow) -> pb.Workflow:
    message = listed(stored)
    message.definition_json = stored.definition.decode()
    return message


def listed(stored: StoredWorkflow) -> pb.Workflow:
    return pb.Workflow(
        id=stored.id,
        name=stored.name,
        version=stored.version,
        definition_hash=stored.definition_hash,
        created_time=timestamp(stored.created_at),
        updated_time=timestamp(stored.updated_at),
        labels=stored.labels,
    )
