"""Pydantic's errors in words for people who write workflows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from flow_engine.errors import Problem
from flow_engine.payload import JsonValue
from flow_engine.workflow import pointers
from flow_engine.workflow.findings import listed, near_miss, quoted

Keys = tuple[str | int, ...]

MAX_ERRORS = 2000
"""Of one object: no answer lists more problems."""

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "mapping_type": "an object",
    "none_required": "null",
}
_PARSED = {"int_parsing": "int_type", "float_parsing": "float_type", "bool_parsing": "bool_type"}
_PREFERRED = ("UNKNOWN_FIELD", "MISSING_FIELD", "INVALID_ID", "OUT_OF_RANGE", "INVALID_VALUE", "WRONG_TYPE")


def problems_of(
    error: ValidationError,
    raw: JsonValue,
    path: str,
    model: type[BaseModel],
    unknown: Sequence[Keys] = (),
    gives: Mapping[Keys, str] = MappingProxyType({}),
) -> list[Problem]:
    """One problem a place, of several alternatives that all failed the most telling.

    raw: what was validated; path: where it stands; unknown: places whose values are not known yet, so that
    they cannot be wrong; gives: those of them whose type is known, in words.
    """
    found: dict[str, Problem] = {}
    for details in islice(error.errors(include_url=False, include_input=False), MAX_ERRORS):
        problem = _problem(details, raw, path, model, unknown, gives)
        if problem is None:
            continue
        other = found.get(problem.path)
        if other is None or _PREFERRED.index(problem.code) < _PREFERRED.index(other.code):
            found[problem.path] = problem
    return [problem for problem in found.values() if not _follows(problem, found)]


def _follows(problem: Problem, found: Iterable[str]) -> bool:
    """Whether a list is only called too short because elements of it are wrong."""
    below = problem.path + "/"
    return problem.code == "OUT_OF_RANGE" and any(path.startswith(below) for path in found)


def _problem(
    details: Mapping[str, Any],
    raw: JsonValue,
    path: str,
    model: type[BaseModel],
    unknown: Sequence[Keys],
    gives: Mapping[Keys, str],
) -> Problem | None:
    kind: str = details["type"]
    keys, value = _reach(raw, details["loc"])
    here = path + pointers.pointer(keys)
    if kind == "missing":
        name = str(details["loc"][-1])
        return Problem(here + pointers.step(name), "MISSING_FIELD", f"the field {name!r} is missing")
    if kind == "extra_forbidden":
        name = str(keys[-1]) if keys else ""
        hint = _known_hint(name, model, len(keys))
        return Problem(here, "UNKNOWN_FIELD", f"there is no field {quoted(name)}", hint)
    if keys in gives and kind in _EXPECTED:
        message = f"must be {_EXPECTED[kind]}, but the expression gives {gives[keys]}"
        return Problem(here, "WRONG_TYPE", message)
    if any(place[: len(keys)] == keys for place in unknown):
        return None
    return Problem(here, *_worded(kind, details.get("ctx", {}), details["msg"], value))


def _reach(raw: JsonValue, loc: Sequence[str | int]) -> tuple[Keys, JsonValue]:
    """As far as `loc` leads into `raw`: pydantic puts names of alternatives in between."""
    keys: list[str | int] = []
    for key in loc:
        if isinstance(raw, dict):
            inside = key in raw
        else:
            inside = isinstance(raw, (list, tuple)) and isinstance(key, int) and key < len(raw)
        if inside:
            raw = raw[key]
            keys.append(key)
    return tuple(keys), raw


def _worded(kind: str, context: Mapping[str, Any], message: str, value: JsonValue) -> tuple[str, str, str]:
    """(code, message, hint) of an error that is about a value."""
    expected = _EXPECTED.get(_PARSED.get(kind, kind))
    if expected:
        return "WRONG_TYPE", f"must be {expected}, not {_kind(value)}", ""
    match kind:
        case "int_from_float":
            return "WRONG_TYPE", f"must be a whole number, not {quoted(value)}", ""
        case "literal_error" | "enum":
            choices = context["expected"]
            names = [choice.strip().strip("'") for choice in choices.replace(" or ", ", ").split(",")]
            hint = near_miss(value, names) if isinstance(value, str) else ""
            return "INVALID_VALUE", f"must be {choices}, not {quoted(value)}", hint
        case "greater_than_equal":
            return "OUT_OF_RANGE", f"must be at least {context['ge']:,}, not {quoted(value)}", ""
        case "greater_than":
            return "OUT_OF_RANGE", f"must be more than {context['gt']:,}, not {quoted(value)}", ""
        case "less_than_equal":
            return "OUT_OF_RANGE", f"must be at most {context['le']:,}, not {quoted(value)}", ""
        case "less_than":
            return "OUT_OF_RANGE", f"must be less than {context['lt']:,}, not {quoted(value)}", ""
        case "int_parsing_size":
            return "OUT_OF_RANGE", "this number is too large", ""
        case "finite_number":
            return "OUT_OF_RANGE", "must be a finite number", ""
        case "string_too_short" | "too_short":
            return "OUT_OF_RANGE", f"must hold at least {_amount(kind, context['min_length'])}", ""
        case "string_too_long" | "too_long":
            return "OUT_OF_RANGE", f"must hold at most {_amount(kind, context['max_length'])}", ""
        case "string_pattern_mismatch":
            return "INVALID_VALUE", f"{quoted(value)} does not match {context['pattern']}", ""
        case "invalid_id":
            return "INVALID_ID", message, ""
        case _:
            return "INVALID_VALUE", _sentence(message), ""


def _amount(kind: str, count: int) -> str:
    thing = "character" if kind.startswith("string") else "element"
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message.removeprefix("Input should be ").strip() or "this value is not allowed"


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the string {quoted(value)}"
        case int() | float():
            return f"the number {quoted(value)}"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def _known_hint(name: str, model: type[BaseModel], depth: int) -> str:
    fields = field_names(model)
    inner = sorted(_all_fields(model))
    hint = near_miss(name, fields if depth <= 1 else inner)
    if hint or depth > 1:
        return hint
    return f"known are {listed(fields)}" if fields else "it takes no fields"


@cache
def field_names(model: type[BaseModel]) -> tuple[str, ...]:
    """As JSON writes them."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


@cache
def _all_fields(model: type[BaseModel]) -> frozenset[str]:
    """Names of the fields of the model and of the models inside it."""
    seen: set[type[BaseModel]] = set()
    ahead = [model]
    while ahead:
        current = ahead.pop()
        if current not in seen:
            seen.add(current)
            ahead.extend(
                inner for field in current.model_fields.values() for inner in _models_in(field.annotation)
            )
    return frozenset(name for found in seen for name in field_names(found))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
