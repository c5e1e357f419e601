"""Definitions that the workloads run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Definition = dict[str, Any]


def chain(length: int, type_name: str = "flow.noop", config: dict[str, Any] | None = None) -> Definition:
    nodes = [
        {"id": f"n{n}", "type": type_name, **({"config": config} if config else {})} for n in range(length)
    ]
    edges = [{"source": f"n{n}", "target": f"n{n + 1}"} for n in range(length - 1)]
    return {"id": f"chain-{length}", "nodes": nodes, "edges": edges}


def fan(width: int) -> Definition:
    sides = [f"n{n}" for n in range(width)]
    return {
        "id": "fan",
        "nodes": [{"id": node_id, "type": "flow.noop"} for node_id in ("start", *sides, "join")],
        "edges": [{"source": "start", "target": side} for side in sides]
        + [{"source": side, "target": "join"} for side in sides],
        "output": "${ nodes.join.status }",
    }


def montage_500() -> Definition:
    """A real graph of WfCommons: 495 tasks, 1,405 edges."""
    definition: Definition = json.loads((ROOT / "examples" / "montage-500.json").read_text())
    return definition


def montage(mosaics: int = 70) -> Definition:
    """A graph of the same kind: 5,000 tasks and 14,370 edges with 70 mosaics, of which montage-500 has seven.

    A mosaic is ten projections, some 46 differences of two or three of them, a fit of all differences, a
    model, ten backgrounds, a table, a sum and a view.
    """
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, str]] = []

    def task(name: str, *parents: str) -> str:
        nodes.append({"id": name, "type": "logic.delay", "config": {"durationMs": 0}})
        edges.extend({"source": parent, "target": name} for parent in parents)
        return name

    for m in range(mosaics):
        projects = [task(f"project-{m}-{n}") for n in range(10)]
        differences = [
            task(f"difference-{m}-{n}", *(projects[(n + side) % 10] for side in range(2 + n % 2)))
            for n in range(47 if m % 7 < 3 else 46)
        ]
        model = task(f"model-{m}", task(f"fit-{m}", *differences))
        corrected = [task(f"background-{m}-{n}", model, project) for n, project in enumerate(projects)]
        task(f"view-{m}", task(f"sum-{m}", task(f"table-{m}", *corrected), *corrected))
    return {"id": f"montage-{len(nodes)}", "nodes": nodes, "edges": edges}


def approvals(count: int) -> Definition:
    """Waits for a person so many times, with three steps after each."""

    def steps() -> Iterator[dict[str, Any]]:
        for n in range(count):
            yield {"id": f"ok{n}", "type": "human.approval", "config": {"title": f"Go on ({n})?"}}
            yield from ({"id": f"after{n}-{side}", "type": "flow.noop"} for side in range(3))

    nodes = list(steps())
    edges: list[dict[str, Any]] = []
    for before, after in pairwise(nodes):
        handle = {"sourceHandle": "approved"} if before["type"] == "human.approval" else {}
        edges.append({"source": before["id"], "target": after["id"], **handle})
    return {"id": f"approvals-{count}", "nodes": nodes, "edges": edges}


def fibonacci(length: int, n: int, *, threaded: bool = False) -> Definition:
    definition = chain(length, "bench.fibThreaded" if threaded else "bench.fib", {"n": n})
    return {**definition, "id": f"fib-{length}-{n}"}


def start_body(definition: Definition, mode: str) -> bytes:
    return json.dumps({"workflow": definition, "input": {"n": 1}, "mode": mode}).encode()
