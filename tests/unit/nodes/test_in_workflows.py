"""Every type inside a definition: constant, with expressions, and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.nodes.contract import NodeType
from flow_engine.workflow.validation import compile_workflow, validate_workflow
from tests.unit.nodes.contexts import BUILT_IN

every_type = pytest.mark.parametrize("kind", list(BUILT_IN), ids=lambda kind: kind.type)


def workflow(kind: NodeType[Any], config: dict[str, Any]) -> dict[str, Any]:
    """The node alone, or a container with a node inside."""
    node = {"id": "tested", "type": kind.type, "config": config}
    holds = kind.container and not kind.subflow
    inside = [{"id": "inside", "type": "flow.noop", "parentId": "tested"}] if holds else []
    return {"id": "test", "nodes": [node, *inside], "edges": []}


@every_type
def test_the_example_compiles(kind: NodeType[Any]) -> None:
    graph = compile_workflow(workflow(kind, kind.example), BUILT_IN)
    assert graph.nodes["tested"].type is kind


@every_type
def test_every_field_may_be_an_expression(kind: NodeType[Any]) -> None:
    for name in kind.example:
        if any(path.split(".")[0] == name for path in kind.deferred):
            continue  # what holds fields that the node evaluates itself is written out
        if name in kind.settled:
            continue
        config = {**kind.example, name: f"${{ input.{name} }}"}
        assert validate_workflow(workflow(kind, config), BUILT_IN) == []


@every_type
def test_what_is_settled_before_anything_runs_is_no_expression(kind: NodeType[Any]) -> None:
    for name in kind.settled:
        config = {**kind.example, name: f"${{ input.{name} }}"}
        found = [
            (problem.path, problem.code) for problem in validate_workflow(workflow(kind, config), BUILT_IN)
        ]
        assert (f"/nodes/0/config/{name}", "EXPRESSION_NOT_ALLOWED") in found


@every_type
def test_a_text_may_hold_an_expression(kind: NodeType[Any]) -> None:
    for name, value in kind.example.items():
        if isinstance(value, str) and name not in ("method", "provider", "mode", "format", "code", "time"):
            config = {**kind.example, name: f"{value}${{ input.more }}"}
            assert validate_workflow(workflow(kind, config), BUILT_IN) == []


@every_type
def test_an_unknown_field_is_named(kind: NodeType[Any]) -> None:
    problems = validate_workflow(workflow(kind, {**kind.example, "noSuchField": 1}), BUILT_IN)
    assert [problem.path for problem in problems] == ["/nodes/0/config/noSuchField"]
