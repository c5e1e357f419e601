from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flow_engine.nodes.contract import Completed, NodeType
from flow_engine.workflow.output_types import Absent, follow, kind_of
from flow_engine.workflow.validation import validate_workflow
from tests.unit.nodes.contexts import BUILT_IN, context
from tests.unit.workflow.invalid_cases import data, edge, loop, nodes, noop

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"sku": {}}, "additionalProperties": False},
        },
        "either": {"anyOf": [{"type": "string"}, {"type": "object"}]},
        "open": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("id",),
        ("lines", 0),
        ("lines", 5, "sku", "x"),
        ("either", "a", "b"),
        ("open", "b", "c"),
        ("open", "a"),
    ],
)
def test_what_may_be_there_is_allowed(keys: tuple[str | int, ...]) -> None:
    assert not isinstance(follow(ORDER, keys), Absent)


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        (("idd",), "did you mean 'id'?"),
        (("id", "x"), ""),
        (("lines", "x", 0), ""),
        (("lines", 0, "price"), "it has 'sku'"),
        (("open", "a", "length"), ""),
    ],
)
def test_what_cannot_be_there_is_told(keys: tuple[str | int, ...], hint: str) -> None:
    found = follow(ORDER, keys)
    assert isinstance(found, Absent)
    assert found.hint == hint


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, "int"),
        ({"type": "boolean"}, "bool"),
        ({"type": ["integer", "null"]}, "any"),
        ({"type": "object", "anyOf": []}, "any"),
        ({}, "any"),
    ],
)
def test_the_kind_of_a_value_is_told_when_there_is_one(schema: Any, kind: str) -> None:
    assert kind_of(schema) == kind


def test_a_schema_that_is_none_tells_nothing() -> None:
    document = nodes(data("a", "${ input.x }"), inputSchema={"type": "object", "properties": None})
    assert [problem.code for problem in validate_workflow(document, BUILT_IN)] == ["INVALID_SCHEMA"]


def declared(node_id: str, node_type: str, **config: Any) -> dict[str, Any]:
    return {"id": node_id, "type": node_type, "config": config}


HTTP = declared("a", "http.request", url="https://shop.example")


@pytest.mark.parametrize(
    ("first", "expression"),
    [
        (HTTP, "${ nodes.a.output.body.anything[0].goes }"),
        (HTTP, "${ nodes.a.output.headers['content-type'] }"),
        (data("a", {"deep": "${ input.x }"}), "${ nodes.a.output.v.deep.anything }"),
        (noop("a"), "${ nodes.a.output.anything }"),
        (loop("a"), "${ nodes.a.output[0].anything }"),
        (HTTP, "${ nodes.a.error.code }"),
    ],
)
def test_reading_what_an_output_may_have_is_valid(first: Any, expression: str) -> None:
    assert validate_workflow(nodes(first, data("b", expression), edges=[edge("a", "b")]), BUILT_IN) == []


@pytest.mark.parametrize(
    ("first", "expression", "hint"),
    [
        (HTTP, "${ nodes.a.output.bdy.total }", "did you mean 'body'?"),
        (HTTP, "${ nodes.a.output.status.code }", ""),
        (data("a", {"deep": 1}), "${ nodes.a.output.v.dep }", "did you mean 'deep'?"),
        (data("a", 1), "${ has(nodes.a.output.w) }", "it has 'v'"),
        (
            declared("a", "human.approval", title="x"),
            "${ nodes.a.output.aproved }",
            "did you mean 'approved'?",
        ),
        (declared("a", "logic.delay", durationMs=1), "${ nodes.a.output.ms }", "it has 'durationMs'"),
    ],
)
def test_reading_what_an_output_cannot_have_is_refused(first: Any, expression: str, hint: str) -> None:
    (problem,) = validate_workflow(nodes(first, data("b", expression), edges=[edge("a", "b")]), BUILT_IN)
    assert (problem.path, problem.code, problem.hint) == ("/nodes/1/config/values/v", "UNKNOWN_FIELD", hint)


def test_the_input_is_read_as_its_schema_says() -> None:
    document = nodes(data("a", "${ input.ordrId + input.lines[0].sku }"), inputSchema=ORDER)
    (problem,) = validate_workflow(document, BUILT_IN)
    assert problem.code == "UNKNOWN_FIELD"
    assert "'ordrId'" in problem.message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("${ nodes.a.output.status }", "must be true or false, but the expression gives a whole number"),
        ("${ size(nodes.a.output.body) }", "must be true or false, but the expression gives a whole number"),
        ("${ 'a' + input.b }", ""),
        ("${ 'a' + 'b' }", "must be true or false, but the expression gives a string"),
        ("${ nodes.a.output.status == 200 }", ""),
        ("${ nodes.a.output.body }", ""),
    ],
)
def test_an_expression_is_held_against_the_field_it_stands_in(expression: str, message: str) -> None:
    document = nodes(HTTP, declared("b", "logic.if", condition=expression), edges=[edge("a", "b")])
    assert [problem.message for problem in validate_workflow(document, BUILT_IN)] == (
        [message] if message else []
    )


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.type)
async def test_outputs_keep_to_the_schema_that_their_type_declares(kind: NodeType[Any]) -> None:
    schema = kind.output_schema(kind.example)
    if schema is None or kind.container or kind.effect.value == "external":
        return
    outcome = await kind.run(context(), kind.config_model.model_validate(kind.example))
    if isinstance(outcome, Completed):
        Draft202012Validator(schema).validate(outcome.output)
