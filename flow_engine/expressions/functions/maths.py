"""Numbers: CEL's math extension, for ints and doubles alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.registry import function
from flow_engine.expressions.lexer import INT_MAX, UINT_MAX
from flow_engine.expressions.limits import Frame, charge
from flow_engine.expressions.values import NUMBERS, checked_int

GROUP = "Numbers"


@function(
    GROUP,
    "math.greatest(list) -> number",
    "math.greatest(number...) -> number",
    doc="The largest of its arguments, or of a list.",
    examples=[("math.greatest(1, 2.5)", "2.5"), ("math.greatest([1, 3, 2])", "3")],
)
def greatest(frame: Frame, *values: Any) -> Any:
    return max(_numbers(frame, values))


@function(
    GROUP,
    "math.least(list) -> number",
    "math.least(number...) -> number",
    doc="The smallest of its arguments, or of a list.",
    examples=[("math.least(1, 2.5)", "1")],
)
def least(frame: Frame, *values: Any) -> Any:
    return min(_numbers(frame, values))


def _numbers(frame: Frame, values: tuple[Any, ...]) -> list[Any]:
    items = values[0] if type(values[0]) is list else list(values)
    charge(frame, len(items))
    if not items or not set(map(type, items)) <= NUMBERS:
        raise EvaluationError("numbers expected")
    return items


@function(GROUP, "math.abs(number) -> number", doc="Without its sign.", examples=[("math.abs(-3)", "3")])
def absolute(frame: Frame, value: Any) -> Any:
    return checked_int(abs(value)) if type(value) is int else abs(value)


@function(GROUP, "math.sign(number) -> number", doc="-1, 0 or 1.", examples=[("math.sign(-2.5)", "-1.0")])
def sign(frame: Frame, value: Any) -> Any:
    return value if value != value else type(value)((value > 0) - (value < 0))


@function(
    GROUP,
    "math.ceil(number) -> number",
    doc="The next whole number upwards; a double stays a double.",
    examples=[("math.ceil(1.2)", "2.0"), ("int(math.ceil(1.2))", "2")],
)
def ceiling(frame: Frame, value: Any) -> Any:
    return _whole(math.ceil, value)


@function(
    GROUP,
    "math.floor(number) -> number",
    doc="The next whole number downwards.",
    examples=[("math.floor(1.8)", "1.0")],
)
def floor(frame: Frame, value: Any) -> Any:
    return _whole(math.floor, value)


@function(
    GROUP,
    "math.trunc(number) -> number",
    doc="The whole number towards zero.",
    examples=[("math.trunc(-1.8)", "-1.0")],
)
def truncate(frame: Frame, value: Any) -> Any:
    return _whole(math.trunc, value)


def _whole(rounding: Callable[[float], int], value: Any) -> Any:
    """A double rounded; ints and what is not finite stay, and so does the sign of zero."""
    if type(value) is int or not math.isfinite(value):
        return value
    return (
        math.copysign(rounding(value), value)
        if abs(value) < 1 and not rounding(value)
        else float(rounding(value))
    )


@function(
    GROUP,
    "math.round(number) -> number",
    "math.round(number, int) -> number",
    doc="To the nearest whole number, halves away from zero; or to so many decimals.",
    examples=[("math.round(2.5)", "3.0"), ("math.round(3.14159, 2)", "3.14")],
)
def nearest(frame: Frame, value: Any, decimals: int = 0) -> Any:
    if type(value) is int or not math.isfinite(value):
        return value
    if not 0 <= decimals <= 15:
        raise EvaluationError("math.round needs 0 to 15 decimals")
    if decimals:
        return round(value, decimals)
    return math.copysign(math.floor(abs(value) + 0.5), value) if abs(value) < 2**52 else value


@function(
    GROUP,
    "math.sqrt(number) -> double",
    doc="The square root; NaN of a negative number.",
    examples=[("math.sqrt(9)", "3.0")],
)
def square_root(frame: Frame, value: Any) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


@function(
    GROUP,
    "math.pow(number, number) -> double",
    doc="One number to the power of another, as a double.",
    examples=[("math.pow(2, 10)", "1024.0")],
)
def power(frame: Frame, base: Any, exponent: Any) -> float:
    return math.pow(base, exponent)


@function(
    GROUP,
    "math.isNaN(number) -> bool",
    doc="Whether a number is NaN (0.0 / 0.0).",
    examples=[("math.isNaN(0.0 / 0.0)", "true")],
)
def is_nan(frame: Frame, value: Any) -> bool:
    return bool(value != value)


@function(
    GROUP,
    "math.isInf(number) -> bool",
    doc="Whether a number is infinite.",
    examples=[("math.isInf(1.0 / 0.0)", "true")],
)
def is_infinite(frame: Frame, value: Any) -> bool:
    return type(value) is float and math.isinf(value)


@function(
    GROUP,
    "math.isFinite(number) -> bool",
    doc="Whether a number is neither NaN nor infinite.",
    examples=[("math.isFinite(1.5)", "true")],
)
def is_finite(frame: Frame, value: Any) -> bool:
    return type(value) is int or math.isfinite(value)


@function(GROUP, "math.bitAnd(int, int) -> int", doc="Bits in both.", examples=[("math.bitAnd(6, 3)", "2")])
def bit_and(frame: Frame, left: int, right: int) -> int:
    return left & right


@function(GROUP, "math.bitOr(int, int) -> int", doc="Bits in either.", examples=[("math.bitOr(6, 3)", "7")])
def bit_or(frame: Frame, left: int, right: int) -> int:
    return left | right


@function(
    GROUP, "math.bitXor(int, int) -> int", doc="Bits in one only.", examples=[("math.bitXor(6, 3)", "5")]
)
def bit_xor(frame: Frame, left: int, right: int) -> int:
    return left ^ right


@function(GROUP, "math.bitNot(int) -> int", doc="Bits turned over.", examples=[("math.bitNot(1)", "-2")])
def bit_not(frame: Frame, value: int) -> int:
    return ~value


@function(
    GROUP,
    "math.bitShiftLeft(int, int) -> int",
    doc="Bits moved left; those beyond 64 are lost.",
    examples=[("math.bitShiftLeft(1, 4)", "16")],
)
def shift_left(frame: Frame, value: int, places: int) -> int:
    if places < 0:
        raise EvaluationError("negative shift")
    bits = (value << places) & UINT_MAX if places < 64 else 0
    return bits - 2**64 if bits > INT_MAX else bits


@function(
    GROUP,
    "math.bitShiftRight(int, int) -> int",
    doc="Bits moved right, filled with zeros.",
    examples=[("math.bitShiftRight(16, 4)", "1")],
)
def shift_right(frame: Frame, value: int, places: int) -> int:
    if places < 0:
        raise EvaluationError("negative shift")
    bits = (value & UINT_MAX) >> places if places < 64 else 0
    return bits - 2**64 if bits > INT_MAX else bits
