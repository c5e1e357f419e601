from __future__ import annotations

from flow_engine.interpreter.steps import Step
from services.executor.progress import Progress, progress_of
from tests.unit.executor.graphs import foreach, graph, node

GRAPH = graph([node("a"), foreach("each"), node("x", parent="each"), node("b")], "a>each", "each>b")


def step(node_id: str, status: str, iteration: tuple[int, ...] = (), items: int | None = None) -> Step:
    return Step(node_id, status, 1, None, None, None, iteration, item_count=items)


def test_what_has_not_begun_counts() -> None:
    assert progress_of(GRAPH, [step("a", "running")], ended=False) == Progress(0, 3)


def test_a_loop_that_opens_makes_the_whole_larger() -> None:
    steps = [step("a", "completed"), step("each", "running", items=4), step("x", "completed", (0,))]
    assert progress_of(GRAPH, steps, ended=False) == Progress(2, 7)


def test_a_finished_loop_counts_the_iterations_it_had() -> None:
    steps = [step("a", "completed"), step("each", "failed", items=4), step("x", "failed", (0,))]
    assert progress_of(GRAPH, steps, ended=False) == Progress(3, 4)


def test_an_ended_execution_is_whole() -> None:
    assert progress_of(GRAPH, [step("a", "failed")], ended=True).percent == 100.0
