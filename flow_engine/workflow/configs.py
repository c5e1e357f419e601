"""The config of one node: its templates compiled, its fields checked as far as they are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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


def compile_config(
    node_type: NodeType[Any] | None,
    raw: Mapping[str, JsonValue],
    path: str,
    kind_of: Callable[[Expression], str] = lambda expression: expression.kind,
) -> CompiledConfig:
    """Compile and check what `raw`, which stands at `path`, says for a node of this type.

    Of an unknown type only the expressions are checked. kind_of: what is known of an expression's value.
    """
    config = _Config(path)
    prepared: dict[str, Any] = dict(raw)
    for dotted, names in node_type.deferred.items() if node_type else ():
        config.defer(prepared, tuple(dotted.split(".")), (), names)
    template = config.compile(prepared, ())
    compiled = CompiledConfig(template, config.expressions, problems=config.problems)
    if node_type is not None:
        _check_fields(node_type.config_model, prepared, path, config.broken, compiled, kind_of)
    return compiled


def compile_rest(value: JsonValue) -> tuple[Template, list[tuple[Keys, ExpressionSyntaxError]]]:
    """The template of what is right in `value`, and what is wrong: null stands there instead."""
    try:
        return compile_template(value), []
    except TemplateErrors as errors:
        rest = replaced(value, {place: None for place, _ in errors.errors})
        return compile_template(rest), errors.errors


def syntax_problem(error: ExpressionSyntaxError, path: str) -> Problem:
    where = f"character {error.position + 1} of " if error.position >= 0 else ""
    message = f"{error.message} ({where}{quoted(error.source)})" if error.source else error.message
    return Problem(path, error.code, message, error.hint or "")


class _Config:
    """One config while it is compiled."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.expressions: list[Placed] = []
        self.problems: list[Problem] = []
        self.broken: list[Keys] = []

    def compile(self, value: JsonValue, place: Keys, names: frozenset[str] = frozenset()) -> Template:
        template, errors = compile_rest(value)
        for inner, error in errors:
            self.broken.append((*place, *inner))
            self.problems.append(syntax_problem(error, self.path + pointers.pointer((*place, *inner))))
        self.expressions.extend(((*place, *inner), found, names) for inner, found in template.expressions)
        return template

    def defer(self, container: Any, steps: Keys, place: Keys, names: frozenset[str]) -> None:
        """Replace what `steps` lead to by its compiled template, copying what lies above it."""
        step, *rest = steps
        if isinstance(container, list):
            keys: Sequence[str | int] = range(len(container)) if step == "*" else ()
        else:
            keys = (step,) if step in container else ()
        for key in keys:
            here, value = (*place, key), container[key]
            if not rest:
                container[key] = self.compile(value, here, names)
            elif isinstance(value, (dict, list)):
                container[key] = value.copy()
                self.defer(container[key], tuple(rest), here, names)


def _check_fields(
    model: type[NodeConfig],
    prepared: dict[str, Any],
    path: str,
    broken: Sequence[Keys],
    compiled: CompiledConfig,
    kind_of: Callable[[Expression], str],
) -> None:
    """Validate all fields, and blame those only whose value, or at least whose type, is known."""
    evaluated = compiled.template.expressions
    constant = not evaluated and not broken
    samples: dict[Keys, JsonValue] = {}
    gives: dict[Keys, str] = {}
    for place, expression in evaluated:
        alone = value_at(prepared, place) == f"${{{expression.source}}}"
        if known := _SAMPLES.get(kind_of(expression) if alone else "string"):
            gives[place], samples[place] = known
    unknown = [*broken, *(place for place, _ in evaluated)]
    sample = compiled.template.render({}) if constant else replaced(prepared, samples)
    try:
        config = model.model_validate(sample)
    except ValidationError as error:
        compiled.problems.extend(problems_of(error, sample, path, model, unknown, gives))
        return
    if constant:
        compiled.constant = config


_SAMPLES: Mapping[str, tuple[str, JsonValue]] = {
    "bool": ("true or false", True),
    "int": ("a whole number", 1),
    "double": ("a number", 1.5),
    "string": ("a string", ""),
    "list": ("a list", []),
    "map": ("an object", {}),
}
"""What an expression gives, in words, and an example of it, by its kind."""


def value_at(value: Any, place: Keys) -> Any:
    for key in place:
        value = value[key]
    return value


def replaced(value: Any, new: Mapping[Keys, JsonValue]) -> Any:
    """`value` with other values at some places; what lies above them is copied, once."""
    if () in new:
        return new[()]
    if not new:
        return value
    below: dict[str | int, dict[Keys, JsonValue]] = defaultdict(dict)
    for (key, *rest), replacement in new.items():
        below[key][tuple(rest)] = replacement
    copy = value.copy()
    for key, replacements in below.items():
        copy[key] = replaced(value[key], replacements)
    return copy
