from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flow_engine.interpreter.steps import Step
from services.executor.progress import Progress, likely_end, progress_of
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


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("elapsed", "progress", "left"),
    [
        (0, Progress(0, 4), 1000),
        (400, Progress(3, 4), 600),  # the estimate holds, however many steps are left
        (1000, Progress(3, 4), 250),
        (5000, Progress(1, 4), 750),
        (5000, Progress(4, 4), 0),
        (5000, Progress(7, 0), 100),  # loops leave the number open
    ],
)
def test_a_change_tells_when_the_execution_will_likely_have_ended(
    elapsed: int, progress: Progress, left: int
) -> None:
    started = NOW - timedelta(milliseconds=elapsed)
    assert likely_end(NOW, started, 1000.0, progress) == NOW + timedelta(milliseconds=left)
    assert likely_end(NOW, NOW, float("inf"), progress) > NOW
