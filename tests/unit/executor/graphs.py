"""Definitions compiled for tests, with the built-in node types."""

from __future__ import annotations

from typing import Any

from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.validation import compile_workflow

TYPES = built_in_registry()


def node(id_: str, type_: str = "flow.noop", parent: str = "", **fields: Any) -> dict[str, Any]:
    config = fields.pop("config", {})
    around = {"parentId": parent} if parent else {}
    return {"id": id_, "type": type_, "config": config, **around, **fields}


def http(id_: str, parent: str = "", **fields: Any) -> dict[str, Any]:
    return node(id_, "http.request", parent, config={"url": "http://127.0.0.1/"}, **fields)


def foreach(id_: str, parent: str = "") -> dict[str, Any]:
    return node(id_, "logic.foreach", parent, config={"items": [1, 2, 3]})


def graph(nodes: list[dict[str, Any]], *edges: str) -> WorkflowGraph:
    """edges: `a>b`, or `a:handle>b`."""
    document = {"nodes": nodes, "edges": [edge(text) for text in edges]}
    return compile_workflow(document, TYPES)


def edge(text: str) -> dict[str, Any]:
    source, _, target = text.partition(">")
    source, _, handle = source.partition(":")
    return {"source": source, "target": target, **({"sourceHandle": handle} if handle else {})}
