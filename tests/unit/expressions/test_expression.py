"""What single expressions give, where they fail, and what they refer to."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.expressions import (
    AbsentValue,
    EvaluationError,
    ExpressionSyntaxError,
    Limits,
    Reference,
    compile_expression,
)

SCOPE: dict[str, Any] = {
    "input": {
        "amount": 150,
        "exact": 2**53 + 1,
        "huge": 2**70,
        "name": "Ada",
        "none": None,
        "tags": ["a", "b"],
    },
    "vars": {"limit": 100, "rate": 2.5},
    "nodes": {
        "order": {
            "status": "completed",
            "output": {"body": {"total": 1200, "lines": [{"price": 2.0, "count": 3}]}},
        },
        "node-1": {"status": "skipped"},
    },
    "execution": {"startedAt": "2026-01-31T12:00:00Z"},
}


def value(source: str, **scope: Any) -> Any:
    return compile_expression(source).evaluate({**SCOPE, **scope})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("input.amount > vars.limit && nodes.order.output.body.total == 1200", True),
        ('nodes["node-1"].status', "skipped"),
        ("nodes.order.output.body.lines[0].price", 2.0),
        ("nodes.order.output.body.lines.map(l, l.price * l.count).sum()", 6.0),
        ("input.amount * vars.rate", 375.0),
        ("input.amount / 4", 37),
        ("input.amount / 4.0", 37.5),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("input.exact", 2**53 + 1),
        ("input.exact + 1", 2**53 + 2),
        ("input.huge", 2**70),
        ("[input.huge]", [2**70]),
        ("input.huge > 1", True),
        ("1 == true", False),
        ("[1] == [true]", False),
        ("{'a': 1} == {'a': 1.0}", True),
        ("1 in [true]", False),
        ("'a' in input.tags", True),
        ("'amount' in input", True),
        ("input.none == null", True),
        ("has(input.none)", True),
        ("has(input.nothing)", False),
        ('has(nodes["node-1"].output)', False),
        ('get(nodes["node-1"].output.body.total, 0)', 0),
        ("get(nothing.at.all[3].here, 'x')", "x"),
        ("get(input.none.field, 'x')", "x"),
        ("get(input.tags[7], 'x')", "x"),
        ("get(input.none, 'x')", None),
        ("coalesce(input.none, input.nothing, 5)", 5),
        ("input.tags.map(t, t + input.name)", ["aAda", "bAda"]),
        ("[1, 2].map(x, [3, 4].map(y, x * y))", [[3, 4], [6, 8]]),
        ("[[1], [2]].map(x, x.map(x, x + 1))", [[2], [3]]),
        ("[1, 2].map(input, input * 2)", [2, 4]),
        ("[1].map(input, .input.name)", ["Ada"]),
        ("input.amount > 1000 ? 'big' : input.amount > 100 ? 'middle' : 'small'", "middle"),
        ("input.name.nothing == 1 || true", True),
        ("input.name == 'Ada' || input.nothing.at.all", True),
        ("timestamp(execution.startedAt) + duration('36h')", "2026-02-02T00:00:00Z"),
        ("timestamp(execution.startedAt) - timestamp('2026-01-31T11:59:58.5Z')", "1.5s"),
        ("{1: 'a', true: 'b', 'c': [duration('1s')]}", {"1": "a", "true": "b", "c": ["1s"]}),
        ("b'abc'", "YWJj"),
        ("[type(1), int]", ["int", "int"]),
        ("1 + 2 // a comment", 3),
        ("'''it's\n\"here\"'''", 'it\'s\n"here"'),
        (r"r'\d' + '\x41\u00e9\101'", r"\dAéA"),
        ("!!true", True),
        ("--5", 5),
        ("-9223372036854775808", -(2**63)),
        ("0xff", 255),
        ("input.amount.string.nothing || true", True),
        ("{'if': 1}.if", 1),
        ("'${input.amount}'", "${input.amount}"),
    ],
)
def test_an_expression_has_its_value(source: str, expected: Any) -> None:
    result = value(source)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("source", "message", "path", "position"),
    [
        ("nodes.order.output.body.totl", "no such key: 'totl'", "nodes.order.output.body.totl", 24),
        ("1 + nodes.order.output.bdy.total", "no such key: 'bdy'", "nodes.order.output.bdy", 23),
        (
            "nodes.order.output.body.lines[3].price",
            "index 3 out of range",
            "nodes.order.output.body.lines[3]",
            29,
        ),
        ('nodes["node-1"].output', "no such key: 'output'", 'nodes["node-1"].output', 16),
        ("missing.field", "unknown variable 'missing'", "missing", 0),
        ("input.name.first", "cannot read 'first' of a value of type string", "input.name.first", 11),
        ("input.none.first", "cannot read 'first' of null", "input.none.first", 11),
        ("input.tags['a']", "cannot read 'a' of a value of type list", "input.tags.a", 10),
        ("input.tags[-1]", "index -1 out of range", "input.tags[-1]", 10),
        ("input.name + 1", "no such operation: string + int", "input.name", 11),
        ("1 / 0", "division by zero", "", 2),
        ("1 % 0", "modulus by zero", "", 2),
        ("9223372036854775807 + 1", "integer overflow", "", 20),
        ("-(-9223372036854775808)", "integer overflow", "", 0),
        ("input.huge + 1", "integer overflow", "input.huge", 11),
        ("input.amount && true", "&& needs bools, found int", "", 13),
        ("!input.name", "! needs a bool, found string", "input.name", 0),
        ("input.name ? 1 : 2", "? needs a bool, found string", "input.name", 11),
        ("[1, 2].map(x, x + 'a')", "no such operation: int + string", "x", 16),
        ("input.name.map(x, x)", "a list or a map expected, found string", "input.name", 11),
        ("input.tags.filter(t, t)", "a condition must be a bool, found string", "input.tags", 11),
        ("input.amount.startsWith('a')", "startsWith is not defined for (int, string)", "input.amount", 13),
        ("int('12x')", "'12x' is no integer", "", 0),
        ("timestamp('yesterday')", "no RFC 3339 timestamp", "", 0),
        ("0.0 / 0.0", "NaN is no JSON value", "", -1),
        ("[1.0 / 0.0]", "Infinity is no JSON value", "", -1),
        ("{'a': 1, 'a': 2}", "the map has the key 'a' twice", "", 9),
        ("{1: 'a', '1': 'b'}", "two keys of a map become the same string", "", -1),
        ("{null: 1}", "a key must be a string, an int or a bool, found null", "", 1),
        ("json.decode('[1')", "no JSON", "", 5),
        ("json.decode('NaN')", "no JSON: NaN", "", 5),
        ("json.decode('1e999')", "Infinity is no JSON value", "", 5),
        ("json.decode('\"\\\\ud800\"')", "half a surrogate pair", "", 5),
        ("hex.decode('x')", "no hexadecimal digits", "", 4),
        ("'a'.matches(input.name + '(')", "invalid regular expression", "", 23),
        ("['b', 1].sort()", "sort needs values of one type", "", 9),
        ("sum(['a'])", "sum needs numbers, found string", "", 0),
    ],
)
def test_a_failure_names_what_where_and_of_which_value(
    source: str, message: str, path: str, position: int
) -> None:
    with pytest.raises(EvaluationError) as caught:
        value(source)

    assert message in caught.value.message
    assert (caught.value.path, caught.value.position, caught.value.source) == (path, position, source)
    assert message in str(caught.value)


def test_only_what_is_absent_counts_as_absent() -> None:
    with pytest.raises(AbsentValue):
        value("input.nothing")
    with pytest.raises(EvaluationError, match="type string"):
        value("get(input.name.first, 1)")
    with pytest.raises(EvaluationError, match="division"):
        value("get(1 / 0, 1)")


def test_having_a_field_needs_the_map_to_exist() -> None:
    with pytest.raises(AbsentValue):
        value('has(nodes["node-1"].output.body)')
    with pytest.raises(EvaluationError, match="type string"):
        value("has(input.name.first)")


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("1 + 2", set()),
        ("input.amount > vars.limit", {("input", "amount"), ("vars", "limit")}),
        ('nodes["node-1"].output[0].x', {("nodes", "node-1", "output", 0, "x")}),
        ("nodes[input.id].output", {("nodes",), ("input", "id")}),
        ("nodes.a.output[index].b", {("nodes", "a", "output"), ("index",)}),
        ("input.items.map(x, x.price * vars.rate)", {("input", "items"), ("vars", "rate")}),
        ("input.items.map(input, input.price)", {("input", "items")}),
        ("input.items.map(input, .input.price)", {("input", "items"), ("input", "price")}),
        ("input.m.transformMap(k, v, k + v + w)", {("input", "m"), ("w",)}),
        ("cel.bind(x, input.a, x + y)", {("input", "a"), ("y",)}),
        ("has(nodes.a.output)", {("nodes", "a"), ("nodes", "a", "output")}),
        ("get(nodes.a.output.b, item)", {("nodes", "a", "output", "b"), ("item",)}),
        ("math.abs(input.x)", {("input", "x")}),
        ("input.name.trim().size()", {("input", "name")}),
        ("type(x) == int", {("x",)}),
    ],
)
def test_references_are_the_fixed_paths_read_from_the_scope(
    source: str, paths: set[tuple[str | int, ...]]
) -> None:
    assert {reference.path for reference in compile_expression(source).references} == paths


def test_a_reference_knows_its_position() -> None:
    references = compile_expression("1 + input.a * item").references

    assert references == {Reference(("input", "a"), 4), Reference(("item",), 14)}


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("a.b == 1 && c", "bool"),
        ("'a' + 'b'", "string"),
        ("size(a)", "int"),
        ("a.map(x, x)", "list"),
        ("a.b", "any"),
        ("a ? 1 : 2", "int"),
        ("a ? 1 : 'x'", "any"),
        ("has(a.b)", "bool"),
        ("{'a': b}", "map"),
    ],
)
def test_the_kind_of_a_value_is_known_as_far_as_it_can_be(source: str, kind: str) -> None:
    assert compile_expression(source).kind == kind


def test_a_value_from_the_scope_is_shared_not_copied() -> None:
    assert value("nodes.order.output") is SCOPE["nodes"]["order"]["output"]
    assert value("get(nodes.order.output, 1)") is SCOPE["nodes"]["order"]["output"]


def test_an_expression_is_compiled_once() -> None:
    assert compile_expression("input.a + 1") is compile_expression("input.a + 1")


def test_data_has_no_attributes_to_reach() -> None:
    for source in (
        "input.__class__",
        "''.__class__",
        "[].append",
        "input.tags.__len__",
        "{}.keys.__globals__",
    ):
        with pytest.raises(EvaluationError):
            value(source)
    for source in (
        "''.__class__()",
        "input.__init__()",
        "[].append(1)",
        "'a'.encode()",
        "exec('1')",
        "__import__('os')",
    ):
        with pytest.raises(ExpressionSyntaxError, match="unknown function"):
            value(source)


def test_limits_are_the_callers_choice() -> None:
    small = Limits(max_steps=100, max_output_bytes=50, max_depth=2)

    assert compile_expression("[1, 2].map(x, x)").evaluate({}, small) == [1, 2]
    for source in ("lists.range(200)", "'abcdefghij'.repeat(6)", "[[[1]]].map(x, x)"):
        with pytest.raises(EvaluationError):
            compile_expression(source).evaluate({}, small)
