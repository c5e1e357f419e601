"""Types and conversions, as the CEL specification defines them."""

from __future__ import annotations

import re
from typing import Any

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.registry import function
from flow_engine.expressions.instants import (
    SECOND,
    Duration,
    Timestamp,
    duration_text,
    parse_duration,
    parse_timestamp,
    timestamp,
    timestamp_text,
)
from flow_engine.expressions.lexer import INT_MAX, INT_MIN
from flow_engine.expressions.limits import Frame, charge
from flow_engine.expressions.values import CelType, checked_int, preview, type_of

_INT = re.compile(r"[+-]?[0-9]{1,25}", re.ASCII)
_DOUBLE = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|Inf|Infinity)|NaN|nan", re.ASCII
)
_BOOLS = {"1": True, "t": True, "true": True, "TRUE": True, "True": True} | {
    "0": False, "f": False, "false": False, "FALSE": False, "False": False
}  # fmt: skip

GROUP = "Types and conversions"


@function(
    GROUP,
    "type(any) -> type",
    doc="The type of a value: null_type, bool, int, double, string, bytes, list, map, "
    "google.protobuf.Timestamp, google.protobuf.Duration or type.",
    examples=[("type(1) == int", "true"), ("type('a')", '"string"')],
)
def kind_of(frame: Frame, value: Any) -> CelType:
    return type_of(value)


@function(GROUP, "dyn(any) -> any", doc="The value itself; kept from CEL.", examples=[("dyn(1)", "1")])
def dyn(frame: Frame, value: Any) -> Any:
    return value


@function(
    GROUP,
    "bool(bool) -> bool",
    "bool(string) -> bool",
    doc="From 'true', 'True', 'TRUE', 't', '1' and their opposites.",
    examples=[("bool('true')", "true")],
)
def to_bool(frame: Frame, value: bool | str) -> bool:
    if type(value) is bool:
        return value
    if value not in _BOOLS:
        raise EvaluationError(f"{preview(value)} is no bool")
    return _BOOLS[str(value)]


@function(
    GROUP,
    "int(number) -> int",
    "int(string) -> int",
    "int(timestamp) -> int",
    doc="From a double (rounded towards zero), decimal text, or a timestamp (seconds since 1970).",
    examples=[("int(3.9)", "3"), ("int('42')", "42"), ("int(timestamp('1970-01-02T00:00:00Z'))", "86400")],
)
def to_int(frame: Frame, value: float | str | Timestamp) -> int:
    if type(value) is int:
        return checked_int(value)
    if type(value) is float:
        if not INT_MIN < value < INT_MAX:
            raise EvaluationError("the double does not fit in an integer of 64 bits")
        return int(value)
    if type(value) is Timestamp:
        return value.nanoseconds // SECOND
    if not _INT.fullmatch(str(value)):
        raise EvaluationError(f"{preview(value)} is no integer")
    return checked_int(int(str(value)))


@function(
    GROUP,
    "uint(number) -> int",
    "uint(string) -> int",
    doc="Like int, refusing negative numbers.",
    examples=[("uint('42')", "42")],
)
def to_uint(frame: Frame, value: float | str) -> int:
    number = value if type(value) is int else to_int(frame, value)
    if number < 0:
        raise EvaluationError(f"{preview(value)} is negative")
    return number


@function(
    GROUP,
    "double(number) -> double",
    "double(string) -> double",
    doc="From an integer or decimal text.",
    examples=[("double(2)", "2.0"), ("double('1e3')", "1000.0")],
)
def to_double(frame: Frame, value: float | str) -> float:
    if type(value) is str and not (len(value) < 400 and _DOUBLE.fullmatch(value)):
        raise EvaluationError(f"{preview(value)} is no number")
    return float(value)


@function(
    GROUP,
    "string(string) -> string",
    "string(bool) -> string",
    "string(number) -> string",
    "string(bytes) -> string",
    "string(timestamp) -> string",
    "string(duration) -> string",
    "string(type) -> string",
    doc="The text of a value; bytes are read as UTF-8. For null, lists and maps see `json.encode`.",
    examples=[("string(1.5)", '"1.5"'), ("string(duration('90s'))", '"90s"'), ("string(b'abc')", '"abc"')],
)
def to_string(frame: Frame, value: Any) -> str:
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return double_text(value)
    if kind is bytes:
        charge(frame, len(value) >> 5)
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise EvaluationError("the bytes are not UTF-8") from None
    if kind is Timestamp:
        return timestamp_text(value)
    if kind is Duration:
        return duration_text(value)
    return value.name if kind is CelType else str(value)


def double_text(value: float) -> str:
    """The shortest text that reads back as value, without exponent up to 1e16 and without a needless `.0`."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    return text.removesuffix(".0")


@function(
    GROUP,
    "bytes(string) -> bytes",
    "bytes(bytes) -> bytes",
    doc="The UTF-8 of a text. Bytes that reach the result become base64 text.",
    examples=[("bytes('abc')", '"YWJj"'), ("size(bytes('é'))", "2")],
)
def to_bytes(frame: Frame, value: str | bytes) -> bytes:
    if type(value) is bytes:
        return value
    charge(frame, len(value) >> 4)
    return str(value).encode()


@function(
    GROUP,
    "timestamp(string) -> timestamp",
    "timestamp(int) -> timestamp",
    "timestamp(timestamp) -> timestamp",
    doc="From RFC 3339 text or seconds since 1970. In the result it becomes RFC 3339 text in UTC.",
    examples=[("timestamp('2026-01-31T12:00:00+02:00')", '"2026-01-31T10:00:00Z"')],
)
def to_timestamp(frame: Frame, value: str | int | Timestamp) -> Timestamp:
    if type(value) is Timestamp:
        return value
    if type(value) is int:
        return timestamp(value * SECOND)
    charge(frame, 60)
    return parse_timestamp(str(value))


@function(
    GROUP,
    "duration(string) -> duration",
    "duration(duration) -> duration",
    doc='From text in h, m, s, ms, us, ns. In the result it becomes seconds: "3.5s".',
    examples=[("duration('1h30m')", '"5400s"'), ("duration('3500ms')", '"3.5s"')],
)
def to_duration(frame: Frame, value: str | Duration) -> Duration:
    if type(value) is Duration:
        return value
    charge(frame, 60)
    return parse_duration(str(value))
