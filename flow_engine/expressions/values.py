"""The values expressions compute with: JSON values, and what CEL adds to them.

null, bool, int, double, string, list and map are Python's None, bool, int, float, str, list and dict.
bytes, timestamps, durations and types exist inside an expression only; `to_json` turns them into strings.
Map keys are strings, ints and bools; the two bools are kept as BoolKey, because in Python True == 1.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, TypeAlias

from flow_engine.expressions.errors import AbsentValue, EvaluationError, LimitExceeded
from flow_engine.expressions.instants import Duration, Timestamp, duration_text, timestamp_text
from flow_engine.expressions.lexer import INT_MAX, INT_MIN
from flow_engine.expressions.limits import BYTES, DEPTH, Frame, charge

JsonValue: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None

MAX_INNER_DEPTH: Final = 128
"""How deep a value may nest for it to be compared or measured at all."""


@dataclass(frozen=True, slots=True)
class CelType:
    """What `type(x)` answers."""

    name: str


@dataclass(frozen=True, slots=True)
class BoolKey:
    """The key `true` or `false` of a map."""

    value: bool


_TRUE_KEY, _FALSE_KEY = BoolKey(True), BoolKey(False)

_TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    CelType: "type",
}
CEL_TYPES: Final = {name: CelType(name) for name in _TYPE_NAMES.values()}
_SHORT_NAMES: Final = {
    "null_type": "null",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}

NUMBERS: Final = frozenset((int, float))
_ORDERED: Final = frozenset((bool, bytes, Timestamp, Duration))


def type_of(value: Any) -> CelType:
    return CEL_TYPES[_TYPE_NAMES.get(type(value), "map")]


def type_name(value: Any) -> str:
    """The name of value's type as error messages and signatures write it."""
    return named_type(type(value))


def named_type(kind: type) -> str:
    name = _TYPE_NAMES.get(kind, "string")  # compiled patterns are the only other values there are
    return _SHORT_NAMES.get(name, name)


def checked_int(value: int) -> int:
    """value, if it fits in 64 bits. Raises EvaluationError: CEL's integers do not wrap and do not grow."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow: the result does not fit in 64 bits")


# Maps


def map_key(key: Any) -> Any:
    """key as dict keys hold it. Raises AbsentValue for what cannot be a key: a look-up finds nothing."""
    kind = type(key)
    if kind is str or kind is int:
        return key
    if kind is bool:
        return _TRUE_KEY if key else _FALSE_KEY
    if kind is float and key.is_integer():
        return int(key)
    raise AbsentValue(f"no such key: {preview(key)}")


def keys_of(mapping: dict[Any, Any]) -> list[Any]:
    """The keys as values of the language, in order."""
    if _TRUE_KEY in mapping or _FALSE_KEY in mapping:
        return [key.value if type(key) is BoolKey else key for key in mapping]
    return list(mapping)


def preview(value: Any) -> str:
    """A short text of value for error messages. Never the whole of a large value."""
    kind = type(value)
    if kind is str:
        return repr(value if len(value) <= 40 else value[:37] + "...")
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return repr(value) if kind is float or abs(value) < 10**40 else "a very large integer"
    return type_name(value)


# Equality and order


def equal(frame: Frame, left: Any, right: Any, depth: int = 0) -> bool:
    """CEL's ==: numbers by value, lists and maps by their parts; other values of two types are unequal."""
    kind, other = type(left), type(right)
    if kind is not other:
        return kind in NUMBERS and other in NUMBERS and bool(left == right)
    if kind is str or kind is bytes:
        if len(left) > 512:
            charge(frame, len(left) >> 9)
        return bool(left == right)
    if kind is list:
        if len(left) != len(right):
            return False
        _descend(depth)
        charge(frame, 8 * len(left) + 8)
        return all(equal(frame, a, b, depth + 1) for a, b in zip(left, right, strict=True))
    if kind is dict:
        if len(left) != len(right):
            return False
        _descend(depth)
        charge(frame, 10 * len(left) + 8)
        return all(key in right and equal(frame, value, right[key], depth + 1) for key, value in left.items())
    return bool(left == right)


def contains(frame: Frame, items: list[Any], wanted: Any) -> bool:
    """Whether an element of items equals wanted."""
    kind = type(wanted)
    if kind is str:
        charge(frame, len(items) >> 1)
        if len(wanted) > 512:
            charge(frame, len(items) * (len(wanted) >> 9))
        return wanted in items
    if kind in NUMBERS:
        charge(frame, len(items))
        return any(item == wanted and type(item) in NUMBERS for item in items)
    charge(frame, 5 * len(items))
    return any(equal(frame, item, wanted) for item in items)


