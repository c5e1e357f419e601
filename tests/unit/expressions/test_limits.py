"""No expression costs more than its budget. How long each takes: benchmarks/expressions.py."""

from __future__ import annotations

import json

import pytest

from flow_engine.expressions import EvaluationError, LimitExceeded, compile_expression
from flow_engine.expressions.limits import DEFAULT_LIMITS, STEPS, new_frame
from tests.unit.expressions.hostile import EXPRESSIONS, SCOPE

HARMLESS = {
    "negative repeat",
}
FAILING = {
    "reading brackets",
    "transformMapEntry",
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_hostile_expression_is_stopped_by_its_budget(name: str) -> None:
    expression = compile_expression(EXPRESSIONS[name])

    if name in HARMLESS:
        assert len(json.dumps(expression.evaluate(SCOPE))) < DEFAULT_LIMITS.max_output_bytes * 1.2
        return
    with pytest.raises(EvaluationError if name in FAILING else LimitExceeded):
        expression.evaluate(SCOPE)


def test_nothing_in_the_language_catches_an_exceeded_budget() -> None:
    for source in (
        "get('x'.repeat(1000000000), 1)",
        "coalesce('x'.repeat(1000000000), 1)",
        "'x'.repeat(1000000000) == 'x' || true",
        "[1, 2].exists(x, 'x'.repeat(1000000000) == 'x' || true)",
    ):
        with pytest.raises(LimitExceeded):
            compile_expression(source).evaluate({})


@pytest.mark.parametrize(
    "source",
    [
        "items.map(i, {'id': i.id, 'name': i.name.upper(), 'sum': i.price * i.count, 'big': i.price > 100})",
        "items.filter(i, i.price > 10 && i.count != 3 || i.name.startsWith('item 1')).map(i, i.name + '!')",
        "items.groupBy(i, i.count).transformMap(k, v, v.map(i, i.price).sum())",
        "items.sortBy(i, -i.price).slice(0, 10).map(i, i.name).join(', ')",
        "items.exists(i, i.name == 'nobody')",
        "items.map(i, '%s: %.2f'.format([i.name, i.price]))",
        "items.map(i, i.name.matches('^item [0-9]+$'))",
        "json.decode(json.encode(items)).size()",
    ],
)
def test_honest_work_on_ten_thousand_items_fits_the_defaults(source: str) -> None:
    items = [{"id": n, "name": f"item {n}", "price": n * 0.5, "count": n % 7} for n in range(10_000)]

    compile_expression(source).evaluate({"items": items})


def test_the_same_evaluation_always_takes_the_same_steps() -> None:
    expression = compile_expression("records.map(r, r.name.matches('^i') && r.price > 3.0).size()")
    left = []
    for _ in range(2):
        frame = new_frame(SCOPE, DEFAULT_LIMITS, expression.slots)
        expression.evaluate_in(frame, expression.plain)
        left.append(frame[STEPS])

    assert left[0] == left[1] < DEFAULT_LIMITS.max_steps


def test_an_expression_without_loops_pays_nothing() -> None:
    expression = compile_expression("input.a > 1 && input.b == 'x' || has(input.c)")
    frame = new_frame({"input": {"a": 2, "b": "x"}}, DEFAULT_LIMITS, expression.slots)

    assert expression.evaluate_in(frame, expression.plain) is True
    assert frame[STEPS] == DEFAULT_LIMITS.max_steps
