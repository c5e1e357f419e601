"""The conformance tests of the CEL specification, as far as they concern JSON values.

tests/data/cel/conformance.json holds them, differences.json those we answer differently on purpose.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from flow_engine.expressions import ExpressionError
from flow_engine.expressions.compiler import compile_source
from flow_engine.expressions.instants import parse_duration, parse_timestamp
from flow_engine.expressions.limits import DEFAULT_LIMITS, new_frame
from flow_engine.expressions.values import CelType, map_key

DATA = Path(__file__).parents[2] / "data" / "cel"
CASES = json.loads((DATA / "conformance.json").read_text())["cases"]
DIFFERENCES = json.loads((DATA / "differences.json").read_text())
DECLARED = {name: difference["reason"] for difference in DIFFERENCES for name in difference["cases"]}


def from_tagged(value: Any) -> Any:
    """A value as the data writes it, as the language holds it. Our integers are CEL's int and uint."""
    if isinstance(value, list):
        return [from_tagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    match kind:
        case "int" | "uint":
            return int(inner)
        case "double":
            return float(inner)
        case "bytes":
            return base64.b64decode(inner)
        case "map":
            return {map_key(from_tagged(key)): from_tagged(item) for key, item in inner}
        case "timestamp":
            return parse_timestamp(inner)
        case "duration":
            return parse_duration(inner)
    assert kind == "type"
    return CelType(inner)


def exact(value: Any) -> Any:
    """A stand-in that is equal only for values of the same type; NaN equals itself, -0.0 is not 0.0."""
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {exact(key): exact(item) for key, item in value.items()}
    return type(value).__name__, repr(value)


def answer(case: dict[str, Any]) -> Any:
    """The value of the case's expression, or "error"."""
    bindings = {name: from_tagged(value) for name, value in case.get("bindings", {}).items()}
    try:
        program = compile_source(case["expr"])
        return exact(program.run(new_frame(bindings, DEFAULT_LIMITS, program.slots)))
    except ExpressionError:
        return "error"


def expected(case: dict[str, Any]) -> Any:
    return "error" if "error" in case else exact(from_tagged(case["value"]))


@pytest.mark.parametrize("section", sorted({case["name"].split("/")[0] for case in CASES}))
def test_every_case_of_a_section_conforms_or_is_declared_different(section: str) -> None:
    wrong = [
        f"{case['name']}: {case['expr']} gives {answer(case)}"
        for case in CASES
        if case["name"].split("/")[0] == section
        and case["name"] not in DECLARED
        and answer(case) != expected(case)
    ]

    assert wrong == []


def test_every_declared_difference_is_one() -> None:
    by_name = {case["name"]: case for case in CASES}

    assert [name for name in DECLARED if answer(by_name[name]) == expected(by_name[name])] == []


def test_the_data_is_there() -> None:
    assert len(CASES) > 1500
    assert len(DECLARED) < 0.07 * len(CASES)
