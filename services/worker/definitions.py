"""Definitions by hash, compiled once."""

from __future__ import annotations

from flow_engine.nodes.registry import NodeRegistry
from flow_engine.payload import decode
from flow_engine.recent import Recent
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.validation import compile_workflow
from services.worker.executor_client import ExecutorClient

CACHED = 256


class Definitions:
    def __init__(self, client: ExecutorClient, registry: NodeRegistry) -> None:
        self._client = client
        self._registry = registry
        self._graphs: Recent[WorkflowGraph] = Recent(CACHED)

    async def graph(self, definition_hash: str, execution_id: str) -> WorkflowGraph:
        """execution_id: a claimed one that needs it.

        Raises InvalidWorkflow when this process lacks a node type, ExecutorUnreachable."""
        graph = self._graphs.get(definition_hash)
        if graph is None:
            text = await self._client.definition(definition_hash, execution_id)
            graph = compile_workflow(decode(text), self._registry)
            self._graphs.put(definition_hash, graph, len(text))
        return graph
