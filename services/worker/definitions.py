"""Definitions by hash, compiled once."""

from __future__ import annotations

from collections import OrderedDict

from flow_engine.nodes.registry import NodeRegistry
from flow_engine.payload import decode
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.validation import compile_workflow
from services.worker.executor_client import ExecutorClient

CACHED = 256


class Definitions:
    def __init__(self, client: ExecutorClient, registry: NodeRegistry) -> None:
        self._client = client
        self._registry = registry
        self._graphs: OrderedDict[str, WorkflowGraph] = OrderedDict()

    async def graph(self, definition_hash: str, execution_id: str) -> WorkflowGraph:
        """execution_id: a claimed one that needs it.

        Raises InvalidWorkflow when this process lacks a node type, ExecutorUnreachable."""
        graph = self._graphs.get(definition_hash)
        if graph is None:
            document = decode(await self._client.definition(definition_hash, execution_id))
            graph = self._graphs[definition_hash] = compile_workflow(document, self._registry)
            if len(self._graphs) > CACHED:
                self._graphs.popitem(last=False)
        else:
            self._graphs.move_to_end(definition_hash)
        return graph
