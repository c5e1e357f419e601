"""Where a definition may name a secret: as a value, in the config fields that are made for it.

An expression that computes with a secret could put it into a spelling that nobody recognises any more, and
from there into an output; so none ever has one in hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from flow_engine.errors import Problem
from flow_engine.expressions import Expression, path_text
from flow_engine.nodes.contract import NodeConfig, NodeType
from flow_engine.workflow import pointers
from flow_engine.workflow.findings import quoted
from flow_engine.workflow.model_problems import Keys

SECRETS: Final = "secrets"
HOLDS_SECRETS: Final = ("x-secret", "x-may-hold-secrets")
"""Marks of config fields: it is one, or may hold some anywhere below."""


def names_secrets(expression: Expression) -> bool:
    return any(reference.path[0] == SECRETS for reference in expression.references)


def secret_named(expression: Expression) -> str | None:
    """The name in `secrets.NAME`; None for any other expression."""
    match [reference.path for reference in expression.references]:
        case [(str() as root, str() as name)] if root == SECRETS:
            return name if expression.source.strip() == path_text(SECRETS, (name,)) else None
    return None


def secrets_named(expressions: Iterable[Expression]) -> frozenset[str]:
    return frozenset(name for expression in expressions if (name := secret_named(expression)))


def secret_problem(
    node_type: NodeType[Any], place: Keys, expression: Expression, path: str
) -> Problem | None:
    """What is wrong with naming a secret in the config field at `place`; None when nothing is."""
    here = path + pointers.pointer(place)
    name = secret_named(expression)
    if name is None:
        message = f"a secret is taken as it is, {quoted(expression.source)} computes with one"
        return Problem(here, "SECRET_NOT_ALLOWED", message, "write ${ secrets.NAME } and nothing more in it")
    if node_type.container or not _may_hold_secrets(_schema_of(node_type.config_model), place):
        message = f"a {node_type.type} takes no secret here"
        fields = secret_fields(node_type.config_model)
        hint = f"it takes some in {', '.join(fields)}" if fields else ""
        return Problem(here, "SECRET_NOT_ALLOWED", message, hint)
    return None


def outside_problem(reference_text: str) -> tuple[str, str, str]:
    """(code, message, hint) of a secret that is named where no node is."""
    message = f"{quoted(reference_text)}: secrets are known only in the config fields that are made for them"
    return "SECRET_NOT_ALLOWED", message, "docs/secrets.md lists these fields"


@cache
def _schema_of(model: type[NodeConfig]) -> Mapping[str, Any]:
    return model.model_json_schema(by_alias=True)


@cache
def secret_fields(model: type[NodeConfig]) -> tuple[str, ...]:
    """Where such configs may hold secrets, by dotted path; `*` is any element or key."""
    schema = _schema_of(model)
    return tuple(dict.fromkeys(_fields_below(schema, schema, ())))


def _fields_below(
    schema: Mapping[str, Any], root: Mapping[str, Any], steps: tuple[str, ...]
) -> Iterable[str]:
    if len(steps) > 8:
        return
    for each in _alternatives(schema, root):
        if any(each.get(mark) for mark in HOLDS_SECRETS):
            yield ".".join(steps)
            continue
        for name, inner in each.get("properties", {}).items():
            yield from _fields_below(inner, root, (*steps, name))
        for inner in (each.get("additionalProperties"), each.get("items")):
            if isinstance(inner, Mapping):
                yield from _fields_below(inner, root, (*steps, "*"))


def _may_hold_secrets(root: Mapping[str, Any], place: Keys) -> bool:
    schemas: Sequence[Mapping[str, Any]] = _alternatives(root, root)
    for key in place:
        schemas = [inner for schema in schemas for inner in _below(schema, key, root)]
        if any(schema.get(mark) for schema in schemas for mark in HOLDS_SECRETS):
            return True
    return False


def _below(schema: Mapping[str, Any], key: str | int, root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = schema.get("items") if isinstance(key, int) else None
    if isinstance(key, str):
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    return _alternatives(inner, root) if isinstance(inner, Mapping) else []


def _alternatives(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema itself and all that it refers to or offers as an alternative."""
    found: list[Mapping[str, Any]] = []
    ahead = [schema]
    while ahead:
        current = ahead.pop()
        if any(current is seen for seen in found):
            continue
        found.append(current)
        if "$ref" in current:
            ahead.append(root["$defs"][current["$ref"].removeprefix("#/$defs/")])
        for kind in ("anyOf", "oneOf", "allOf"):
            ahead.extend(current.get(kind, ()))
    return found
