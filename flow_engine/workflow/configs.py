"""The config of one node: its templates compiled, its fields checked as far as they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from flow_engine.errors import Problem
from flow_engine.expressions import (
    Expression,
    ExpressionSyntaxError,
    Template,
    TemplateErrors,
    compile_template,
)
from flow_engine.nodes.contract import NodeConfig, NodeType
from flow_engine.payload import JsonValue
from flow_engine.workflow import pointers
from flow_engine.workflow.findings import quoted
from flow_engine.workflow.model_problems import Keys, problems_of

Placed = tuple[Keys, Expression, frozenset[str]]
"""Where an expression stands in the config, and the extra names that it may use."""


@dataclass(slots=True)
class CompiledConfig:
    template: Template
    expressions: list[Placed] = field(default_factory=list)
    constant: NodeConfig | None = None
    problems: list[Problem] = field(default_factory=list)


_NOTHING = compile_template({})


def compile_config(node_type: NodeType[Any], raw: Mapping[str, JsonValue], path: str) -> CompiledConfig:
    """Compile and check what `raw`, which stands at `path`, says for a node of this type."""
    compiled = CompiledConfig(_NOTHING)
    prepared: dict[str, Any] = dict(raw)
    for dotted, names in node_type.deferred.items():
        _defer(prepared, tuple(dotted.split(".")), (), names, path, compiled)
    try:
        compiled.template = compile_template(prepared)
    except TemplateErrors as errors:
        compiled.problems.extend(syntax_problems(errors, path))
    compiled.expressions.extend((place, found, frozenset()) for place, found in compiled.template.expressions)
    _check_fields(node_type, prepared, path, compiled)
    return compiled


def syntax_problems(errors: TemplateErrors, path: str) -> Iterator[Problem]:
    for place, error in errors.errors:
        yield Problem(path + pointers.pointer(place), error.code, _explained(error), error.hint or "")


def _explained(error: ExpressionSyntaxError) -> str:
    where = f"character {error.position + 1} of " if error.position >= 0 else ""
    return f"{error.message} ({where}{quoted(error.source)})" if error.source else error.message


def _defer(
    container: Any, steps: Keys, place: Keys, names: frozenset[str], path: str, compiled: CompiledConfig
) -> None:
    """Replace what `steps` lead to by its compiled template, copying what lies above it."""
    key, *rest = steps
    keys: list[Any] = [key]
    if key == "*":
        keys = list(range(len(container))) if isinstance(container, list) else []
    for at in keys:
        if isinstance(container, dict) and at not in container:
            continue
        here, value = (*place, at), container[at]
        if not rest:
            container[at] = _deferred(value, here, names, path, compiled)
        elif isinstance(value, (dict, list)):
            container[at] = value.copy()
            _defer(container[at], tuple(rest), here, names, path, compiled)


def _deferred(
    value: JsonValue, place: Keys, names: frozenset[str], path: str, compiled: CompiledConfig
) -> Template:
    try:
        template = compile_template(value)
    except TemplateErrors as errors:
        compiled.problems.extend(syntax_problems(errors, path + pointers.pointer(place)))
        return _NOTHING
    compiled.expressions.extend(((*place, *inner), found, names) for inner, found in template.expressions)
    return template


def _check_fields(
    node_type: NodeType[Any], prepared: dict[str, Any], path: str, compiled: CompiledConfig
) -> None:
    """Validate all fields, and blame those only whose value is known."""
    evaluated = [place for place, _ in compiled.template.expressions]
    broken = [tuple(pointers.tokens(problem.path[len(path) :])) for problem in compiled.problems]

    def unknown(keys: Keys) -> bool:
        names = tuple(map(str, keys))
        return any(place[: len(keys)] == keys for place in evaluated) or any(
            place[: len(names)] == names for place in broken
        )

    known = not evaluated and not compiled.problems
    try:
        config = node_type.config_model.model_validate(compiled.template.render({}) if known else prepared)
    except ValidationError as error:
        compiled.problems.extend(problems_of(error, prepared, path, node_type.config_model, unknown))
        return
    if known:
        compiled.constant = config
