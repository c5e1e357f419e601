from __future__ import annotations

import re
import time

import pytest

from flow_engine.errors import InvalidRequest, InvalidWorkflow, Problem
from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.limits import DEFAULT_LIMITS
from flow_engine.workflow.parsing import parse_json
from flow_engine.workflow.validation import compile_workflow, validate_workflow
from tests.unit.workflow.invalid_cases import CASES, InvalidCase

TYPES = built_in_registry()


def refused(text: bytes) -> list[Problem]:
    try:
        document = parse_json(text, max_bytes=DEFAULT_LIMITS.max_bytes)
    except InvalidRequest as error:
        return list(error.problems)
    with pytest.raises(InvalidWorkflow) as caught:
        compile_workflow(document, TYPES)
    assert validate_workflow(document, TYPES) == list(caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_definition_is_refused_with_all_its_problems(case: InvalidCase) -> None:
    begun = time.process_time()
    problems = refused(case.text)
    spent = time.process_time() - begun

    assert [(problem.path, problem.code) for problem in problems] == list(case.problems)
    assert any(case.hint in problem.hint for problem in problems)
    assert spent / 2 < (0.1 if len(case.text) < 50_000 else 1)  # it was checked twice
    for problem in problems:
        assert problem.message
        assert not re.search(
            r"Traceback|[a-z]Error\b(?<!onError)|\.py\b|pydantic|msgspec|<class|object at",
            problem.message + problem.hint,
        )
        assert len(problem.message) < 500


def test_the_table_is_large_enough_and_names_each_case_once() -> None:
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)
