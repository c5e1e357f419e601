from __future__ import annotations

import re
from pathlib import Path

from tests.unit.workflow.invalid_cases import CASES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "validation.md").read_text()
LISTED = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)`", PAGE))
ELSEWHERE = {
    *("TOO_MANY_PROBLEMS", "TOO_LARGE", "TOO_MANY_EXPRESSIONS"),
    "TYPE_TURNED_OFF",
    *("UNKNOWN_WORKFLOW_VERSION", "SUBFLOW_RECURSION", "SUBFLOW_TOO_DEEP"),
}
"""Codes that other tests show: they need large definitions, stored ones, or an operator's setting."""


def test_every_code_of_the_table_of_invalid_definitions_is_explained() -> None:
    assert {code for case in CASES for _, code in case.problems} <= LISTED


def test_every_code_that_is_explained_has_an_invalid_definition() -> None:
    shown = {code for case in CASES for _, code in case.problems}
    assert shown | ELSEWHERE >= LISTED
