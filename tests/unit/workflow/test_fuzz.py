"""Whatever a document holds, the validator answers: with problems, or with a graph."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_engine.errors import InvalidWorkflow
from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.validation import check_input, compile_workflow, validate_workflow
from services.executor.analyzer import ComplexityAnalyzer
from tests.unit.workflow.test_reactflow import EXPORTED

TYPES = built_in_registry()
EXAMPLES = Path(__file__).parents[3] / "examples"
SEEDS: list[Any] = [
    EXPORTED,
    *[
        json.loads((EXAMPLES / f"{name}.json").read_text())
        for name in ("data-flow", "order-approval", "foreach-http", "sub-flows")
    ],
    {"nodes": [{"id": kind.type, "type": kind.type, "config": kind.example} for kind in TYPES]},
    {
        "nodes": [{"id": "a", "type": "flow.noop"}],
        "inputSchema": {"type": "object", "properties": {"a": {"pattern": "^a"}}},
    },
]
STRAY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [
            "",
            "a",
            "error",
            "${ item }",
            "${ nodes.a.output }",
            "${",
            "$${ x }",
            "__proto__",
            "#/",
            "(",
            "\u2028",
        ]
    ),
    st.text(max_size=8),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(
        st.sampled_from(["id", "type", "config", "nodes", "$ref", "items", "a"]),
        st.none() | st.integers() | st.text(max_size=3),
        max_size=3,
    ),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside `value`."""
    found: list[tuple[Any, Any]] = []
    ahead = [value]
    while ahead:
        current = ahead.pop()
        keys = list(current) if isinstance(current, dict) else range(len(current))
        for key in keys:
            found.append((current, key))
            if isinstance(current[key], (dict, list)):
                ahead.append(current[key])
    return found


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_to_a_right_definition_gets_an_answer(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        if not (spots := places(document)):
            break
        container, key = spots[data.draw(st.integers(0, len(spots) - 1))]
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                container[key] = data.draw(STRAY)
            case "remove":
                del container[key]
            case _ if isinstance(container, dict):
                container[
                    data.draw(st.sampled_from(["parentId", "join", "onError", "retry", "data", "x"]))
                ] = data.draw(STRAY)
            case _:
                container.append(data.draw(STRAY))
    answered(document)


@settings(max_examples=100, deadline=None)
@given(STRAY)
def test_any_document_gets_an_answer(document: Any) -> None:
    answered(document)


def answered(document: Any) -> None:
    before = copy.deepcopy(document)
    problems = validate_workflow(document, TYPES)
    assert document == before
    if problems:
        with pytest.raises(InvalidWorkflow) as caught:
            compile_workflow(document, TYPES)
        assert list(caught.value.problems) == problems
        return
    graph = compile_workflow(document, TYPES)
    assert [node.id for node in graph.nodes.values() if node.flow is None] == [
        node["id"] for node in document["nodes"]
    ]
    check_input(graph, {"a": "b"})
    ComplexityAnalyzer().analyze(graph, input_value={"a": "b"})
