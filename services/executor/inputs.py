"""JSON that comes in from outside with a call: parsed, bounded, and held against its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from flow_engine.errors import InvalidInput, InvalidRequest, Problem
from flow_engine.payload import JsonValue, Payload, decode, encode
from flow_engine.workflow import pointers
from flow_engine.workflow.parsing import parse_json

MAX_INPUT_BYTES = 1 << 20
MAX_PROBLEMS = 100


def parse_input(text: str) -> Payload:
    """An input or an answer. Empty text is `{}`. Raises InvalidInput."""
    if not text:
        return Payload.of({})
    try:
        return Payload.of(parse_json(text, max_bytes=MAX_INPUT_BYTES))
    except InvalidRequest as error:
        raise InvalidInput(error.problems) from None


def check_against(schema: Mapping[str, Any] | None, value: JsonValue) -> None:
    """Raises InvalidInput with every place where the value does not fit its JSON Schema.

    A schema that cannot be used at all raises InvalidRequest.
    """
    if schema is None:
        return
    try:
        errors = sorted(validator(encode(schema)).iter_errors(value), key=place)
    except (SchemaError, Unresolvable, RecursionError, re2.error) as error:
        message = getattr(error, "message", "") or str(error) or "it refers to itself without end"
        raise InvalidRequest([Problem("/inputSchema", "INVALID_SCHEMA", message[:500])]) from None
    if errors:
        raise InvalidInput([problem_of(error) for error in errors[:MAX_PROBLEMS]])


def place(error: ValidationError) -> list[str]:
    return [str(key) for key in error.absolute_path]


def problem_of(error: ValidationError) -> Problem:
    path: list[str | int] = list(error.absolute_path)
    if error.validator == "required":
        missing = next(iter(required_by(error)), "")
        return Problem(pointers.pointer([*path, missing]), "MISSING_FIELD", f"field {missing!r} is required")
    code = CODES.get(str(error.validator), "INVALID_VALUE")
    return Problem(pointers.pointer(path), code, error.message[:500])


def required_by(error: ValidationError) -> list[str]:
    """The error is one of the missing names; its message begins with it."""
    names: Any = error.validator_value
    return [name for name in names if error.message.startswith(repr(name))]


CODES = {
    "type": "WRONG_TYPE",
    "enum": "NOT_ALLOWED",
    "const": "NOT_ALLOWED",
    "additionalProperties": "UNKNOWN_FIELD",
    "unevaluatedProperties": "UNKNOWN_FIELD",
}


# Schemas come from outside too: their patterns run in linear time, their references never leave them.


def pattern(_validator: Any, wanted: str, value: JsonValue, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not re2.search(wanted, value):
        yield ValidationError(f"{value!r} does not match {wanted!r}")


def pattern_properties(
    checker: Any, patterns: dict[str, Any], value: JsonValue, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for wanted, schema in patterns.items():
            for name, member in value.items():
                if re2.search(wanted, name):
                    yield from checker.descend(member, schema, path=name, schema_path=wanted)


SafeValidator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": pattern, "patternProperties": pattern_properties}
)


@lru_cache(maxsize=256)
def validator(schema_text: bytes) -> Any:
    """Raises SchemaError."""
    schema = decode(schema_text)
    Draft202012Validator.check_schema(schema)
    return SafeValidator(schema, registry=Registry())
