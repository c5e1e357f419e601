"""`string.format`, by the rules of CEL's string extension."""

from __future__ import annotations

import re
from math import isfinite
from operator import itemgetter
from typing import Any

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.conversions import double_text, to_string
from flow_engine.expressions.limits import Frame, charge
from flow_engine.expressions.values import MAX_INNER_DEPTH, json_key, type_name

_CLAUSE = re.compile(r"%(?:\.(\d{1,3}))?([a-zA-Z%]|$|.)", re.DOTALL | re.ASCII)
_MAX_PRECISION = 100
_NOTHING = object()


def formatted(frame: Frame, text: str, values: list[Any]) -> str:
    """text with its clauses replaced by values, in order. Raises EvaluationError."""
    rest = iter(values)

    def clause(match: re.Match[str]) -> str:
        precision, letter = match.groups()
        if letter == "%" and precision is None:
            return "%"
        if letter not in _CLAUSES:
            raise EvaluationError(f"unknown formatting clause {match.group()!r}")
        value = next(rest, _NOTHING)
        if value is _NOTHING:
            raise EvaluationError("format has more clauses than values")
        result: str = _CLAUSES[letter](
            frame, value, 6 if precision is None else min(int(precision), _MAX_PRECISION)
        )
        charge(frame, 20 + (len(result) >> 2))
        return result

    return _CLAUSE.sub(clause, text)


def _text(frame: Frame, value: Any, precision: int) -> str:
    pieces: list[str] = []
    _write(frame, value, pieces, 0)
    return "".join(pieces)


def _write(frame: Frame, value: Any, pieces: list[str], depth: int) -> None:
    charge(frame, 14)
    if depth > MAX_INNER_DEPTH:
        raise EvaluationError("the value nests too deep to be formatted")
    if type(value) is list:
        pieces.append("[")
        for index, item in enumerate(value):
            pieces.append(", " if index else "")
            _write(frame, item, pieces, depth + 1)
        pieces.append("]")
    elif type(value) is dict:
        charge(frame, 4 * len(value))
        pieces.append("{")
        entries = sorted(((json_key(key), item) for key, item in value.items()), key=itemgetter(0))
        for index, (key, item) in enumerate(entries):
            pieces.append(f"{', ' if index else ''}{key}: ")
            _write(frame, item, pieces, depth + 1)
        pieces.append("}")
    elif value is None:
        pieces.append("null")
    elif type(value) is float and not isfinite(value):
        pieces.append(_number_name(value))
    else:
        text = to_string(frame, value)
        charge(frame, len(text) >> 5)
        pieces.append(text)


def _decimal(frame: Frame, value: Any, precision: int) -> str:
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return double_text(value) if isfinite(value) else _number_name(value)
    raise EvaluationError(f"%d needs an integer, found {type_name(value)}")


def _fixed(frame: Frame, value: Any, precision: int) -> str:
    return _floating(value, "f", precision)


def _scientific(frame: Frame, value: Any, precision: int) -> str:
    return _floating(value, "e", precision)


def _floating(value: Any, letter: str, precision: int) -> str:
    if type(value) not in (int, float):
        raise EvaluationError(f"%{letter} needs a number, found {type_name(value)}")
    if type(value) is float and not isfinite(value):
        return _number_name(value)
    return f"{value:.{precision}{letter}}"


def _based(letter: str) -> Any:
    def write(frame: Frame, value: Any, precision: int) -> str:
        if type(value) is int or (letter == "b" and type(value) is bool):
            return format(value, letter) if type(value) is int else str(int(value))
        if letter in "xX" and type(value) in (str, bytes):
            charge(frame, len(value) >> 3)
            digits = (value.encode() if type(value) is str else value).hex()
            return digits.upper() if letter == "X" else digits
        raise EvaluationError(f"%{letter} needs an integer, found {type_name(value)}")

    return write


def _number_name(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


_CLAUSES = {
    "s": _text,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _based("b"),
    "o": _based("o"),
    "x": _based("x"),
    "X": _based("X"),
}
