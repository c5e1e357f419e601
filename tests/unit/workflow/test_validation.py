from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any, ClassVar

import pytest
from pydantic import Field

from flow_engine.errors import InvalidWorkflow, Problem
from flow_engine.expressions import Template
from flow_engine.nodes.contract import Effect, NodeConfig, NodeContext, NodeType, Outcome
from flow_engine.nodes.deferred import DeferredCondition
from flow_engine.nodes.registry import NodeRegistry, built_in_registry
from flow_engine.workflow.graph import GraphEdge, GraphNode, RetryPolicy, WorkflowGraph
from flow_engine.workflow.limits import WorkflowLimits
from flow_engine.workflow.validation import check_input, compile_workflow, validate_workflow
from tests.unit.workflow.invalid_cases import data, edge, loop, nodes, noop


class RepeatConfig(NodeConfig):
    until: DeferredCondition = Field(description="Stops when it holds.")


class Repeat(NodeType[RepeatConfig]):
    """Repeats what is inside it."""

    type = "test.repeat"
    title = "Repeat"
    config_model = RepeatConfig
    example: ClassVar[dict[str, Any]] = {"until": "${ last > 3 }"}
    container = True
    deferred: ClassVar[dict[str, frozenset[str]]] = {"until": frozenset(("last",))}


class SendConfig(NodeConfig):
    to: str = Field(description="Address.")


class Send(NodeType[SendConfig]):
    """Sends something, at most once."""

    type = "test.send"
    title = "Send"
    config_model = SendConfig
    example: ClassVar[dict[str, Any]] = {"to": "a@example.org"}
    effect = Effect.EXTERNAL
    at_most_once = True

    async def run(self, context: NodeContext, config: SendConfig) -> Outcome:
        raise NotImplementedError


@pytest.fixture(scope="module")
def types() -> NodeRegistry:
    registry = built_in_registry()
    registry._types |= {kind.type: kind() for kind in (Repeat, Send)}
    return registry


def compiled(document: Any, types: NodeRegistry) -> WorkflowGraph:
    return compile_workflow(document, types)


def node(graph: WorkflowGraph, node_id: str) -> GraphNode:
    return graph.nodes[node_id]


def switch(node_id: str, *handles: str) -> dict[str, Any]:
    return {
        "id": node_id,
        "type": "logic.switch",
        "config": {
            "cases": [{"when": f"${{ input.x == '{handle}' }}", "handle": handle} for handle in handles]
        },
    }


# What a graph holds


def test_nodes_keep_their_declaration_order_and_know_their_edges(types: NodeRegistry) -> None:
    graph = compiled(nodes(noop("b"), noop("a"), noop("c"), edges=[edge("a", "c"), edge("b", "c")]), types)

    assert list(graph.nodes) == ["b", "a", "c"]
    assert [found.index for found in graph.nodes.values()] == [0, 1, 2]
    assert node(graph, "c").incoming == (GraphEdge("a", "c", ""), GraphEdge("b", "c", ""))
    assert node(graph, "a").outgoing == (GraphEdge("a", "c", ""),)


def test_an_edge_said_twice_is_one_edge_and_other_handles_are_others(types: NodeRegistry) -> None:
    edges = [edge("s", "a", "x"), edge("s", "a", "x"), edge("s", "a", "y"), edge("s", "a")]
    graph = compiled(nodes(switch("s", "x", "y"), noop("a"), edges=edges), types)
    assert [found.handle for found in node(graph, "a").incoming] == ["x", "y", ""]


@pytest.mark.parametrize(("join", "needed"), [("all", 0), ("any", 1), (1, 1), (2, 2)])
def test_a_join_says_how_many_edges_are_needed(join: Any, needed: int, types: NodeRegistry) -> None:
    document = nodes(noop("a"), noop("b"), noop("c", join=join), edges=[edge("a", "c"), edge("b", "c")])
    assert node(compiled(document, types), "c").needed == needed


