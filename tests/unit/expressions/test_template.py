"""Configurations with expressions in their strings."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.expressions import (
    EvaluationError,
    LimitExceeded,
    Limits,
    TemplateErrors,
    compile_template,
)

SCOPE: dict[str, Any] = {
    "input": {"id": 7, "name": "Ada", "none": None, "half": 0.5, "list": [1, "a"], "sly": "${ input.id }"},
    "big": ["x" * 100] * 1000,
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("${ input.id }", 7),
        ("${input.list}", [1, "a"]),
        ("${ input.none }", None),
        (" ${ input.id }", " 7"),
        ("orders/${ input.id }/${ input.name }", "orders/7/Ada"),
        ("${ input.id }${ input.id }", "77"),
        ("a ${ input.none } b", "a null b"),
        ("a ${ input.list } b", 'a [1,"a"] b'),
        ("a ${ input.half } ${ true }", "a 0.5 true"),
        ("$${ input.id }", "${ input.id }"),
        ("$${ ${ input.id } }", "${ 7 }"),
        ("$$${ input.id }", "$${ input.id }"),
        ("cost: $5 {}", "cost: $5 {}"),
        ("${ {'a': {'b': input.id}} }", {"a": {"b": 7}}),
        ("${ '}' + \"}\" + '''}''' }", "}}}"),
        ("${ '\\'}' }", "'}"),
        ("${ 1 // } \n }", 1),
        ("${ input.sly }", "${ input.id }"),
        ("x ${ input.sly }", "x ${ input.id }"),
        ("${ duration('90s') } and ${ b'a' }", "90s and YQ=="),
        ({"a": ["${ input.id }", {"b": "${ input.name }"}, 3]}, {"a": [7, {"b": "Ada"}, 3]}),
        ({"${ input.id }": 1}, {"${ input.id }": 1}),
        (12, 12),
        (None, None),
    ],
)
def test_a_template_renders(template: Any, expected: Any) -> None:
    assert compile_template(template).render(SCOPE) == expected


def test_rendering_leaves_the_configuration_as_it_was_and_shares_what_is_constant() -> None:
    config = {"constant": {"deep": [1, 2]}, "moving": ["${ input.id }"]}
    template = compile_template(config)

    rendered = template.render(SCOPE)

    assert config["moving"] == ["${ input.id }"]
    assert rendered["constant"] is config["constant"]  # type: ignore[index, call-overload]
    assert list(rendered) == ["constant", "moving"]  # type: ignore[arg-type]


def test_a_template_without_expressions_is_constant() -> None:
    config = {"a": [1, "x"]}

    assert compile_template(config).is_constant
    assert compile_template(config).render({}) is config
    assert not compile_template("$${").is_constant
    assert not compile_template("${ 1 }").is_constant


def test_references_are_those_of_all_expressions() -> None:
    template = compile_template({"a": "${ input.id }", "b": ["${ nodes.x.output } ${ item }"]})

    paths = {reference.path for reference in template.references}
    assert paths == {("input", "id"), ("nodes", "x", "output"), ("item",)}
    assert [place for place, _ in template.expressions] == [("a",), ("b", 0), ("b", 0)]


def test_all_errors_are_reported_at_once_with_their_places() -> None:
    with pytest.raises(TemplateErrors) as caught:
        compile_template(
            {
                "ok": "${ 1 }",
                "a": "${ 1 + }",
                "b": [{"c": "${ foo() }"}, "${ unclosed", "x ${ } y"],
                "d": "${ 'a }",
            }
        )

    assert [(place, error.code, error.position) for place, error in caught.value.errors] == [
        (("a",), "SYNTAX_ERROR", 5),
        (("b", 0, "c"), "UNKNOWN_FUNCTION", 1),
        (("b", 1), "SYNTAX_ERROR", 0),
        (("b", 2), "SYNTAX_ERROR", 0),
        (("d",), "SYNTAX_ERROR", 1),
    ]


def test_a_failure_names_its_place_in_the_configuration() -> None:
    template = compile_template({"headers": [{"x-id": "id ${ input.missing }"}]})

    with pytest.raises(EvaluationError) as caught:
        template.render(SCOPE)

    assert caught.value.place == ("headers", 0, "x-id")
    assert caught.value.path == "input.missing"
    assert caught.value.source == " input.missing "
    assert "in headers.0.x-id" in str(caught.value)


def test_one_budget_holds_for_the_whole_template() -> None:
    loop = "${ lists.range(1000).map(x, x).size() }"
    limits = Limits(max_steps=20_000)

    assert compile_template([loop] * 2).render({}, limits) == [1000, 1000]
    with pytest.raises(LimitExceeded):
        compile_template([loop] * 20).render({}, limits)


def test_many_references_to_a_large_value_count_towards_the_output() -> None:
    assert compile_template(["${ big }"] * 4).render(SCOPE)
    for template in (["${ big }"] * 40, "${ big }" * 40, ["${ [big, big] }"] * 20):
        with pytest.raises(LimitExceeded):
            compile_template(template).render(SCOPE)


def test_hostile_configurations_are_refused_or_rendered_without_harm() -> None:
    for config in ("${" * 100_000, "${ '" * 50_000, "${ {" * 50_000, "x" * 5 + "${ " + "1 + " * 2000 + "1 }"):
        with pytest.raises(TemplateErrors):
            compile_template(config)
    deep: Any = "${ 1 }"
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(TemplateErrors) as caught:
        compile_template(deep)
    assert caught.value.errors[0][1].code == "EXPRESSION_TOO_DEEP"
    assert compile_template("$${" * 100_000).render({}) == "${" * 100_000
