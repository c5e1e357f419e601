"""What is known of a value before there is one: from a node type's output schema, or the inputSchema.

Only plain parts of JSON Schema count: `type`, `properties`, `additionalProperties`, `items`.
Whatever else a schema says, the answer is that anything may be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flow_engine.workflow.findings import listed, near_miss, quoted

ANYTHING: Final[Mapping[str, Any]] = {}

_WORDS: Final = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
_KINDS: Final = {
    "string": "string",
    "integer": "int",
    "number": "double",
    "boolean": "bool",
    "array": "list",
    "object": "map",
}
_BEYOND: Final = frozenset(("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties"))


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing can be where a path leads."""

    message: str
    hint: str = ""


def follow(schema: Any, keys: Sequence[str | int]) -> Mapping[str, Any] | Absent:
    """The schema of what `keys` lead to inside a value that fits `schema`."""
    for key in keys:
        if not isinstance(schema, Mapping) or schema.keys() & _BEYOND:
            return ANYTHING
        match schema.get("type"):
            case "object":
                found = _field(schema, str(key))
            case "array" if isinstance(key, int):
                found = schema.get("items", ANYTHING)
            case str() as name if name in _WORDS:
                return Absent(f"{_WORDS[name]} has no field {quoted(key)}")
            case _:
                return ANYTHING
        if isinstance(found, Absent):
            return found
        schema = found
    return schema if isinstance(schema, Mapping) else ANYTHING


def _field(schema: Mapping[str, Any], key: str) -> Any:
    fields = schema.get("properties", {})
    if not isinstance(fields, Mapping):
        return ANYTHING
    if key in fields:
        return fields[key]
    rest = schema.get("additionalProperties", ANYTHING)
    if rest is not False:
        return rest
    hint = near_miss(key, fields) or (f"it has {listed(fields)}" if fields else "it is empty")
    return Absent(f"there is no field {quoted(key)}", hint)


def kind_of(schema: Mapping[str, Any]) -> str:
    """The type of a value as expressions name it; "any" if it may be several."""
    name = schema.get("type")
    return _KINDS.get(name, "any") if isinstance(name, str) and not schema.keys() & _BEYOND else "any"
