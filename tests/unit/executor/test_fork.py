"""What a retry keeps, as tables: steps to what is left of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flow_engine.errors import NodeNotFound
from flow_engine.interpreter.events import ExecutionForked, Failure, Generation
from flow_engine.interpreter.steps import Step, StepsView
from flow_engine.workflow.graph import WorkflowGraph
from services.executor.fork import fork
from tests.unit.executor.graphs import foreach, graph, http, node

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHAIN = graph([http("a"), http("b"), http("c")], "a>b", "b>c")
DIAMOND = graph([node("a"), node("b"), node("c"), node("d", join="any")], "a>b", "a>c", "b>d", "c>d")
LOOP = graph(
    [node("first"), foreach("each"), http("x", "each"), http("y", "each"), node("last")],
    "first>each",
    "x>y",
    "each>last",
)


def steps(text: str) -> StepsView:
    """`a:completed x[0]:failed`; failed is unhandled, caught is failed and continued."""
    view = StepsView()
    for word in text.split():
        name, _, status = word.partition(":")
        node_id, _, path = name.rstrip("]").partition("[")
        iteration = tuple(int(part) for part in path.split(".")) if path else ()
        step = Step(node_id, status, 1, NOW, NOW, 0, iteration)
        if status in ("failed", "caught"):
            step.status, step.error = "failed", Failure("X", "x")
            step.handled = "fail" if status == "failed" else "continue"
        if node_id == "each":
            step.item_count = 3
        view.steps.append(step)
    return view


def kept(event: ExecutionForked) -> str:
    return " ".join(name(step) for step in event.kept)


def generations(event: ExecutionForked) -> dict[str, int]:
    return {name(generation): generation.generation for generation in event.generations}


def name(value: Any) -> str:
    path = ".".join(map(str, value.iteration))
    return f"{value.node_id}[{path}]" if path else str(value.node_id)


CASES: list[tuple[str, WorkflowGraph, str, str, str, dict[str, int]]] = [
    (
        "the failed step runs again under a new key",
        CHAIN,
        "a:completed b:failed c:cancelled",
        "",
        "a",
        {"b": 1},
    ),
    ("an interrupted step keeps its key", CHAIN, "a:completed b:cancelled", "", "a", {}),
    (
        "from a node on, all downstream runs again",
        CHAIN,
        "a:completed b:completed c:failed",
        "b",
        "a",
        {"b": 1, "c": 1},
    ),
    (
        "a handled failure is an outcome",
        graph([http("a", onError="continue"), http("b"), http("c")], "a>b", "b>c"),
        "a:caught b:completed c:failed",
        "",
        "a b",
        {"c": 1},
    ),
    ("a skipped step stays skipped", CHAIN, "a:completed b:skipped c:cancelled", "", "a b", {}),
    (
        "a join that one branch satisfied needs only that one",
        DIAMOND,
        "a:completed b:completed d:completed c:failed",
        "",
        "a b d",
        {},
    ),
    (
        "a join runs again with the branch that satisfied it",
        DIAMOND,
        "a:completed b:completed d:completed c:cancelled",
        "b",
        "a",
        {},
    ),
    (
        "a finished container is kept whole, without its inside",
        LOOP,
        "first:completed each:completed x[0]:completed y[0]:completed last:failed",
        "",
        "first each",
        {"x[0]": 1, "y[0]": 1},
    ),
    (
        "what was done inside an unfinished container is kept",
        LOOP,
        "first:completed each:failed x[0]:completed y[0]:completed x[1]:completed y[1]:failed x[2]:cancelled",
        "",
        "first x[0] y[0] x[1]",
        {"y[1]": 1},
    ),
    (
        "from a node inside, its container opens again and keeps the rest",
        LOOP,
        "first:completed each:completed x[0]:completed y[0]:completed last:failed",
        "y",
        "first x[0]",
        {"y[0]": 1},
    ),
    (
        "what the items come from runs again, so nothing inside is kept",
        LOOP,
        "first:completed each:failed x[0]:completed y[0]:failed",
        "first",
        "",
        {"x[0]": 1, "y[0]": 1},
    ),
]


@pytest.mark.parametrize(
    ("definition", "before", "from_node", "keeps", "keys"),
    [case[1:] for case in CASES],
    ids=[c[0] for c in CASES],
)
def test_fork(
    definition: WorkflowGraph, before: str, from_node: str, keeps: str, keys: dict[str, int]
) -> None:
    event = fork(definition, steps(before), from_node, NOW)
    assert kept(event) == keeps
    assert generations(event) == keys


def test_generations_go_on_from_those_of_the_execution_before() -> None:
    view = steps("a:completed b:failed")
    view.forked = ExecutionForked(time=NOW, generations=(Generation(node_id="b", generation=2),))
    assert generations(fork(CHAIN, view, "", NOW)) == {"b": 3}


def test_a_loop_without_items_keeps_nothing_beyond_the_first_iteration_that_runs_again() -> None:
    view = steps("first:completed each:failed x[0]:completed y[0]:completed x[1]:completed y[1]:failed")
    for step in view.steps:
        step.item_count = None
    assert kept(fork(LOOP, view, "", NOW)) == "first x[0] y[0] x[1]"
    view.steps[2].status = "cancelled"
    assert kept(fork(LOOP, view, "", NOW)) == "first"


def test_each_of_several_ways_that_were_taken_counts() -> None:
    ways = {"mode": "all", "cases": [{"when": True, "handle": "x"}, {"when": True, "handle": "y"}]}
    definition = graph(
        [node("a", "logic.switch", config=ways), http("b"), node("c", join="any")], "a:x>b", "a:y>c", "b>c"
    )
    view = steps("a:completed b:cancelled c:completed")
    view.steps[0].handles = ("x", "y")
    event = fork(definition, view, "", NOW)
    assert kept(event) == "a c"
    assert event.kept[0].handles == ("x", "y")


def test_a_node_that_is_not_there_is_refused() -> None:
    with pytest.raises(NodeNotFound):
        fork(CHAIN, steps("a:failed"), "z", NOW)