def test_containers_open_scopes_even_when_empty(types: NodeRegistry) -> None:
    document = nodes(
        loop("outer"),
        loop("inner", parentId="outer"),
        noop("leaf", parentId="inner"),
        loop("empty"),
        noop("top"),
    )
    graph = compiled(document, types)

    members = {scope: [found.id for found in inside.nodes] for scope, inside in graph.scopes.items()}
    assert members == {None: ["outer", "empty", "top"], "outer": ["inner"], "inner": ["leaf"], "empty": []}
    assert node(graph, "leaf").path == ("outer", "inner")
    assert node(graph, "leaf").parent_id == "inner"


def test_an_error_edge_implies_branch(types: NodeRegistry) -> None:
    document = nodes(noop("a"), noop("b"), noop("c", onError="continue"), edges=[edge("a", "b", "error")])
    graph = compiled(document, types)
    assert [found.on_error for found in graph.nodes.values()] == ["branch", "fail", "continue"]


def test_retry_and_time_outs_are_taken_over(types: NodeRegistry) -> None:
    retry = {
        "maxAttempts": 4,
        "initialIntervalMs": 200,
        "backoffCoefficient": 3,
        "jitter": 0.2,
        "retryOn": ["TIMEOUT"],
    }
    document = nodes(
        noop("a", retry=retry, timeoutMs=5000), noop("b"), retry={}, timeoutMs=60_000, maxParallel=3
    )
    graph = compiled(document, types)

    assert node(graph, "a").retry == RetryPolicy(4, 200, 3.0, 60_000, 0.2, frozenset(("TIMEOUT",)))
    assert node(graph, "b").retry is None
    assert graph.retry == RetryPolicy()
    assert (node(graph, "a").timeout_ms, graph.timeout_ms, graph.max_parallel) == (5000, 60_000, 3)


def test_at_most_once_comes_from_the_type_unless_the_node_says_otherwise(types: NodeRegistry) -> None:
    send = {"type": "test.send", "config": {"to": "x"}}
    graph = compiled(
        nodes({"id": "a", **send}, {"id": "b", **send, "atMostOnce": False}, noop("c", atMostOnce=True)),
        types,
    )
    assert [found.at_most_once for found in graph.nodes.values()] == [True, False, True]


# Configs


def test_a_constant_config_is_validated_once(types: NodeRegistry) -> None:
    graph = compiled(nodes(data("a", {"deep": [1, "$${ x }"]}), data("b", "${ input.x }")), types)

    constant = node(graph, "a").constant_config
    assert constant is not None
    assert constant.model_dump() == {"values": {"v": {"deep": [1, "${ x }"]}}}
    assert node(graph, "b").constant_config is None
    assert node(graph, "b").config.render({"input": {"x": 2**60}}) == {"values": {"v": 2**60}}


def test_deferred_fields_reach_the_node_as_templates(types: NodeRegistry) -> None:
    graph = compiled(nodes(switch("s", "x"), data("a", 1)), types)

    constant: Any = node(graph, "s").constant_config
    assert isinstance(constant.cases[0].when, Template)
    assert constant.cases[0].when.render({"input": {"x": "x"}}) is True
    assert node(graph, "s").raw_config == switch("s", "x")["config"]


def test_deferred_fields_beside_expressions_survive_rendering(types: NodeRegistry) -> None:
    document = switch("s", "x")
    document["config"]["cases"].append({"when": True, "handle": "${ input.h }"})
    config: Any = node(compiled(nodes(document), types), "s").config.render({"input": {"h": "y"}})

    assert isinstance(config["cases"][0]["when"], Template)
    assert config["cases"][1]["handle"] == "y"


def test_deferred_fields_may_use_their_own_variables_and_only_they(types: NodeRegistry) -> None:
    document = nodes(
        {"id": "r", "type": "test.repeat", "config": {"until": "${ last > 3 }"}},
        data("in", "${ last }", parentId="r"),
    )
    (problem,) = validate_workflow(document, types)
    assert (problem.path, problem.code) == ("/nodes/1/config/values/v", "UNKNOWN_VARIABLE")


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("${ nodes.a.output.x + nodes['b'].status }", frozenset("ab")),
        ("${ input.x }", frozenset()),
        ("${ nodes[input.x].output }", None),
        ("${ get(nodes.a.output, 1) }", frozenset("a")),
    ],
)
def test_a_node_tells_which_nodes_it_reads(
    expression: str, reads: frozenset[str] | None, types: NodeRegistry
) -> None:
    document = nodes(noop("a"), noop("b"), data("c", expression), edges=[edge("a", "c"), edge("b", "c")])
    assert node(compiled(document, types), "c").reads == reads


