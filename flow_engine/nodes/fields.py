"""Fields inside JSON values, named by dotted paths, and what makes two values the same."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from flow_engine.payload import JsonValue

FieldPath = Annotated[str, Field(min_length=1, max_length=500)]
"""`customer.address.city`; a key that holds dots itself is found first where an object has it."""


class _Missing:
    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()
"""No value, as opposed to null."""


def field_of(value: JsonValue, path: str) -> Any:
    """What stands at `path` in nested objects, or MISSING."""
    if isinstance(value, dict) and path in value:
        return value[path]
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return MISSING
        value = value[key]
    return value


def identity(value: JsonValue) -> Hashable:
    """The same for values that are equal as JSON, and for no others: 1 and 1.0, but not 1 and true or "1"."""
    match value:
        case bool():
            return ("bool", value)
        case list():
            return ("list", tuple(identity(item) for item in value))
        case dict():
            return ("object", frozenset((key, identity(item)) for key, item in value.items()))
        case str() | int() | float():
            return value  # numbers are equal by value, and never to strings
        case _:
            return None


def identity_of_fields(value: JsonValue, paths: Sequence[str]) -> Hashable:
    """The identity of several fields together; a missing field is not null."""
    found = (field_of(value, path) for path in paths)
    return tuple(MISSING if field is MISSING else identity(field) for field in found)
