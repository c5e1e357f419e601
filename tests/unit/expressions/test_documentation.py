"""docs/expressions.md tells the truth: its examples run, its tables are those of the registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flow_engine.expressions import errors
from flow_engine.expressions.compiler import SPECIAL_FORMS
from flow_engine.expressions.expression import compile_expression
from flow_engine.expressions.functions import OVERLOADS
from flow_engine.expressions.macros import MACROS
from flow_engine.expressions.reference import with_tables

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "expressions.md").read_text(encoding="utf-8")
DIFFERENCES = json.loads((ROOT / "tests" / "data" / "cel" / "differences.json").read_text(encoding="utf-8"))


def cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def code(cell: str) -> list[str]:
    return [part[1:-1] for part in cell.split("<br>")]


ROWS = [cells(line) for line in PAGE.split("## Functions")[1].splitlines() if line.startswith("| `")]
EXAMPLES = [
    pytest.param(example, value, id=example)
    for _, _, examples, row_values in ROWS
    for example, value in zip(code(examples), code(row_values), strict=True)
]


@pytest.mark.parametrize(("source", "value"), EXAMPLES)
def test_an_example_has_the_value_beside_it(source: str, value: str) -> None:
    result = compile_expression(source).evaluate({})

    assert json.dumps(result, ensure_ascii=False, separators=(",", ":")) == value


def test_the_tables_are_those_of_the_registry() -> None:
    assert with_tables(PAGE) == PAGE, "python -m flow_engine.expressions.reference docs/expressions.md"


def test_every_function_and_macro_has_a_row_with_an_example() -> None:
    documented = {re.split(r"\(", signature)[0] for row in ROWS for signature in code(row[0])}
    names = {name.split(".")[-1] for name in documented}

    missing = [name for name in [*OVERLOADS, *SPECIAL_FORMS] if name not in documented and name not in names]
    assert missing == []
    assert {macro.name for macro in MACROS} <= names


def test_every_declared_difference_is_on_the_page() -> None:
    page = " ".join(PAGE.split())

    assert [each["reason"] for each in DIFFERENCES if " ".join(each["reason"].split()) not in page] == []


def test_every_error_code_is_on_the_page() -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and name == value}

    assert {code for code in codes if f"`{code}`" not in PAGE} == set()