def test_what_a_deferred_field_reads_counts(types: NodeRegistry) -> None:
    document = switch("s")
    document["config"]["cases"] = [{"when": "${ nodes.a.output }", "handle": "x"}]
    graph = compiled(nodes(noop("a"), document, edges=[edge("a", "s")]), types)
    assert node(graph, "s").reads == frozenset("a")


# The workflow itself


def test_the_output_is_a_template_over_every_node_at_the_top(types: NodeRegistry) -> None:
    graph = compiled(
        nodes(noop("a"), noop("b"), output={"a": "${ nodes.a.output }", "b": "${ nodes['b'].output }"}), types
    )
    assert graph.output is not None
    assert graph.output_reads == frozenset("ab")


def test_an_absent_output_stays_absent(types: NodeRegistry) -> None:
    graph = compiled(nodes(noop("a")), types)
    assert (graph.output, graph.output_reads, graph.id, graph.name, graph.max_parallel) == (
        None,
        frozenset(),
        "",
        "",
        64,
    )


def test_vars_are_constants_with_escapes_undone(types: NodeRegistry) -> None:
    graph = compiled(
        nodes(data("a", "${ vars.rates.eur * 2 }"), vars={"rates": {"eur": 3}, "text": "$${ x }"}), types
    )
    assert graph.vars == {"rates": {"eur": 3}, "text": "${ x }"}


def test_equal_definitions_have_equal_hashes_whatever_their_white_space(types: NodeRegistry) -> None:
    document = nodes(noop("a"), name="x")
    assert compiled(document, types).definition_hash == compiled(dict(document), types).definition_hash
    assert (
        compiled(document, types).definition_hash
        != compiled({**document, "name": "y"}, types).definition_hash
    )


def test_the_example_of_every_node_type_is_valid(types: NodeRegistry) -> None:
    for node_type in types:
        document = nodes({"id": "a", "type": node_type.type, "config": node_type.example})
        assert validate_workflow(document, types) == []


# What may be referred to


@pytest.mark.parametrize(
    "document",
    [
        nodes(noop("a"), noop("b"), data("c", "${ nodes.a.output }"), edges=[edge("a", "b"), edge("b", "c")]),
        nodes(noop("a"), data("b", "${ nodes.a.error.code }"), edges=[edge("a", "b", "error")]),
        nodes(
            noop("a"), loop(), data("in", "${ nodes.a.output }", parentId="loop"), edges=[edge("a", "loop")]
        ),
        nodes(loop(), data("in", "${ item + index + iteration[0] + loops.loop.index }", parentId="loop")),
        nodes(
            loop("o"), loop("i", parentId="o"), data("in", "${ loops.o.item + loops.i.item }", parentId="i")
        ),
        nodes(loop("o"), loop("i", parentId="o", config={"items": "${ item }"})),
        nodes(data("a", "${ [1, 2].map(itme, itme * 2) }")),
        nodes(data("a", "${ has(input.x) && execution.id != '' }")),
        nodes(noop("node-1"), data("b", '${ nodes["node-1"].output }'), edges=[edge("node-1", "b")]),
        nodes(data("a", "$${ not.an.expression")),
        nodes(noop(), concurrency={"key": "${ input.customer }", "limit": 2, "onLimit": "queue"}),
        nodes(noop(), noop("b", join=1), edges=[edge("a", "b"), edge("a", "b")]),
    ],
)
def test_a_right_definition_is_valid(document: Any, types: NodeRegistry) -> None:
    assert validate_workflow(document, types) == []


def test_an_edge_to_nowhere_does_not_also_blame_the_references_along_it(types: NodeRegistry) -> None:
    document = nodes(
        noop("a"),
        noop("b"),
        data("c", "${ nodes.a.output }"),
        edges=[edge("a", "bb"), edge("b", "c"), edge("x", "b")],
    )
    found = [(problem.path, problem.code) for problem in validate_workflow(document, types)]
    assert found == [("/edges/0/target", "UNKNOWN_NODE"), ("/edges/2/source", "UNKNOWN_NODE")]


