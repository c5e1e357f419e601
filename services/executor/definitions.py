"""Compiled definitions, kept by content: the same text is parsed, checked and compiled once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from flow_engine.ids import content_hash
from flow_engine.payload import JsonValue, decode
from flow_engine.workflow.definition import canonical
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.limits import DEFAULT_LIMITS, WorkflowLimits
from flow_engine.workflow.parsing import parse_json
from flow_engine.workflow.validation import NodeTypes, compile_workflow
from services.executor.persistence.contract import ExecutionPersistence

V = TypeVar("V")

INLINE_BYTES = 32 << 10
"""Larger definitions are compiled in a thread, so that other calls go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A valid definition."""

    graph: WorkflowGraph
    text: bytes  # canonical JSON, whose hash is graph.definition_hash
    document: JsonValue


class Recent(Generic[V]):
    """The values last used, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._size:
            self._values.popitem(last=False)


class Definitions:
    def __init__(
        self,
        types: NodeTypes,
        persistence: ExecutionPersistence,
        cache_size: int,
        limits: WorkflowLimits = DEFAULT_LIMITS,
    ) -> None:
        self._types = types
        self._persistence = persistence
        self._limits = limits
        self._by_text: Recent[Definition] = Recent(cache_size)
        self._by_hash: Recent[Definition] = Recent(cache_size)

    async def compile(self, text: bytes) -> Definition:
        """text: untrusted JSON. Raises InvalidRequest, InvalidWorkflow with all problems."""
        key = content_hash(text)
        definition = self._by_text.get(key)
        if definition is None:
            definition = await self._off_loop(text)
            self._by_text.put(key, definition)
            self._by_hash.put(definition.graph.definition_hash, definition)
        return definition

    async def stored(self, definition_hash: str, namespace: str) -> Definition:
        """A definition that an execution runs. Raises InvalidWorkflow when this process lacks a node type."""
        definition = self._by_hash.get(definition_hash)
        if definition is None:
            text = await self._persistence.definition(definition_hash, namespace)
            definition = await self._off_loop(text)
            self._by_hash.put(definition_hash, definition)
        return definition

    async def _off_loop(self, text: bytes) -> Definition:
        if len(text) <= INLINE_BYTES:
            return self._compiled(text)
        return await asyncio.to_thread(self._compiled, text)

    def _compiled(self, text: bytes) -> Definition:
        document = parse_json(text, max_bytes=self._limits.max_bytes, max_depth=self._limits.max_depth)
        return Definition(
            compile_workflow(document, self._types, self._limits), canonical(document), document
        )


def node_types_of(text: bytes) -> dict[str, str]:
    """Node id to type, from a stored definition that may not compile here any more."""
    document = decode(text)
    nodes = document.get("nodes", []) if isinstance(document, dict) else []
    return {str(node["id"]): str(node.get("type", "")) for node in nodes if "id" in node}
