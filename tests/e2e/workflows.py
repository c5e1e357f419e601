"""Small workflows that the end-to-end tests share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

Workflow = dict[str, Any]

SMALL: Workflow = {
    "id": "small",
    "nodes": [
        {"id": "sum", "type": "data.set", "config": {"values": {"total": "${ input.a + input.b }"}}},
        {"id": "big", "type": "logic.if", "config": {"condition": "${ nodes.sum.output.total > 10 }"}},
        {
            "id": "yes",
            "type": "data.set",
            "config": {"values": {"size": "big", "of": "${ nodes.sum.output.total }"}},
        },
        {"id": "no", "type": "data.set", "config": {"values": {"size": "small"}}},
        {"id": "end", "type": "flow.noop"},
    ],
    "edges": [
        {"source": "sum", "target": "big"},
        {"source": "big", "sourceHandle": "true", "target": "yes"},
        {"source": "big", "sourceHandle": "false", "target": "no"},
        {"source": "yes", "target": "end"},
        {"source": "no", "target": "end"},
    ],
}

ECHO: Workflow = {"id": "echo", "nodes": [{"id": "echo", "type": "flow.noop"}], "edges": []}

APPROVAL: Workflow = {
    "id": "approval",
    "nodes": [
        {"id": "before", "type": "data.set", "config": {"values": {"amount": "${ input.amount }"}}},
        {"id": "ok", "type": "human.approval", "config": {"title": "Pay ${ input.amount }?"}},
        {"id": "paid", "type": "data.set", "config": {"values": {"by": "${ nodes.ok.output.comment }"}}},
        {"id": "refused", "type": "flow.fail", "config": {"code": "REFUSED", "message": "no"}},
    ],
    "edges": [
        {"source": "before", "target": "ok"},
        {"source": "ok", "sourceHandle": "approved", "target": "paid"},
        {"source": "ok", "sourceHandle": "rejected", "target": "refused"},
    ],
}


def calls(url: str, *paths: str, **config: Any) -> Workflow:
    """One http.request after another."""
    nodes = [
        {"id": path, "type": "http.request", "config": {"method": "POST", "url": f"{url}/{path}", **config}}
        for path in paths
    ]
    edges = [{"source": a, "target": b} for a, b in pairwise(paths)]
    return {"id": "calls", "nodes": nodes, "edges": edges}


def held_call(url: str, path: str = "held", hold_ms: int = 30_000) -> Workflow:
    """A call that is answered late, with a step before and after it."""
    return {
        "id": "held-call",
        "nodes": [
            {"id": "first", "type": "http.request", "config": {"method": "POST", "url": f"{url}/first"}},
            {
                "id": path,
                "type": "http.request",
                "config": {"method": "POST", "url": f"{url}/{path}?hold={hold_ms}"},
            },
            {"id": "last", "type": "http.request", "config": {"method": "POST", "url": f"{url}/last"}},
        ],
        "edges": [{"source": "first", "target": path}, {"source": path, "target": "last"}],
    }


def foreach_calls(url: str, concurrency: int = 2) -> Workflow:
    return {
        "id": "foreach-calls",
        "nodes": [
            {
                "id": "each",
                "type": "logic.foreach",
                "config": {"items": "${ input.items }", "concurrency": concurrency},
            },
            {
                "id": "call",
                "type": "http.request",
                "parentId": "each",
                "config": {"method": "POST", "url": url + "/item/${ item }", "body": {"item": "${ item }"}},
            },
        ],
        "edges": [],
        "output": "${ nodes.each.output.map(r, r.status) }",
    }