def test_a_cycle_does_not_also_blame_references(types: NodeRegistry) -> None:
    document = nodes(data("a", "${ nodes.b.output }"), noop("b"), edges=[edge("a", "b"), edge("b", "a")])
    assert [problem.code for problem in validate_workflow(document, types)] == ["CYCLE"]


# Inputs

SCHEMA = {
    "type": "object",
    "properties": {
        "orderId": {"type": "integer", "minimum": 1},
        "code": {"type": "string", "pattern": "^(a+)+$"},
        "lines": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/line"}},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "required": ["orderId"],
    "additionalProperties": False,
    "$defs": {"line": {"type": "object", "required": ["sku"]}},
}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"orderId": 2**60, "x-note": "a", "lines": [{"sku": 1}, {"sku": 2}]}, []),
        ({}, [("/orderId", "MISSING_FIELD")]),
        (None, [("", "WRONG_TYPE")]),
        ({"orderId": 0}, [("/orderId", "OUT_OF_RANGE")]),
        ({"orderId": True}, [("/orderId", "WRONG_TYPE")]),
        ({"orderId": 1, "x-note": 5}, [("/x-note", "WRONG_TYPE")]),
        ({"orderId": 1, "orderid": 1}, [("/orderid", "UNKNOWN_FIELD")]),
        ({"orderId": 1, "lines": [{}]}, [("/lines/0/sku", "MISSING_FIELD")]),
        ({"orderId": 1, "lines": [{"sku": 1}, {"sku": 1.0}]}, [("/lines", "INVALID_VALUE")]),
        ({"orderId": 1, "code": "a" * 30_000 + "b"}, [("/code", "INVALID_VALUE")]),
    ],
)
def test_the_input_is_held_against_its_schema(
    value: Any, found: list[tuple[str, str]], types: NodeRegistry
) -> None:
    graph = compiled(nodes(noop(), inputSchema=SCHEMA), types)
    assert [(problem.path, problem.code) for problem in check_input(graph, value)] == found


def test_without_a_schema_any_input_fits(types: NodeRegistry) -> None:
    assert check_input(compiled(nodes(noop()), types), 5) == []


def test_a_schema_that_multiplies_its_work_is_stopped(types: NodeRegistry) -> None:
    tree = {"$ref": "#/$defs/t"}
    schema = {**tree, "$defs": {"t": {"allOf": [{"properties": {"a": tree}}] * 3}}}
    value: Any = 1
    for _ in range(40):
        value = {"a": value}
    graph = compiled(nodes(noop(), inputSchema=schema), types)

    begun = time.process_time()
    found = check_input(graph, value)
    assert [problem.code for problem in found] == ["SCHEMA_TOO_EXPENSIVE"]
    assert time.process_time() - begun < 1


# Many at once


def large(size: int) -> dict[str, Any]:
    kinds: list[Any] = [
        lambda i: {"type": "logic.delay", "config": {"durationMs": i}},
        lambda i: {
            "type": "data.set",
            "config": {"values": {"v": f"${{ nodes.n{i - 1}.output.durationMs + {i % 100} }}"}},
        },
        lambda i: {"type": "http.request", "config": {"url": "https://shop.example/orders/${ input.id }"}},
        lambda i: {"type": "flow.noop"},
    ]
    items = [{"id": f"n{i}", **kinds[i % 4](i)} for i in range(size)]
    edges = [edge(f"n{i - step}", f"n{i}") for i in range(size) for step in (1, 2, 3, 5, 8) if i >= step]
    return nodes(*items, edges=edges)


