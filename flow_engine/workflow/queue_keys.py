"""The keys by which executions share slots and rates, as their definition's expressions give them."""

from __future__ import annotations

from collections.abc import Mapping

from flow_engine.errors import InvalidInput, Problem
from flow_engine.expressions import EvaluationError, Template
from flow_engine.payload import JsonValue, encode
from flow_engine.workflow.graph import WorkflowGraph

MAX_KEY_LENGTH = 256


def concurrency_key(graph: WorkflowGraph, scope: Mapping[str, JsonValue]) -> str:
    """scope: input, vars, execution. Empty without a concurrency policy. Raises InvalidInput."""
    policy = graph.concurrency
    return "" if policy is None else _scoped(graph, _key(policy.key, scope, "/concurrency/key"))


def rate_key(graph: WorkflowGraph, scope: Mapping[str, JsonValue]) -> str:
    """scope: input, vars, execution. Empty without a rate limit. Raises InvalidInput."""
    policy = graph.rate_limit
    return "" if policy is None else _scoped(graph, _key(policy.key, scope, "/rateLimit/key"))


def shown(key: str) -> str:
    """A key as the definition's expression gave it."""
    return key.partition("/")[2]


def _scoped(graph: WorkflowGraph, key: str) -> str:
    """Keys are a workflow's own. What has no id is the same workflow while it is the same definition."""
    return f"{graph.id or graph.definition_hash[:16]}/{key}"  # no id holds a slash


def _key(template: Template, scope: Mapping[str, JsonValue], path: str) -> str:
    try:
        value = template.render(scope)
    except EvaluationError as error:
        raise InvalidInput([Problem(path, "EXPRESSION_FAILED", str(error))]) from error
    if value is None or isinstance(value, dict | list):
        kind = {type(None): "null", dict: "an object", list: "a list"}[type(value)]
        message = f"a key is a text, a number or a boolean; the expression gave {kind}"
        raise InvalidInput([Problem(path, "INVALID_VALUE", message)])
    text = value if isinstance(value, str) else encode(value).decode()
    if not 1 <= len(text) <= MAX_KEY_LENGTH:
        message = f"a key has 1 to {MAX_KEY_LENGTH} characters, this one has {len(text)}"
        raise InvalidInput([Problem(path, "INVALID_VALUE", message)])
    if "\0" in text:
        raise InvalidInput([Problem(path, "INVALID_VALUE", "a key must not hold the character NUL")])
    return text
