"""Compiled definitions, kept by content: the same text is parsed, checked and compiled once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from flow_engine.errors import Problem
from flow_engine.ids import content_hash
from flow_engine.payload import JsonValue, decode
from flow_engine.recent import Recent
from flow_engine.workflow.definition import canonical
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.limits import DEFAULT_LIMITS, WorkflowLimits
from flow_engine.workflow.parsing import parse_json
from flow_engine.workflow.validation import NOTHING, NodeTypes, compile_workflow
from services.executor.persistence.contract import ExecutionPersistence, WorkflowStore
from services.executor.subflows import Resolved, Subflows

P = ParamSpec("P")
V = TypeVar("V")

INLINE_BYTES = 32 << 10
"""Larger definitions are compiled in a thread, so that other calls go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A valid definition."""

    graph: WorkflowGraph
    text: bytes  # canonical JSON, whose hash is graph.definition_hash
    source: bytes  # the same as it was sent: without the definitions that its sub-flows name
    document: JsonValue


class Definitions:
    def __init__(
        self,
        types: NodeTypes,
        persistence: ExecutionPersistence,
        workflows: WorkflowStore,
        cache_size: int,
        limits: WorkflowLimits = DEFAULT_LIMITS,
    ) -> None:
        self._types = types
        self._persistence = persistence
        self._subflows = Subflows(workflows, types, limits)
        self._limits = limits
        self._by_text: Recent[Definition] = Recent(cache_size)
        self._by_hash: Recent[Definition] = Recent(cache_size)

    @property
    def types(self) -> NodeTypes:
        return self._types

    async def compile(
        self, text: bytes, namespace: str, *, workflow_id: str = "", version: int = 0
    ) -> Definition:
        """text: untrusted JSON. workflow_id, version: under which it is stored, if it is.

        Raises InvalidRequest, InvalidWorkflow with all problems.
        """
        key = content_hash(text)
        definition = self._by_text.get(key)
        if definition is None:
            document = await off_loop(text, self._parsed, text)
            if self._subflows.named(document):  # what these names mean may change
                resolved = await self._subflows.resolve(document, len(text), namespace, workflow_id, version)
                return await self._with_subflows(document, resolved)
            definition = await off_loop(text, self._compiled, document, canonical(document))
            self._by_text.put(key, definition, len(text))
            self._by_hash.put(definition.graph.definition_hash, definition, len(text))
        return definition

    async def _with_subflows(self, document: JsonValue, resolved: Resolved) -> Definition:
        text = canonical(resolved.document)
        definition = self._by_hash.get(content_hash(text))
        if definition is None:
            definition = await off_loop(
                text, self._compiled, resolved.document, canonical(document), resolved.not_found
            )
            self._by_hash.put(definition.graph.definition_hash, definition, len(text))
        return replace(definition, source=canonical(document))

    async def stored(self, definition_hash: str, namespace: str) -> Definition:
        """A definition that an execution runs. Raises InvalidWorkflow when this process lacks a node type."""
        definition = self._by_hash.get(definition_hash)
        if definition is None:
            text = await self._persistence.definition(definition_hash, namespace)
            definition = await off_loop(text, self._compiled, decode(text), text)
            self._by_hash.put(definition_hash, definition, len(text))
        return definition

    def _parsed(self, text: bytes) -> JsonValue:
        return parse_json(text, max_bytes=self._limits.max_bytes, max_depth=self._limits.max_depth)

    def _compiled(
        self, document: JsonValue, source: bytes, not_found: Mapping[str, Problem] = NOTHING
    ) -> Definition:
        graph = compile_workflow(document, self._types, self._limits, not_found)
        return Definition(graph, canonical(document), source, document)


async def off_loop(text: bytes, work: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V:
    if len(text) <= INLINE_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def node_types_of(text: bytes) -> dict[str, str]:
    """Node id to type, from a stored definition that may not compile here any more."""
    document = decode(text)
    nodes = document.get("nodes", []) if isinstance(document, dict) else []
    return {str(node["id"]): str(node.get("type", "")) for node in nodes if "id" in node}


def types_of(graph: WorkflowGraph) -> dict[str, str]:
    """Node id to type."""
    return {node.id: node.type.type for node in graph.nodes.values()}