def plant(document: dict[str, Any], count: int) -> set[tuple[str, str]]:
    """Spoil every so-manieth node or edge. Returns (path, code) of each problem."""
    size, planted = len(document["nodes"]), set()
    for number in range(count):
        at = number * (size // count) + 7
        item = document["nodes"][at]
        match number % 8:
            case 0:
                item["type"] = "http.reqest"
                planted.add((f"/nodes/{at}/type", "UNKNOWN_TYPE"))
            case 1:
                item["timeoutMs"] = 0
                planted.add((f"/nodes/{at}/timeoutMs", "OUT_OF_RANGE"))
            case 2:
                item["confg"] = {}
                planted.add((f"/nodes/{at}/confg", "UNKNOWN_FIELD"))
            case 3:
                item |= {"type": "data.set", "config": {"values": {"v": f"${{ nodes.n{at}.output + }}"}}}
                planted.add((f"/nodes/{at}/config/values/v", "SYNTAX_ERROR"))
            case 4:
                item |= {"type": "data.set", "config": {"values": {"v": f"${{ nodes.n{size - 1}.output }}"}}}
                planted.add((f"/nodes/{at}/config/values/v", "NOT_UPSTREAM"))
            case 5:
                item |= {"type": "logic.delay", "config": {"durationMs": "soon"}}
                planted.add((f"/nodes/{at}/config/durationMs", "WRONG_TYPE"))
            case 6:
                document["edges"][at]["target"] = f"nn{at}"
                planted.add((f"/edges/{at}/target", "UNKNOWN_NODE"))
            case _:
                item |= {"type": "data.set", "config": {"values": {"v": "${ inptu.x }"}}}
                planted.add((f"/nodes/{at}/config/values/v", "UNKNOWN_VARIABLE"))
    return planted


def test_two_hundred_problems_among_ten_thousand_nodes_are_all_named(types: NodeRegistry) -> None:
    random.seed(1)
    document = large(10_000)
    planted = plant(document, 200)

    problems = validate_workflow(document, types)

    assert Counter((problem.path, problem.code) for problem in problems) == Counter(planted)
    assert all(problem.message and problem.hint for problem in problems if problem.code in HINTED)


HINTED = {"UNKNOWN_TYPE", "UNKNOWN_FIELD", "UNKNOWN_VARIABLE", "NOT_UPSTREAM"}


def test_more_problems_than_an_answer_holds_are_counted(types: NodeRegistry) -> None:
    document = nodes(*[noop(f"a/{i}") for i in range(30)])
    problems = validate_workflow(document, types, WorkflowLimits(max_problems=10))
    assert len(problems) == 11
    assert problems[-1] == Problem("", "TOO_MANY_PROBLEMS", "and at least 11 problems more")


def test_more_expressions_than_a_definition_may_hold_are_refused_unread(types: NodeRegistry) -> None:
    document = nodes(data("a", ["${ 1 }"] * 30))
    (problem,) = validate_workflow(document, types, WorkflowLimits(max_expressions=29))
    assert (problem.path, problem.code) == ("", "TOO_MANY_EXPRESSIONS")


@pytest.mark.parametrize(
    "document",
    [
        nodes(noop("a", **{f"f{i}": 1 for i in range(30_000)})),
        nodes(
            *[noop(f"n{i}") for i in range(3000)],
            edges=[edge(f"n{i + 1}", f"n{i}") for i in range(2999)] + [edge("n0", "n1")],
        ),
        nodes(*[loop(f"l{i}", parentId=f"l{i - 1}") for i in range(3000)]),
        nodes(data("a", {f"k{i}": "${ + }" for i in range(3000)})),
        nodes({"id": "a", "type": "logic.foreach", "config": {f"k{i}": "x${ input }" for i in range(5000)}}),
        nodes(
            data("a", {f"k{i}": 1 for i in range(20_000)}),
            *[data(f"b{i}", "${ nodes.a.output.v.x }") for i in range(300)],
        ),
    ],
    ids=["fields", "cycle with a tail", "containers", "expressions", "texts", "references"],
)
def test_no_mistake_takes_long_to_refuse(document: Any, types: NodeRegistry) -> None:
    begun = time.process_time()
    assert validate_workflow(document, types)
    assert time.process_time() - begun < 2  # usually below 0.2 s; a slip to quadratic work takes far longer


def test_the_exception_carries_the_problems_in_document_order(types: NodeRegistry) -> None:
    document = {"edges": [edge("a", "x")], "nodes": [noop(timeoutMs=0)]}
    with pytest.raises(InvalidWorkflow) as caught:
        compile_workflow(document, types)
    assert [problem.path for problem in caught.value.problems] == ["/edges/0/target", "/nodes/0/timeoutMs"]
    assert caught.value.reason == "INVALID_WORKFLOW"
