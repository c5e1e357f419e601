from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.registry import NodeRegistry, built_in_registry
from flow_engine.workflow.validation import compile_workflow
from services.executor.analyzer import ComplexityAnalysis, ComplexityAnalyzer, Thresholds, spoken
from services.executor.durations.learned import NOTHING_KNOWN, Knowledge

DEFAULTS = Thresholds()
EXAMPLES = Path(__file__).parents[3] / "examples"


class ProbeConfig(NodeConfig):
    ms: float = Field(default=0, description="How long it says that it takes.")


class Probe(NodeType[ProbeConfig]):
    """Says of itself what its config says."""

    type = "test.probe"
    title = "Probe"
    config_model = ProbeConfig
    example: ClassVar[dict[str, Any]] = {"ms": 1}

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        value = config["ms"]
        return math.inf if value == "inf" else float(value)

    async def run(self, context: NodeContext, config: ProbeConfig) -> Completed:
        raise NotImplementedError


class Courier(Probe):
    """Acts on the outside, under a name that does not tell."""

    type = "test.courier"
    effect = Effect.EXTERNAL


class Clerk(Probe):
    """Asks a person, under a name that does not tell."""

    type = "test.clerk"
    human = True


@pytest.fixture(scope="module")
def types() -> NodeRegistry:
    registry = built_in_registry()
    for kind in (Probe, Courier, Clerk):
        registry.register(kind)
    return registry


