"""Config fields that a node evaluates itself: a `Deferred…` type in the model, `evaluate` in `run`.

A type names these fields in `deferred` too, so that nobody evaluates them before it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from flow_engine.expressions import EvaluationError, Template, TemplateErrors, compile_template
from flow_engine.nodes.contract import NodeError
from flow_engine.payload import JsonValue


def _compiled(value: Any) -> Template:
    """The template itself, or the one that a raw value (a config read from JSON) stands for."""
    if isinstance(value, Template):
        return value
    try:
        return compile_template(value)
    except TemplateErrors as error:
        raise ValueError("; ".join(str(each) for _, each in error.errors)) from error


def _condition(template: Template) -> Template:
    if template.is_constant and not isinstance(template.render({}), bool):
        raise ValueError("must be an expression, true or false")
    return template


DeferredValue = Annotated[Any, BeforeValidator(_compiled), WithJsonSchema({"x-deferred": True})]
"""Any JSON value with expressions in it."""

DeferredCondition = Annotated[
    Any,
    BeforeValidator(_compiled),
    AfterValidator(_condition),
    WithJsonSchema({"type": ["string", "boolean"], "x-deferred": True}),
]
"""An expression that gives true or false, or one of them."""


def evaluate(template: Template, scope: Mapping[str, Any]) -> JsonValue:
    """What the template gives in this scope. Raises NodeError EXPRESSION_FAILED."""
    try:
        return template.render(scope)
    except EvaluationError as error:
        raise NodeError("EXPRESSION_FAILED", str(error)) from error


def holds(template: Template, scope: Mapping[str, Any], what: str) -> bool:
    """Whether the condition holds. Raises NodeError EXPRESSION_FAILED, also for neither true nor false."""
    value = evaluate(template, scope)
    if isinstance(value, bool):
        return value
    raise NodeError("EXPRESSION_FAILED", f"{what} must give true or false, not {_kind(value)}")


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"
