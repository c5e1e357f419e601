"""Who may read `callbacks.<id>.url`."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.nodes.registry import load_registry
from flow_engine.workflow.validation import compile_workflow, validate_workflow

TYPES = load_registry()


def workflow(read: str, *, callback_in: str | None = None, reader_in: str | None = None) -> dict[str, Any]:
    def placed(node: dict[str, Any], parent: str | None) -> dict[str, Any]:
        return {**node, **({"parentId": parent} if parent else {})}

    return {
        "nodes": [
            {"id": "each", "type": "logic.foreach", "config": {"items": [1]}},
            placed({"id": "cb", "type": "wait.callback"}, callback_in),
            placed({"id": "reader", "type": "data.set", "config": {"values": {"u": read}}}, reader_in),
            {"id": "filler", "type": "flow.noop", "parentId": "each"},
        ],
        "edges": [],
    }


@pytest.mark.parametrize("places", [(None, None), (None, "each"), ("each", "each")])
def test_a_callback_in_sight_is_read_wherever_it_stands_in_the_order(
    places: tuple[str | None, str | None],
) -> None:
    callback_in, reader_in = places
    document = workflow("${ callbacks.cb.url }", callback_in=callback_in, reader_in=reader_in)
    graph = compile_workflow(document, TYPES)
    assert graph.nodes["reader"].callbacks == {"cb"}
    assert graph.nodes["filler"].callbacks == frozenset()


@pytest.mark.parametrize(
    ("read", "callback_in", "code"),
    [
        ("${ callbacks.cb.url }", "each", "OUTSIDE_LOOP"),
        ("${ callbacks.filler.url }", None, "UNKNOWN_NODE"),
        ("${ callbacks.cv.url }", None, "UNKNOWN_NODE"),
        ("${ callbacks.cb.token }", None, "UNKNOWN_FIELD"),
    ],
)
def test_what_is_no_url_in_sight_is_refused(read: str, callback_in: str | None, code: str) -> None:
    problems = validate_workflow(workflow(read, callback_in=callback_in), TYPES)
    assert [(problem.path, problem.code) for problem in problems] == [("/nodes/2/config/values/u", code)]


def test_without_any_callback_there_is_no_such_variable() -> None:
    document = {
        "nodes": [{"id": "a", "type": "data.set", "config": {"values": {"u": "${ callbacks.x.url }"}}}]
    }
    (problem,) = validate_workflow(document, TYPES)
    assert problem.code == "UNKNOWN_VARIABLE"
