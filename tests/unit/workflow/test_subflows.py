"""Definitions inside definitions: what is wrong with them and where, and the graph that they give."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.errors import InvalidWorkflow, Problem
from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.limits import WorkflowLimits
from flow_engine.workflow.subflows import Found, embedded, references
from flow_engine.workflow.validation import compile_workflow, validate_workflow

TYPES = built_in_registry()


def noop(node_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "flow.noop", **fields}


def subflow(node_id: str = "sub", workflow: Any = None, /, **config: Any) -> dict[str, Any]:
    held = {} if workflow is None else {"workflow": workflow}
    return {"id": node_id, "type": "flow.subflow", "config": {**held, **config}}


def flow(*nodes: Any, **fields: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), **fields}


def nest(depth: int) -> dict[str, Any]:
    return flow(noop("leaf")) if depth == 0 else flow(subflow("sub", nest(depth - 1)))


def found(document: Any) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in validate_workflow(document, TYPES)]


INNER = "/nodes/0/config/workflow"


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        (flow(subflow()), [("/nodes/0/config", "MISSING_FIELD")]),
        (flow(subflow(workflowId="w")), [("/nodes/0/config/workflowId", "UNKNOWN_WORKFLOW")]),
        (flow(subflow("sub", {"nodes": []})), [(f"{INNER}/nodes", "NO_NODES")]),
        (flow(subflow("sub", 5)), [("/nodes/0/config/workflow", "WRONG_TYPE")]),
        (flow(subflow("sub", flow({"id": "a", "type": "x.y"}))), [(f"{INNER}/nodes/0/type", "UNKNOWN_TYPE")]),
        (flow(subflow("sub", flow(noop("a")), version=0)), [("/nodes/0/config/version", "OUT_OF_RANGE")]),
        (
            flow(subflow("sub", flow(noop("a"), output="${ nodes.b.output }")), noop("b")),
            [(f"{INNER}/output", "UNKNOWN_NODE")],
        ),
        (
            flow(subflow("sub", flow(noop("a")), input="${ nodes.a.output }")),
            [("/nodes/0/config/input", "UNKNOWN_NODE")],
        ),
        (
            flow(subflow("sub", flow(noop("a"))), noop("b", parentId="sub")),
            [("/nodes/1/parentId", "PARENT_NOT_CONTAINER")],
        ),
        (nest(9), [("/nodes/0/config" + 8 * "/workflow/nodes/0/config", "SUBFLOW_TOO_DEEP")]),
    ],
)
def test_problems_are_named_where_they_are(document: Any, problems: list[tuple[str, str]]) -> None:
    assert found(document) == problems


def test_what_was_found_under_a_name_is_blamed_on_the_name() -> None:
    (problem,) = validate_workflow(
        flow(subflow("sub", flow({"id": "a", "type": "x.y"}), workflowId="w", version=3)), TYPES
    )
    assert (problem.path, problem.code) == ("/nodes/0/config/workflowId", "UNKNOWN_TYPE")
    assert problem.message == "in workflow 'w', version 3, at '/nodes/0/type': unknown type 'x.y'"


def test_eight_sub_flows_may_stand_in_one_another() -> None:
    assert found(nest(8)) == []
    graph = compile_workflow(nest(8), TYPES)
    assert "/".join(["sub"] * 8 + ["leaf"]) in graph.nodes


def test_the_nodes_of_sub_flows_count() -> None:
    five = flow(*(noop(f"n{n}") for n in range(5)))
    document = flow(subflow("a", five), subflow("b", five))
    limits = WorkflowLimits(max_nodes=11)
    assert [problem.code for problem in validate_workflow(document, TYPES, limits)] == ["TOO_MANY_NODES"]
    assert validate_workflow(document, TYPES, WorkflowLimits(max_nodes=12)) == []


def test_why_a_definition_is_missing_is_told_where_it_is_named() -> None:
    document = flow(noop("a"), subflow("sub", flow(subflow("in", workflowId="w"))))
    place = "/nodes/1/config/workflow/nodes/0/config"
    why = {place: Problem("/workflowId", "SUBFLOW_RECURSION", "it runs itself")}
    with pytest.raises(InvalidWorkflow) as caught:
        compile_workflow(document, TYPES, not_found=why)
    assert [(p.path, p.code) for p in caught.value.problems] == [(f"{place}/workflowId", "SUBFLOW_RECURSION")]


def test_the_graph_holds_the_nodes_of_sub_flows_behind_their_containers() -> None:
    loop = {"id": "each", "type": "logic.foreach", "config": {"items": [1]}}
    inner = flow(
        loop, noop("leaf", parentId="each"), vars={"v": 1}, timeoutMs=500, output="${ nodes.each.output }"
    )
    graph = compile_workflow(flow(subflow("sub", inner), noop("last"), edges=[]), TYPES)
    assert list(graph.nodes) == ["sub", "sub/each", "sub/leaf", "last"]
    assert [node.index for node in graph.nodes.values()] == [0, 1, 2, 3]
    leaf = graph.nodes["sub/leaf"]
    assert (leaf.parent_id, leaf.path, leaf.flow) == ("sub/each", ("sub", "sub/each"), "sub")
    assert graph.nodes["sub"].timeout_ms == 500
    assert graph.subflows["sub"].output_reads == frozenset({"sub/each"})
    assert graph.vars_of("sub") == {"v": 1}
    assert [node.id for node in graph.scopes["sub"].nodes] == ["sub/each"]


def test_references_are_found_and_replaced_wherever_a_config_stands() -> None:
    document = flow(
        subflow("a", workflowId="x", version=2),
        {"id": "b", "type": "flow.subflow", "data": {"label": "B", "workflowId": "y"}},
        {"id": "c", "type": "flow.subflow", "data": {"config": {"workflow": flow(subflow(workflowId="z"))}}},
        subflow("known", flow(noop("a")), workflowId="w"),
    )
    places = [
        (reference.path, reference.workflow_id, reference.version)
        for reference in references(document, TYPES)
    ]
    assert places == [
        ("/nodes/0/config", "x", 2),
        ("/nodes/1/data", "y", 0),
        ("/nodes/2/data/config/workflow/nodes/0/config", "z", 0),
    ]
    done = embedded(
        document,
        {reference.place: Found(7, flow(noop("n"))) for reference in references(document, TYPES)},
    )
    assert references(done, TYPES) == []
    assert validate_workflow(done, TYPES) == []
    assert "workflow" not in document["nodes"][0]["config"]
    assert done["nodes"][1]["data"]["version"] == 7
