"""JSON Schemas that users send: checked before they are kept, and bounded when values are held against them.

Dialect: draft 2020-12. Nothing is fetched: `$ref` leads to places in the schema itself. Patterns
run in google-re2, whose time is linear. The work of one check is counted and limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from flow_engine import payload
from flow_engine.errors import Problem
from flow_engine.expressions.functions.patterns import InvalidPattern, compiled
from flow_engine.payload import JsonValue
from flow_engine.workflow import pointers
from flow_engine.workflow.findings import quoted

CHECKS_PER_SCHEMA = 10_000
CHECKS_PER_BYTE = 0.5
"""How many keywords may be held against a value, by the length of its JSON text: about 5 µs each at worst."""
MAX_SHOWN = 100

_REFERENCES = ("$ref", "$dynamicRef")
_METASCHEMA: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA)
_checks_left: ContextVar[list[int]] = ContextVar("checks_left")


class TooExpensive(Exception):
    """Holding the value against the schema takes more work than is allowed."""


def schema_problems(schema: Mapping[str, JsonValue], path: str) -> list[Problem]:
    """What is wrong with a schema that stands at `path`."""
    try:
        problems = [
            Problem(path + pointers.pointer(error.absolute_path), "INVALID_SCHEMA", _shortened(error.message))
            for error in _METASCHEMA.iter_errors(schema)
        ]
        return problems or [*_unusable(schema, schema, path)] or _endless(schema, path)
    except RecursionError:
        return [Problem(path, "INVALID_SCHEMA", "the schema nests too deep")]


def value_problems(schema: Mapping[str, JsonValue], value: JsonValue, path: str = "") -> list[Problem]:
    """Where `value`, which stands at `path`, does not fit the schema; the first hundred places."""
    _checks_left.set([CHECKS_PER_SCHEMA + int(CHECKS_PER_BYTE * len(payload.encode(value)))])
    found: dict[Problem, None] = {}
    try:
        for error in _validator(payload.encode(schema)).iter_errors(value):
            found[_problem(error, path)] = None
            if len(found) == MAX_SHOWN:
                break
    except (TooExpensive, RecursionError):
        message = "the schema takes too much work to check this value"
        found[Problem(path, "SCHEMA_TOO_EXPENSIVE", message)] = None
    except Unresolvable as error:
        message = f"the schema refers to {quoted(error.ref)}, which is not there"
        found[Problem(path, "INVALID_SCHEMA", message)] = None
    return list(found)


@lru_cache(maxsize=256)
def _validator(schema_json: bytes) -> Any:
    return _Bounded(payload.decode(schema_json), registry=Registry())


# Before a schema is kept


def _unusable(node: JsonValue, schema: Mapping[str, JsonValue], path: str) -> Iterator[Problem]:
    """References that lead out or nowhere, patterns that cannot run; wherever they stand."""
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from _unusable(child, schema, f"{path}/{index}")
    if not isinstance(node, dict):
        return
    for key, child in node.items():
        here = path + pointers.step(key)
        if key in _REFERENCES and isinstance(child, str):
            yield from _reference_problems(child, schema, here)
        elif key == "$id" and node is not schema:
            yield Problem(here, "INVALID_SCHEMA", "only the whole schema may have an $id")
        elif key == "pattern" and isinstance(child, str):
            yield from _pattern_problems(child, here)
        elif key == "patternProperties" and isinstance(child, dict):
            for pattern in child:
                yield from _pattern_problems(pattern, here + pointers.step(pattern))
            if "unevaluatedProperties" in node:
                yield Problem(
                    here, "INVALID_SCHEMA", "patternProperties beside unevaluatedProperties is not supported"
                )
        if key not in ("const", "enum", "default", "examples"):
            yield from _unusable(child, schema, here)


def _reference_problems(reference: str, schema: Mapping[str, JsonValue], path: str) -> Iterator[Problem]:
    if not reference.startswith("#"):
        message = f"the schema refers to {quoted(reference)}, which lies outside"
        yield Problem(path, "REMOTE_REFERENCE", message, "put it under $defs and write #/$defs/…")
        return
    resource = DRAFT202012.create_resource({key: value for key, value in schema.items() if key != "$id"})
    try:
        Registry().with_resource("", resource).resolver("").lookup(reference)
    except Unresolvable:
        yield Problem(path, "INVALID_SCHEMA", f"the schema refers to {quoted(reference)}, which is not there")


def _pattern_problems(pattern: str, path: str) -> Iterator[Problem]:
    try:
        compiled(pattern)
    except InvalidPattern as error:
        hint = "patterns are RE2: no look-around and no back references"
        yield Problem(
            path, "INVALID_REGEX", f"{quoted(pattern)} is no pattern: {_shortened(str(error))}", hint
        )


def _endless(schema: Mapping[str, JsonValue], path: str) -> list[Problem]:
    """Whether the schema refers to itself without going into the value: no value could pass it in time."""
    if any(problem.code == "SCHEMA_TOO_EXPENSIVE" for problem in value_problems(schema, {})):
        return [Problem(path, "SCHEMA_TOO_EXPENSIVE", "the schema refers to itself without end")]
    return []


# When a value is held against it


Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def _counted(check: Keyword) -> Keyword:
    def run(validator: Any, expected: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        left = _checks_left.get()
        _take(left)
        for error in check(validator, expected, instance, schema) or ():
            _take(left)  # an error climbs through every schema around it
            yield error

    return run


def _take(left: list[int]) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise TooExpensive


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compiled(pattern).search(instance):
        yield ValidationError(f"{quoted(instance)} does not match {pattern}")


def _pattern_properties(
    validator: Any, patterns: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        for key, value in instance.items():
            if compiled(pattern).search(key):
                yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known, patterns = (
        schema.get("properties", {}),
        [compiled(text) for text in schema.get("patternProperties", {})],
    )
    for key, value in instance.items():
        if key in known or any(pattern.search(key) for pattern in patterns):
            continue
        if allowed is False:
            error = ValidationError(f"there is no field {quoted(key)}")
            error.path.append(key)
            yield error
        else:
            yield from validator.descend(value, allowed, path=key)


def _unique_items(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if unique and isinstance(instance, list) and len({_identity(item) for item in instance}) < len(instance):
        yield ValidationError("the list holds an element twice")


def _identity(value: JsonValue) -> bytes:
    """The same for values that are equal as JSON: 1 and 1.0, objects in any order."""
    return payload.encode(_ordered(value))


def _ordered(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Bounded: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        name: _counted(check)
        for name, check in {
            **Draft202012Validator.VALIDATORS,
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
            "uniqueItems": _unique_items,
        }.items()
    },
)

_CODES = {
    "required": "MISSING_FIELD",
    "additionalProperties": "UNKNOWN_FIELD",
    "unevaluatedProperties": "UNKNOWN_FIELD",
    "type": "WRONG_TYPE",
    **dict.fromkeys(
        "minimum maximum exclusiveMinimum exclusiveMaximum minLength maxLength minItems maxItems "
        "minProperties maxProperties".split(),
        "OUT_OF_RANGE",
    ),
}


def _problem(error: Any, path: str) -> Problem:
    here = path + pointers.pointer(error.absolute_path)
    code = _CODES.get(str(error.validator), "INVALID_VALUE")
    match error.validator:
        case "required":
            name = next(name for name in error.validator_value if f"{name!r} is a required" in error.message)
            return Problem(here + pointers.step(name), code, f"the field {name!r} is missing")
        case "type":
            names = (
                error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
            )
            return Problem(here, code, f"must be of type {' or '.join(names)}, not {quoted(error.instance)}")
        case _:
            return Problem(here, code, _shortened(error.message))


def _shortened(message: str) -> str:
    return message if len(message) <= 300 else message[:140] + " … " + message[-140:]
