"""Maps. None of these changes its map; each makes a new one."""

from __future__ import annotations

from typing import Any

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.registry import function
from flow_engine.expressions.limits import Frame, charge
from flow_engine.expressions.values import keys_of, map_key, type_name

GROUP = "Maps"


@function(
    GROUP,
    "map.keys() -> list",
    doc="The keys, in order.",
    examples=[("{'a': 1, 'b': 2}.keys()", '["a","b"]')],
)
def keys(frame: Frame, mapping: dict[Any, Any]) -> list[Any]:
    charge(frame, len(mapping) >> 1)
    return keys_of(mapping)


@function(
    GROUP,
    "map.values() -> list",
    doc="The values, in order.",
    examples=[("{'a': 1, 'b': 2}.values()", "[1,2]")],
)
def values(frame: Frame, mapping: dict[Any, Any]) -> list[Any]:
    charge(frame, len(mapping) >> 1)
    return list(mapping.values())


@function(
    GROUP,
    "map.entries() -> list",
    doc="A map of key and value for each entry, in order.",
    examples=[("{'a': 1}.entries()", '[{"key":"a","value":1}]')],
)
def entries(frame: Frame, mapping: dict[Any, Any]) -> list[dict[str, Any]]:
    charge(frame, 5 * len(mapping))
    return [
        {"key": key, "value": value} for key, value in zip(keys_of(mapping), mapping.values(), strict=True)
    ]


@function(
    GROUP,
    "map.merge(map) -> map",
    doc="Both maps in one; the second wins.",
    examples=[("{'a': 1, 'b': 2}.merge({'b': 3})", '{"a":1,"b":3}')],
)
def merge(frame: Frame, mapping: dict[Any, Any], other: dict[Any, Any]) -> dict[Any, Any]:
    charge(frame, 2 * (len(mapping) + len(other)))
    return mapping | other


@function(
    GROUP,
    "map.pick(list) -> map",
    doc="Only the entries with these keys, as far as there are any.",
    examples=[("{'a': 1, 'b': 2}.pick(['a', 'x'])", '{"a":1}')],
)
def pick(frame: Frame, mapping: dict[Any, Any], wanted: list[Any]) -> dict[Any, Any]:
    chosen = _keys(frame, wanted)
    charge(frame, 3 * len(mapping))
    return {key: value for key, value in mapping.items() if key in chosen}


@function(
    GROUP,
    "map.omit(list) -> map",
    doc="Without the entries with these keys.",
    examples=[("{'a': 1, 'b': 2}.omit(['a'])", '{"b":2}')],
)
def omit(frame: Frame, mapping: dict[Any, Any], unwanted: list[Any]) -> dict[Any, Any]:
    chosen = _keys(frame, unwanted)
    charge(frame, 3 * len(mapping))
    return {key: value for key, value in mapping.items() if key not in chosen}


@function(
    GROUP,
    "maps.fromEntries(list) -> map",
    doc="A map from maps of key and value, or from pairs; the opposite of entries.",
    examples=[("maps.fromEntries([['a', 1], {'key': 'b', 'value': 2}])", '{"a":1,"b":2}')],
)
def from_entries(frame: Frame, items: list[Any]) -> dict[Any, Any]:
    charge(frame, 10 * len(items))
    result = {}
    for item in items:
        if type(item) is list and len(item) == 2:
            key, value = item
        elif type(item) is dict and "key" in item and "value" in item:
            key, value = item["key"], item["value"]
        else:
            raise EvaluationError("maps.fromEntries needs pairs, or maps of key and value")
        result[checked_key(key)] = value
    return result


def checked_key(key: Any) -> Any:
    """key as dict keys hold it. Raises EvaluationError for what CEL allows as no key."""
    if type(key) not in (str, int, bool):
        raise EvaluationError(f"a key must be a string, an int or a bool, found {type_name(key)}")
    return map_key(key)


def _keys(frame: Frame, wanted: list[Any]) -> set[Any]:
    charge(frame, 2 * len(wanted))
    return {checked_key(key) for key in wanted}
