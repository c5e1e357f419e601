"""Every function, called with odd values of the types it takes, answers or fails in our own way."""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from typing import Any

import pytest

from flow_engine.expressions import EvaluationError, compile_expression
from flow_engine.expressions.functions import OVERLOADS, Overload
from flow_engine.expressions.instants import Duration, Timestamp
from flow_engine.expressions.values import BoolKey, CelType

ODD: dict[str, list[Any]] = {
    "null": [None],
    "bool": [True, False],
    "int": [0, -1, 3, 2**63 - 1, -(2**63), 2**64, 10**300],
    "double": [0.0, -0.0, 1.5, -2.5, 1e308, math.inf, -math.inf, math.nan],
    "string": [
        "",
        "a",
        "é😀",
        "\ud800",
        "\x00",
        "%s %d %Y",
        "%",
        "(",
        "[1",
        "Europe/Paris",
        "../etc",
        "-1",
        "1e999",
    ],
    "pattern": ["", "a", "(", "(a*)*", "\\", "[^a]{1,1000}"],
    "bytes": [b"", b"abc", b"\xff\x00"],
    "list": [[], [1, 2.5], ["b", "a"], [None], [[1], {"key": "a", "value": 1}], [True, 1], [math.nan, 1.0]],
    "map": [{}, {"a": 1}, {"a": None, "b": [math.inf]}, {1: "x", BoolKey(True): "y"}],
    "timestamp": [Timestamp(0), Timestamp(-62_135_596_800 * 10**9), Timestamp(253_402_300_800 * 10**9 - 1)],
    "duration": [Duration(0), Duration(-1), Duration(2**63 - 1)],
    "type": [CelType("int")],
}
ODD["number"] = [*ODD["int"], *ODD["double"]]
ODD["any"] = [values[0] for values in ODD.values()] + ["x", [1, {"a": b"x"}]]


def calls() -> list[Any]:
    return [
        pytest.param(overload, id=overload.signature)
        for overloads in OVERLOADS.values()
        for overload in overloads
    ]


@pytest.mark.parametrize("overload", calls())
def test_a_function_survives_odd_arguments(overload: Overload) -> None:
    names = [f"v{index}" for index in range(len(overload.parameters))]
    if overload.member:
        source = f"{names[0]}.{overload.name}({', '.join(names[1:])})"
    else:
        source = f"{overload.name}({', '.join(names)})"
    expression = compile_expression(source)
    combinations = itertools.product(*(ODD[kind] for kind in overload.parameters))

    for values in itertools.islice(combinations, 3000):
        with suppress(EvaluationError):
            expression.evaluate(dict(zip(names, values, strict=True)))


def test_operators_survive_odd_arguments() -> None:
    everything = [value for values in ODD.values() for value in values]
    for operator in ("+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"):
        expression = compile_expression(f"a {operator} b")
        for left, right in itertools.product(everything, everything):
            with suppress(EvaluationError):
                expression.evaluate({"a": left, "b": right})
    for source in (
        "-a",
        "!a",
        "a.b",
        "a[0]",
        "a['a']",
        "a[b]",
        "a.map(x, x)",
        "a.all(i, x, x == i)",
        "{a: 1}",
    ):
        expression = compile_expression(source)
        for left in everything:
            with suppress(EvaluationError):
                expression.evaluate({"a": left, "b": 1.5})
