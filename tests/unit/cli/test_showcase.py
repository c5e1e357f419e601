from __future__ import annotations

from typing import Any

import pytest

from services.cli.errors import BadConfiguration
from services.cli.stack.showcase import NAMES, Result, deviations_of, load, order_deviations, told

DIAMOND = {
    "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
    "edges": [{"source": "a", "target": "c"}, {"source": "b", "target": "c"}],
}


def history(*steps: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"sequence": n + 1, "type": f"step.{kind}", "nodeId": node} for n, (kind, node) in enumerate(steps)
    ]


def test_a_history_in_order_has_nothing_to_report() -> None:
    events = history(
        ("started", "a"), ("started", "b"), ("completed", "b"), ("completed", "a"), ("started", "c")
    )

    assert order_deviations(DIAMOND, events) == []


def test_a_node_ahead_of_its_parents_is_reported() -> None:
    events = history(
        ("started", "a"), ("started", "b"), ("completed", "a"), ("started", "c"), ("completed", "b")
    )

    assert order_deviations(DIAMOND, events) == ["c started before b was decided"]


def test_a_node_that_started_twice_is_reported() -> None:
    events = history(("started", "a"), ("started", "a"), ("completed", "a"))

    assert order_deviations(DIAMOND, events) == ["a started 2 times"]


def test_fields_that_differ_are_named_with_both_values() -> None:
    assert deviations_of({"status": "failed"}, {"status": "completed"}) == [
        'status is "failed", expected "completed"'
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_complete_and_calls_the_stack_that_runs_it(name: str) -> None:
    example = load(name, "http://127.0.0.1:1")

    assert example.definition["id"] == name
    assert example.expected["mode"] in ("immediate", "queued")
    assert example.input.get("baseUrl", "http://127.0.0.1:1") == "http://127.0.0.1:1"


def test_missing_examples_are_a_matter_of_configuration(tmp_path: Any) -> None:
    with pytest.raises(BadConfiguration, match="the examples are not here"):
        load("data-flow", "", tmp_path)


def test_what_waits_for_a_person_comes_with_the_way_to_answer() -> None:
    execution = {
        "executionId": "run-1",
        "status": "waiting",
        "mode": "queued",
        "steps": [{"nodeId": "ask", "status": "waiting", "waiting": {"title": "May I?"}}],
    }

    text = "\n".join(told(Result("order", execution, []), "http://here"))

    assert "May I?" in text
    assert "curl -X POST http://here/api/workflow/execution/run-1/input/ask" in text
    assert "flow approve run-1 ask" in text
