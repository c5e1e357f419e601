"""Keys of slots and rates, and what a definition needs of a worker."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.errors import InvalidInput
from flow_engine.nodes.registry import load_registry
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.queue_keys import concurrency_key, rate_key, shown
from flow_engine.workflow.requirements import BASELINE, capabilities, lacking, requirements
from flow_engine.workflow.validation import compile_workflow, validate_workflow

REGISTRY = load_registry()
NODES: dict[str, Any] = {"nodes": [{"id": "a", "type": "flow.noop"}]}


def graph(**settings: Any) -> WorkflowGraph:
    return compile_workflow({**NODES, **settings}, REGISTRY)


def scope(value: Any) -> dict[str, Any]:
    return {"input": value, "vars": {}, "execution": {"id": "e"}}


@pytest.mark.parametrize(
    ("expression", "value", "key"),
    [
        ("${ input.customer }", {"customer": "acme"}, "acme"),
        ("${ input.customer }", {"customer": 2**53 + 1}, "9007199254740993"),
        ("${ input.a }-${ input.b }", {"a": "x/y", "b": True}, "x/y-true"),
        ("all", {}, "all"),
    ],
)
def test_a_key_is_what_its_expression_gives(expression: str, value: Any, key: str) -> None:
    whole = concurrency_key(graph(id="w", concurrency={"key": expression}), scope(value))
    assert whole == f"w/{key}"
    assert shown(whole) == key


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ({}, "EXPRESSION_FAILED", "customer"),
        ({"customer": None}, "INVALID_VALUE", "null"),
        ({"customer": ["a"]}, "INVALID_VALUE", "a list"),
        ({"customer": ""}, "INVALID_VALUE", "1 to 256"),
        ({"customer": "x" * 257}, "INVALID_VALUE", "257"),
        ({"customer": "a\0b"}, "INVALID_VALUE", "NUL"),
    ],
)
def test_a_key_that_is_none_is_refused_with_its_path(value: Any, code: str, said: str) -> None:
    limited = graph(rateLimit={"key": "${ input.customer }", "limit": 1, "periodMs": 1000})
    with pytest.raises(InvalidInput, match=said) as refusal:
        rate_key(limited, scope(value))
    (problem,) = refusal.value.problems
    assert (problem.path, problem.code) == ("/rateLimit/key", code)


def test_workflows_do_not_share_their_keys() -> None:
    policy = {"concurrency": {"key": "k"}}
    keys = [concurrency_key(graph(**more, **policy), scope({})) for more in ({"id": "a"}, {"id": "b"}, {})]
    assert len(set(keys)) == 3
    assert list(map(shown, keys)) == ["k"] * 3


def test_a_rate_is_checked_with_the_definition() -> None:
    wrong = {**NODES, "rateLimit": {"key": "${ nodes.a.output }", "limit": 0, "periodMs": 1000}}
    found = {problem.path for problem in validate_workflow(wrong, REGISTRY)}
    assert found == {"/rateLimit/limit"}
    wrong["rateLimit"] = {"key": "${ nodes.a.output }", "limit": 1, "periodMs": 1000}
    (problem,) = validate_workflow(wrong, REGISTRY)
    assert problem.path == "/rateLimit/key"


def test_most_definitions_need_nothing_that_a_worker_might_lack() -> None:
    assert requirements(graph(concurrency={"key": "k"})) == ()
    assert set(REGISTRY.names()) >= BASELINE


def test_a_newer_format_is_needed_where_it_is_used() -> None:
    for newer in (
        {"rateLimit": {"key": "k", "limit": 1, "periodMs": 1}},
        {"concurrency": {"key": "k", "hold": "live"}},
    ):
        assert requirements(graph(**newer)) == ("definition:2",)


def test_this_version_can_run_all_that_it_accepts() -> None:
    able = capabilities(REGISTRY.names())
    newest = requirements(graph(rateLimit={"key": "k", "limit": 1, "periodMs": 1}))
    assert lacking(newest, able) == []
    assert lacking(newest, ["flow.noop", "definition:1"]) == ["definition:2"]
