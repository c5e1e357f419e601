"""Definitions that the tests run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any


def chain(*nodes: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The nodes one after another."""
    ids = [node["id"] for node in nodes]
    edges = [{"source": a, "target": b} for a, b in pairwise(ids)]
    return {"id": "test", "nodes": list(nodes), "edges": edges, **settings}


def node(id_: str, type_: str, **config: Any) -> dict[str, Any]:
    return {"id": id_, "type": type_, "config": config}


def delay(id_: str, milliseconds: int) -> dict[str, Any]:
    return node(id_, "logic.delay", durationMs=milliseconds)


def call(id_: str, url: str, **fields: Any) -> dict[str, Any]:
    return {**node(id_, "http.request", url=url), **fields}


def approval(id_: str, **config: Any) -> dict[str, Any]:
    return node(id_, "human.approval", title="Go on?", **config)


ADD_ONE = {
    **chain(node("a", "data.set", values={"n": "${ input.n + 1 }"}), node("b", "flow.noop")),
    "output": "${ nodes.a.output.n }",
}

LOOP = {
    "id": "loop",
    "nodes": [
        node("each", "logic.foreach", items="${ input.items }"),
        {**node("double", "data.set", values={"n": "${ item * 2 }"}), "parentId": "each"},
    ],
    "edges": [],
}
