"""What operators and access do to values: CEL's rules, with ints and doubles allowed to mix in arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flow_engine.expressions.errors import AbsentValue, EvaluationError
from flow_engine.expressions.instants import Duration, Timestamp, duration, timestamp
from flow_engine.expressions.lexer import INT_MAX, INT_MIN
from flow_engine.expressions.limits import Frame, charge
from flow_engine.expressions.values import (
    NUMBERS,
    comparable,
    contains,
    equal,
    map_key,
    preview,
    type_name,
)

Operator = Callable[[Frame, Any, Any], Any]


def no_overload(operator: str, left: Any, right: Any) -> EvaluationError:
    hint = ""
    if operator == "+" and (type(left) is str or type(right) is str):
        hint = "; string(…) makes text of a value"
    return EvaluationError(f"no such operation: {type_name(left)} {operator} {type_name(right)}{hint}")


def add(frame: Frame, left: Any, right: Any) -> Any:
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return _bounded(left + right)
    if kind is other:
        if kind is str or kind is bytes:
            charge(frame, (len(left) + len(right)) >> 5)
            return left + right
        if kind is list:
            charge(frame, (len(left) + len(right)) >> 2)
            return left + right
        if kind is Duration:
            return duration(left.nanoseconds + right.nanoseconds)
    if (kind is Timestamp and other is Duration) or (kind is Duration and other is Timestamp):
        return timestamp(left.nanoseconds + right.nanoseconds)
    raise no_overload("+", left, right)


def subtract(frame: Frame, left: Any, right: Any) -> Any:
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return _bounded(left - right)
    if kind is Timestamp and other is Duration:
        return timestamp(left.nanoseconds - right.nanoseconds)
    if kind is other and kind in (Timestamp, Duration):
        return duration(left.nanoseconds - right.nanoseconds)
    raise no_overload("-", left, right)


def multiply(frame: Frame, left: Any, right: Any) -> Any:
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return _bounded(left * right)
    raise no_overload("*", left, right)


def divide(frame: Frame, left: Any, right: Any) -> Any:
    """Ints divide towards zero; with a double, division by zero gives an infinity or NaN."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise EvaluationError("division by zero")
        quotient = abs(left) // abs(right)
        return _bounded(quotient if (left < 0) == (right < 0) else -quotient)
    if type(left) in NUMBERS and type(right) in NUMBERS:
        if right != 0:
            return left / right
        if left == 0 or left != left:
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    raise no_overload("/", left, right)


def remainder(frame: Frame, left: Any, right: Any) -> Any:
    """With the sign of the left side."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise EvaluationError("modulus by zero")
        rest = abs(left) % abs(right)
        return _bounded(-rest if left < 0 else rest)
    raise no_overload("%", left, right)


def _bounded(value: Any) -> Any:
    if type(value) is float or INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow: the result does not fit in 64 bits")


def negate(frame: Frame, value: Any) -> Any:
    if type(value) is int or type(value) is float:
        return _bounded(-value)
    if type(value) is Duration:
        return duration(-value.nanoseconds)
    raise EvaluationError(f"no such operation: -{type_name(value)}")


def equals(frame: Frame, left: Any, right: Any) -> bool:
    return equal(frame, left, right)


def differs(frame: Frame, left: Any, right: Any) -> bool:
    return not equal(frame, left, right)


def ordering(operator: str, compare: Callable[[Any, Any], Any]) -> Operator:
    def ordered(frame: Frame, left: Any, right: Any) -> bool:
        if not comparable(left, right):
            raise no_overload(operator, left, right)
        if type(left) in (str, bytes) and len(left) > 512:
            charge(frame, len(left) >> 9)
        return bool(compare(left, right))

    return ordered


def is_in(frame: Frame, left: Any, right: Any) -> bool:
    if type(right) is list:
        return contains(frame, right, left)
    if type(right) is dict:
        try:
            return map_key(left) in right
        except AbsentValue:
            return False
    raise no_overload("in", left, right)


def item(frame: Frame, value: Any, index: Any) -> Any:
    """`value[index]` of a list or map. Raises AbsentValue if there is none."""
    if type(value) is dict:
        try:
            return value[map_key(index)]
        except KeyError:
            raise AbsentValue(f"no such key: {preview(index)}") from None
    if type(value) is list:
        if type(index) is float and index.is_integer():
            index = int(index)
        if type(index) is not int:
            raise EvaluationError(f"a list has no index {preview(index)}")
        if not 0 <= index < len(value):
            raise AbsentValue(f"index {index} out of range: the list has {len(value)} elements")
        return value[index]
    raise not_readable(value, preview(index))


def member(value: Any, field: str) -> Any:
    """`value.field` of a map. Raises AbsentValue if there is none."""
    if type(value) is dict:
        try:
            return value[field]
        except KeyError:
            raise AbsentValue(f"no such key: {preview(field)}") from None
    raise not_readable(value, preview(field))


def not_readable(value: Any, what: str) -> EvaluationError:
    """Nothing can be read of value. Of null it is absent: `get(a.b, 0)` answers when a is null."""
    if value is None:
        return AbsentValue(f"cannot read {what} of null")
    return EvaluationError(f"cannot read {what} of a value of type {type_name(value)}")
