"""What history teaches, and what estimates make of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow_engine.interpreter.events import Failure
from flow_engine.interpreter.steps import Step
from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.validation import compile_workflow
from services.executor.analyzer import ComplexityAnalyzer
from services.executor.durations.estimate import Estimate
from services.executor.durations.learned import (
    LEAST_OF_TYPE,
    MEMORY,
    Knowledge,
    Learned,
    busy_us,
    decode_learned,
    encode_learned,
    learn,
)
from services.executor.stats.tally import Ended

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def at(milliseconds: float) -> datetime:
    return NOW + timedelta(milliseconds=milliseconds)


def graph(nodes: Sequence[dict[str, Any]], *ways: str, **more: Any) -> WorkflowGraph:
    edges = []
    for way in ways:
        source, target = way.split(">")
        name, _, handle = source.partition(":")
        edges.append({"source": name, "target": target, **({"sourceHandle": handle} if handle else {})})
    return compile_workflow({"id": "w", "nodes": list(nodes), "edges": edges, **more}, built_in_registry())


def fetch(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "http.request", "config": {"url": "https://a.example/"}, **more}


def step(node_id: str, took: float, begin: float = 0, **more: Any) -> Step:
    usual: dict[str, Any] = {"status": "completed", "attempts": 1}
    fields = {**usual, **more}
    return Step(
        node_id, fields.pop("status"), fields.pop("attempts"), at(begin), at(begin + took), 0, **fields
    )


def taught(of: WorkflowGraph, *runs: Sequence[Step], beyond: float = 0) -> Knowledge:
    """Each run takes `beyond` milliseconds more than its steps."""
    own, types = Learned(nodes={}, overhead={}), Learned(nodes={}, overhead={})
    for steps in runs:
        end = max((s.completed_at for s in steps if s.completed_at), default=NOW) + timedelta(
            milliseconds=beyond
        )
        told = ("e", "default", "w", "completed", "immediate", "immediate", 1.0, "", NOW, NOW, end)
        ended = Ended(*told, steps=steps)
        learn(own, types, ended, of)
    return Knowledge(decode_learned(encode_learned(own)), decode_learned(encode_learned(types)))


def test_a_node_takes_what_it_mostly_took() -> None:
    one = graph([fetch("a")])
    knowledge = taught(one, *([step("a", ms)] for ms in (80, 80, 80, 5000)))
    assert Estimate(one, None, knowledge).duration_ms == pytest.approx(80, rel=0.05)
    assert knowledge.typical_ms(one)["a"] == pytest.approx(80, rel=0.05)


def test_a_long_run_teaches_of_every_node_and_of_the_last_rounds() -> None:
    often = [step("often", 5000)] * (50 * MEMORY) + [step("often", 80)] * MEMORY
    two = graph([fetch("first"), fetch("often"), fetch("last")])
    knowledge = taught(two, [step("first", 30), *often, step("last", 20)])
    took = {name: node.milliseconds() for name, node in knowledge.definition.nodes.items()}
    assert took == {
        name: pytest.approx(ms, rel=0.05) for name, ms in (("first", 30), ("often", 80), ("last", 20))
    }


def test_few_observations_of_a_node_and_of_its_type_are_not_believed() -> None:
    one = graph([fetch("a"), fetch("b")])
    declared = Estimate(one).duration_ms
    assert Estimate(one, None, taught(one, [step("a", 9000)])).duration_ms == declared
    many = taught(one, *([step("a", 9000)] for _ in range(LEAST_OF_TYPE)))
    of_type = Estimate(graph([fetch("other")]), None, Knowledge(types=many.types))
    assert of_type.duration_ms == pytest.approx(9000, rel=0.05)


def test_lately_outweighs_once() -> None:
    one = graph([fetch("a")])
    runs = [[step("a", 1000)]] * 200 + [[step("a", 10)]] * MEMORY
    assert Estimate(one, None, taught(one, *runs)).duration_ms == pytest.approx(10, rel=0.05)


def test_a_delay_knows_better_than_history_where_its_config_is_known() -> None:
    wait = {"id": "a", "type": "logic.delay", "config": {"durationMs": "${ input.ms }"}}
    one = graph([wait])
    knowledge = taught(one, *([step("a", 40)] for _ in range(5)))
    assert Estimate(one, {"ms": 700}, knowledge).duration_ms == 700
    assert Estimate(one, {}, knowledge).duration_ms == pytest.approx(40, rel=0.05)


BRANCHED = [
    {"id": "if", "type": "logic.if", "config": {"condition": "${ input.n > 1 }"}},
    fetch("yes"),
    fetch("no"),
]
WAYS = ("if:true>yes", "if:false>no")


def test_a_branch_that_hangs_on_the_input_goes_where_it_will() -> None:
    one = graph(BRANCHED, *WAYS)
    knowledge = taught(
        one, *([step("if", 0, handle="true"), step("yes", 1000), step("no", 10)] for _ in range(5))
    )
    assert Estimate(one, {"n": 2}, knowledge).duration_ms == pytest.approx(1000, rel=0.05)
    assert Estimate(one, {"n": 1}, knowledge).duration_ms == pytest.approx(10, abs=2)


def test_a_switch_on_the_input_goes_where_it_will() -> None:
    switch = {"cases": [{"when": "${ input.n > 1 }", "handle": "big"}]}
    one = graph(
        [{"id": "s", "type": "logic.switch", "config": switch}, fetch("x"), fetch("y")],
        "s:big>x",
        "s:default>y",
    )
    knowledge = taught(one, *([step("x", 1000), step("y", 10)] for _ in range(5)))
    assert Estimate(one, {"n": 2}, knowledge).duration_ms == pytest.approx(1000, rel=0.05)
    assert Estimate(one, {"n": 1}, knowledge).duration_ms == pytest.approx(10, abs=2)


def test_another_branch_goes_where_it_mostly_went() -> None:
    one = graph(BRANCHED, *WAYS)
    often = [[step("if", 0, handle="false"), step("no", 10)]] * 8
    rarely = [[step("if", 0, handle="true"), step("yes", 1000)]] * 3
    assert Estimate(one, {}, taught(one, *often, *rarely)).duration_ms == pytest.approx(10, abs=2)


def test_without_history_every_way_may_be_taken() -> None:
    slow = {"id": "no", "type": "logic.delay", "config": {"durationMs": 5000}}
    assert Estimate(graph([*BRANCHED[:2], slow], *WAYS), {}).duration_ms >= 5000


def test_a_failure_that_is_mostly_handled_is_the_likely_way() -> None:
    one = graph([fetch("a", onError="branch"), fetch("b"), fetch("sorry")], "a>b", "a:error>sorry")
    failed = step("a", 20, status="failed", handled="branch", error=Failure("X", "x"))
    knowledge = taught(one, *([failed, step("sorry", 70)] for _ in range(5)))
    assert Estimate(one, None, knowledge).duration_ms == pytest.approx(90, rel=0.1)


EACH = [
    {"id": "each", "type": "logic.foreach", "config": {"items": "${ input.items }", "concurrency": 2}},
    fetch("a", parentId="each"),
]


def test_a_loop_takes_so_much_for_each_round() -> None:
    one = graph(EACH)
    loops = [[step("each", 100 * rounds, item_count=2 * rounds)] for rounds in (1, 2, 3, 4)]
    knowledge = taught(one, *loops)
    assert Estimate(one, {"items": [0] * 20}, knowledge).duration_ms == pytest.approx(1000, rel=0.05)
    unknown = Estimate(one, {}, knowledge).duration_ms  # as long as loops mostly were
    assert 100 <= unknown <= 400


def test_what_executions_take_beyond_their_steps_is_learned_too() -> None:
    one = graph([fetch("a")])
    knowledge = taught(one, *([step("a", 50)] for _ in range(5)), beyond=30)
    assert Estimate(one, None, knowledge).total_ms("immediate") == pytest.approx(80, rel=0.05)


def test_steps_side_by_side_keep_an_execution_busy_once() -> None:
    assert busy_us([step("a", 10), step("b", 5, 2), step("c", 10, 5), step("d", 1, 100)]) == 16_000


def test_what_is_left_counts_from_the_steps_that_are_done() -> None:
    one = graph([fetch("a"), fetch("b"), fetch("c")], "a>b", "b>c")
    knowledge = taught(one, *([step("a", 1000), step("b", 1000), step("c", 1000)] for _ in range(5)))
    running = Step("b", "running", 1, at(1000), None, None)
    left = Estimate(one, None, knowledge, steps=[step("a", 1000), running], now=at(1400)).duration_ms
    assert left == pytest.approx(1600, rel=0.05)
    late = Estimate(one, None, knowledge, steps=[step("a", 1000), running], now=at(9000)).duration_ms
    assert late == pytest.approx(1100, rel=0.05)


LONG = [{"id": "a", "type": "logic.delay", "config": {"durationMs": 60_000}}]


@pytest.mark.parametrize(
    ("nodes", "value", "counterfactual"),
    [
        ([{"id": f"n{n}", "type": "flow.noop"} for n in range(11)], None, "immediate if nodes ≤ 10"),
        (
            [{"id": "a", "type": "logic.delay", "config": {"durationMs": 60_000}}],
            None,
            "immediate if it took at most 30 s",
        ),
        ([{"id": "ok", "type": "human.approval", "config": {"title": "?"}}], None, ""),
        (EACH, {"items": [1]}, "immediate if it had no loops, or no external calls"),
    ],
)
def test_what_would_change_the_mode_is_told(
    nodes: list[dict[str, Any]], value: Any, counterfactual: str
) -> None:
    decided = ComplexityAnalyzer().analyze(graph(nodes), input_value=value, counterfactual=True)
    assert decided.counterfactual == counterfactual


@pytest.mark.parametrize(
    ("items", "counterfactual"),
    [(40, "immediate if items of each ≤ 12"), (5, "queued if items of each > 12")],
)
def test_a_loop_tells_how_long_its_list_may_be(items: int, counterfactual: str) -> None:
    delay = {"id": "a", "type": "logic.delay", "config": {"durationMs": 2500}, "parentId": "each"}
    loop = {"id": "each", "type": "logic.foreach", "config": {"items": "${ input.items }"}}
    decided = ComplexityAnalyzer().analyze(
        graph([loop, delay]), input_value={"items": [0] * items}, counterfactual=True
    )
    assert decided.counterfactual == counterfactual