def comparable(left: Any, right: Any) -> bool:
    """Whether < is defined between the two."""
    kind, other = type(left), type(right)
    if kind is other:
        return kind is str or kind in NUMBERS or kind in _ORDERED
    return kind in NUMBERS and other in NUMBERS


def frozen(frame: Frame, value: Any, depth: int = 0) -> Any:
    """A hashable stand-in: two values are equal in CEL exactly when their stand-ins are equal in Python."""
    kind = type(value)
    if kind is bool:
        return _TRUE_KEY if value else _FALSE_KEY
    if kind is list:
        _descend(depth)
        charge(frame, 11 * len(value) + 11)
        return list, tuple(frozen(frame, item, depth + 1) for item in value)
    if kind is dict:
        _descend(depth)
        charge(frame, 16 * len(value) + 16)
        return dict, frozenset((key, frozen(frame, item, depth + 1)) for key, item in value.items())
    if kind is str and len(value) > 64:
        charge(frame, len(value) >> 6)
    return value


def _descend(depth: int) -> None:
    if depth >= MAX_INNER_DEPTH:
        raise LimitExceeded(f"a value nests deeper than {MAX_INNER_DEPTH}")


# The way out


def to_json(frame: Frame, value: Any) -> JsonValue:
    """value as plain JSON, the same object where it already is.

    Timestamps become RFC 3339, durations "3.5s", bytes base64, types their name, int and bool keys strings.
    Raises EvaluationError for NaN, infinities and keys that become equal; LimitExceeded beyond size and
    depth.
    """
    if _measure(frame, value, frame[DEPTH]):
        return value  # type: ignore[no-any-return]
    return _converted(value)


def _measure(frame: Frame, value: Any, depth: int) -> bool:
    """Take the size of value's JSON text from the frame; answer whether value is plain JSON as it is."""
    kind = type(value)
    if kind is list:
        return _measure_all(frame, value, depth)
    if kind is dict:
        keys_are_plain = _measure_keys(frame, value)
        return _measure_all(frame, value.values(), depth) and keys_are_plain
    if kind in _SCALARS:
        return _measure_all(frame, (value,), depth + 1)
    _take(frame, len(value) * 4 // 3 + 4 if kind is bytes else 40)
    return False


_SCALARS: Final = frozenset((str, int, float, bool, type(None)))


def _measure_all(frame: Frame, items: Collection[Any], depth: int) -> bool:
    """The same for the elements of a list or map; scalars, most of them, without a call for each."""
    if depth <= 0:
        raise LimitExceeded(f"the result nests deeper than {frame[DEPTH]}")
    charge(frame, 8 + 3 * len(items))
    plain = True
    size = 2
    for item in items:
        kind = type(item)
        if kind is str:
            size += (len(item) if item.isascii() else 3 * len(item)) + 3
        elif kind is int:
            size += 2 + item.bit_length() // 3
        elif kind is float:
            size += 9
            if not isfinite(item):
                raise EvaluationError(f"{_unlimited(item)} is no JSON value")
        elif kind is bool or item is None:
            size += 6
        elif not _measure(frame, item, depth - 1):
            plain = False
    _take(frame, size)
    return plain


def _measure_keys(frame: Frame, mapping: dict[Any, Any]) -> bool:
    plain = True
    size = 0
    for key in mapping:
        if type(key) is str:
            size += len(key) + 4
        else:
            plain = False
    _take(frame, size)
    return plain


def _take(frame: Frame, size: int) -> None:
    frame[BYTES] -= size
    if frame[BYTES] < 0:
        raise LimitExceeded("the result of the expression is too large")


def _converted(value: Any) -> JsonValue:
    kind = type(value)
    if kind is list:
        return [_converted(item) for item in value]
    if kind is dict:
        result = {json_key(key): _converted(item) for key, item in value.items()}
        if len(result) != len(value):
            raise EvaluationError("two keys of a map become the same string in JSON")
        return result
    if kind is Timestamp:
        return timestamp_text(value)
    if kind is Duration:
        return duration_text(value)
    if kind is bytes:
        return base64.b64encode(value).decode("ascii")
    if kind is CelType:
        return str(value.name)
    return value  # type: ignore[no-any-return]


def json_key(key: Any) -> str:
    if type(key) is BoolKey:
        return "true" if key.value else "false"
    return str(key)


def _unlimited(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