def node(node_id: str, ms: Any = 0, kind: str = "test.probe", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": kind, "config": {"ms": ms}, **fields}


def loop(node_id: str, items: Any, **fields: Any) -> dict[str, Any]:
    config = {"items": items, "concurrency": fields.pop("concurrency", 1)}
    return {"id": node_id, "type": "logic.foreach", "config": config, **fields}


def chain(*ids: str) -> list[dict[str, str]]:
    return [{"source": source, "target": target} for source, target in pairwise(ids)]


@pytest.fixture
def analyze(types: NodeRegistry) -> Any:
    def run(
        nodes: list[Any],
        edges: Any = (),
        mode: str = "auto",
        thresholds: Thresholds = DEFAULTS,
        **more: Any,
    ) -> ComplexityAnalysis:
        graph = compile_workflow({"nodes": nodes, "edges": list(edges)}, types)
        return ComplexityAnalyzer(thresholds).analyze(graph, mode, **more)

    return run


def fired(analysis: ComplexityAnalysis) -> list[str]:
    return [factor.name for factor in analysis.factors if factor.fired]


def test_a_small_quick_workflow_runs_immediately(analyze: Any) -> None:
    found = analyze([node("a", 5), node("b", 5)], chain("a", "b"))
    assert (found.mode, fired(found), found.estimated_duration_ms) == ("immediate", [], 10)


@pytest.mark.parametrize(("count", "mode"), [(10, "immediate"), (11, "queued")])
def test_more_than_ten_nodes_are_queued(count: int, mode: str, analyze: Any) -> None:
    found = analyze([node(f"n{i}") for i in range(count)])
    assert (found.mode, found.node_count) == (mode, count)


def test_children_of_containers_count_as_nodes(analyze: Any) -> None:
    found = analyze([loop("l", [1]), *[node(f"n{i}", parentId="l") for i in range(10)]])
    assert (found.node_count, fired(found)) == (11, ["nodeCount"])


@pytest.mark.parametrize(("ms", "mode"), [(30_000, "immediate"), (30_001, "queued")])
def test_an_estimate_over_thirty_seconds_is_queued(ms: int, mode: str, analyze: Any) -> None:
    assert analyze([node("a", ms)]).mode == mode


def test_a_person_is_queued_by_what_the_type_declares(analyze: Any) -> None:
    found = analyze([node("a", kind="test.clerk")])
    assert (found.mode, fired(found), found.human_input) == ("queued", ["humanInput"], True)


def test_external_calls_alone_and_loops_alone_run_immediately(analyze: Any) -> None:
    assert analyze([node("a", kind="test.courier")]).mode == "immediate"
    assert analyze([loop("l", [1]), node("a", parentId="l")]).mode == "immediate"


@pytest.mark.parametrize("parent", [{"parentId": "l"}, {}])
def test_external_calls_together_with_loops_are_queued(parent: dict[str, str], analyze: Any) -> None:
    found = analyze([loop("l", [1]), node("a", kind="test.courier", **parent)])
    assert (found.mode, fired(found)) == ("queued", ["externalCallsInLoops"])
    assert (found.external_call_count, found.loop_count) == (1, 1)


def test_a_busy_executor_queues(analyze: Any) -> None:
    found = analyze([node("a")], busy=True)
    assert (found.mode, fired(found)) == ("queued", ["executorBusy"])


def test_thresholds_are_settings(analyze: Any) -> None:
    assert analyze([node("a"), node("b")], thresholds=Thresholds(max_nodes=1)).mode == "queued"
    assert analyze([node("a", 50)], thresholds=Thresholds(max_estimate_ms=49)).mode == "queued"


@pytest.mark.parametrize("mode", ["immediate", "queued"])
def test_an_explicit_mode_is_honoured_and_the_rest_is_told(mode: str, analyze: Any) -> None:
    small, large = analyze([node("a")], mode=mode), analyze([node("a", kind="test.clerk")], mode=mode)
    assert small.mode == large.mode == small.requested_mode == mode
    assert "auto would choose immediate" in small.explanation
    assert "auto would choose queued" in large.explanation
    assert fired(large) == ["humanInput"]


# The estimate


def test_parallel_branches_take_as_long_as_the_longest(analyze: Any) -> None:
    nodes = [node("a", 1), node("b", 20), node("c", 300), node("d", 4000)]
    edges = [*chain("a", "b", "d"), *chain("a", "c", "d")]
    found = analyze(nodes, edges)
    assert (found.estimated_duration_ms, found.max_parallel_paths) == (4301, 2)


def test_nodes_without_edges_run_side_by_side(analyze: Any) -> None:
    found = analyze([node("a", 10), node("b", 30), node("c", 20)])
    assert (found.estimated_duration_ms, found.max_parallel_paths) == (30, 3)


def test_no_more_paths_run_side_by_side_than_the_workflow_allows(types: NodeRegistry) -> None:
    graph = compile_workflow({"nodes": [node(f"n{i}") for i in range(9)], "maxParallel": 4}, types)
    assert ComplexityAnalyzer().analyze(graph).max_parallel_paths == 4


def test_loops_multiply_and_concurrency_divides(analyze: Any) -> None:
    inside = node("a", 100, parentId="l")
    assert analyze([loop("l", list(range(6))), inside]).estimated_duration_ms == 600
    assert analyze([loop("l", list(range(6)), concurrency=3), inside]).estimated_duration_ms == 200
    assert analyze([loop("l", []), inside]).estimated_duration_ms == 0


def test_loops_in_loops_multiply_twice(analyze: Any) -> None:
    nodes = [
        loop("o", [1, 2, 3]),
        loop("i", [1, 2], parentId="o"),
        node("a", 10, parentId="i"),
        node("b", 5, parentId="o"),
    ]
    found = analyze(nodes, chain("i", "b"))
    assert (found.estimated_duration_ms, found.loop_count) == (75, 2)


def test_items_and_durations_from_the_input_are_looked_up(analyze: Any) -> None:
    nodes = [loop("l", "${ input.orders }"), node("a", "${ input.ms }", parentId="l")]
    assert analyze(nodes, input_value={"orders": [1] * 50, "ms": 20}).estimated_duration_ms == 1000


def test_what_hangs_on_the_input_is_decided_for_each_input(types: NodeRegistry) -> None:
    nodes = [loop("l", "${ input.orders }"), node("a", 20, parentId="l")]
    graph, analyzer = compile_workflow({"nodes": nodes, "edges": []}, types), ComplexityAnalyzer()
    for orders in (1, 50, 2_000):
        decided = analyzer.decide(graph, "auto", {"orders": [1] * orders}, NOTHING_KNOWN, busy=False)
        assert decided.estimated_duration_ms == 20 * orders
        assert decided.mode == ("queued" if orders == 2_000 else "immediate")


def test_what_does_not_is_decided_once_for_as_long_as_as_much_is_known(types: NodeRegistry) -> None:
    nodes = [node("a", 20), {"id": "b", "type": "data.set", "config": {"values": {"n": "${ vars.n }"}}}]
    graph = compile_workflow({"nodes": nodes, "edges": chain("a", "b"), "vars": {"n": 1}}, types)
    analyzer, known = ComplexityAnalyzer(), Knowledge()
    decided = analyzer.decide(graph, "auto", {"n": 1}, known, busy=False)
    assert analyzer.decide(graph, "auto", {"n": 2}, known, busy=False) is decided
    assert analyzer.decide(graph, "auto", {"n": 1}, Knowledge(), busy=False) is not decided
    assert analyzer.decide(graph, "auto", {"n": 1}, known, busy=True).mode == "queued"
    assert analyzer.decide(graph, "queued", {"n": 1}, known, busy=False).mode == "queued"


def test_what_is_not_known_before_the_run_is_guessed(analyze: Any) -> None:
    nodes = [node("a"), loop("l", "${ nodes.a.output }"), node("b", 100, parentId="l")]
    assert analyze(nodes, chain("a", "l")).estimated_duration_ms == 1000  # ten items
    assert (
        analyze([loop("l", "${ input.orders }"), node("b", 100, parentId="l")]).estimated_duration_ms == 1000
    )


def test_retries_are_not_counted_and_time_outs_bound(analyze: Any) -> None:
    assert analyze([node("a", 10, retry={"maxAttempts": 9})]).estimated_duration_ms == 10
    assert analyze([node("a", 10_000, timeoutMs=500)]).estimated_duration_ms == 500
    assert (
        analyze([loop("l", [1] * 9, timeoutMs=500), node("a", 100, parentId="l")]).estimated_duration_ms
        == 500
    )


@pytest.mark.parametrize("ms", ["${ nodes.x.output }", "${ input.ms }"])
def test_a_type_that_cannot_tell_stops_nothing(ms: str, analyze: Any) -> None:
    found = analyze([node("x"), node("a", ms)], chain("x", "a"), input_value={"ms": "inf"})
    assert found.estimated_duration_ms == 1


# The answer


def test_the_answer_carries_every_factor_with_its_threshold(analyze: Any) -> None:
    found = analyze([loop("l", [1, 2]), node("a", 100, kind="test.courier", parentId="l")]).as_json()

    assert {name: value for name, value in found.items() if name not in ("factors", "explanation")} == {
        "mode": "queued",
        "requestedMode": "auto",
        "estimatedDurationMs": 200,
        "nodeCount": 2,
        "externalCallCount": 1,
        "loopCount": 1,
        "maxParallelPaths": 1,
        "humanInput": False,
    }
    assert [
        (factor["name"], factor["value"], factor["threshold"], factor["fired"]) for factor in found["factors"]
    ] == [
        ("nodeCount", 2, 10, False),
        ("estimatedDuration", 200, 30_000, False),
        ("humanInput", False, False, False),
        ("externalCallsInLoops", 1, 0, True),
        ("executorBusy", False, False, False),
    ]
    assert all(factor["explanation"].endswith(".") for factor in found["factors"])
    assert found["explanation"] == "Queued, because it has external calls (a) together with loops (l)."
    assert json.loads(json.dumps(found)) == found


def test_the_explanation_names_all_reasons(analyze: Any) -> None:
    found = analyze([node(f"n{i}", 40_000, kind="test.clerk") for i in range(12)])
    assert found.explanation == (
        "Queued, because it has 12 nodes (limit 10), it should take about 40 s (limit 30 s) "
        "and it asks a person (n0, n1, n2 and 9 more)."
    )


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (1.25, "1.2 ms"),
        (999, "999 ms"),
        (30_000, "30 s"),
        (90_000, "1.5 min"),
        (3_600_000, "1 h"),
        (864e5 * 400, "400 days"),
    ],
)
def test_spans_are_spoken_in_their_largest_unit(ms: float, words: str) -> None:
    assert spoken(ms) == words


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("data-flow", "immediate"),
        ("foreach-http", "queued"),
        ("sub-flows", "immediate"),
        ("order-approval", "queued"),
        ("montage-500", "queued"),
    ],
)
def test_the_examples_get_the_mode_they_are_examples_of(name: str, mode: str, types: NodeRegistry) -> None:
    graph = compile_workflow(json.loads((EXAMPLES / f"{name}.json").read_text()), types)
    assert ComplexityAnalyzer().analyze(graph).mode == mode
