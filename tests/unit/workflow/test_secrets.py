"""Where a definition may name a secret."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.validation import compile_workflow, validate_workflow

TYPES = built_in_registry()


def problems(type_: str, config: dict[str, Any], **settings: Any) -> list[tuple[str, str]]:
    document = {"nodes": [{"id": "a", "type": type_, "config": config}], **settings}
    return [(found.path, found.code) for found in validate_workflow(document, TYPES)]


@pytest.mark.parametrize(
    ("type_", "config"),
    [
        ("http.request", {"url": "https://a.example", "auth": {"type": "bearer", "token": "${ secrets.T }"}}),
        ("http.request", {"url": "https://a.example", "headers": {"x-key": "k=${ secrets.T };v=1"}}),
        ("http.request", {"url": "https://a.example", "query": {"key": ["${secrets.T}"]}}),
        ("http.request", {"url": "https://a.example", "body": {"login": [{"password": "${ secrets.T }"}]}}),
        ("database.query", {"url": "${ secrets.DB }", "sql": "SELECT 1"}),
        ("database.query", {"url": "postgresql://u:${ secrets.PW }@db.example/x", "sql": "SELECT 1"}),
        ("redis.publish", {"url": "${ secrets.R }", "channel": "c", "message": 1}),
        ("grpc.call", {"host": "h", "port": 1, "method": "s/M", "metadata": {"k": "${ secrets.T }"}}),
        ("ai.chat", {"apiKey": "${ secrets.T }", "model": "m", "prompt": "p"}),
        ("data.hash", {"value": "x", "secret": "${ secrets.T }"}),
    ],
)
def test_secrets_are_named_in_fields_made_for_them(type_: str, config: dict[str, Any]) -> None:
    assert problems(type_, config) == []


HTTP = {"url": "https://a.example"}


@pytest.mark.parametrize(
    ("type_", "config", "path"),
    [
        ("http.request", {"url": "https://a.example/${ secrets.T }"}, "url"),
        ("http.request", {**HTTP, "headers": {"a": "${ base64.encode(bytes(secrets.T)) }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ secrets.T + 'x' }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ secrets['T'] }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ secrets }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ secrets[input.name] }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ secrets.T.size() }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ has(secrets.T) }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ [secrets.T][0] }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ true ? secrets.T : '' }"}}, "headers/a"),
        ("http.request", {**HTTP, "headers": {"a": "${ string(secrets) }"}}, "headers/a"),
        ("http.request", {**HTTP, "method": "${ secrets.T }"}, "method"),
        ("data.set", {"values": {"a": "${ secrets.T }"}}, "values/a"),
        ("logic.if", {"condition": "${ secrets.T == 'a' }"}, "condition"),
        ("logic.if", {"condition": "${ secrets.T }"}, "condition"),
        ("logic.foreach", {"items": "${ secrets.T }"}, "items"),
        ("flow.fail", {"message": "${ secrets.T }"}, "message"),
        ("data.hash", {"value": "${ secrets.T }"}, "value"),
        ("email.send", {"server": {"host": "h"}, "from": "a@b.c", "to": ["a@b.c"], "subject": "s",
                        "text": "${ secrets.T }"}, "text"),
    ],
)  # fmt: skip
def test_elsewhere_a_secret_is_refused_with_its_place(type_: str, config: dict[str, Any], path: str) -> None:
    assert (f"/nodes/0/config/{path}", "SECRET_NOT_ALLOWED") in problems(type_, config)


def test_outside_of_nodes_there_are_no_secrets() -> None:
    assert problems("flow.noop", {}, output="${ secrets.T }") == [("/output", "SECRET_NOT_ALLOWED")]
    refused = problems("flow.noop", {}, vars={"t": "${ secrets.T }"})
    assert refused == [("/vars/t", "EXPRESSION_NOT_ALLOWED")]


def test_a_variable_of_that_name_in_a_macro_is_no_secret() -> None:
    assert problems("data.set", {"values": {"a": "${ [1].map(secrets, secrets + 1) }"}}) == []


def test_the_graph_knows_whose_secrets_it_names() -> None:
    config = {**HTTP, "headers": {"a": "${ secrets.A } ${ secrets.B }", "b": "${ secrets.A }"}}
    nodes = [{"id": "a", "type": "http.request", "config": config}, {"id": "b", "type": "flow.noop"}]
    graph = compile_workflow({"nodes": nodes}, TYPES)
    assert graph.secrets == graph.nodes["a"].secrets == {"A", "B"}
    assert graph.nodes["b"].secrets == frozenset()
