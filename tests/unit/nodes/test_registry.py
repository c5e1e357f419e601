from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.data_set import DataSet
from flow_engine.nodes.registry import (
    BUILT_IN,
    DuplicateNodeType,
    InvalidNodeType,
    NodeRegistry,
    built_in_registry,
)


class GreetConfig(NodeConfig):
    name: str = Field(description="Whom to greet.")


class Greet(NodeType[GreetConfig]):
    """Greets."""

    type = "acme.greet"
    title = "Greet"
    config_model = GreetConfig
    example: ClassVar[dict[str, Any]] = {"name": "Ada"}

    async def run(self, context: NodeContext, config: GreetConfig) -> Completed:
        return Completed(f"Hello, {config.name}")


def problems_of(**wrong: Any) -> str:
    """What the registry says of Greet with some declarations changed."""
    with pytest.raises(InvalidNodeType) as caught:
        NodeRegistry().register(type("Wrong", (Greet,), {"__doc__": "Wrong.", **wrong}))
    return str(caught.value)


def test_the_built_in_types_are_listed_by_name() -> None:
    registry = built_in_registry()
    assert registry.names() == sorted(kind.type for kind in BUILT_IN)
    assert [kind.type for kind in registry] == registry.names()
    assert [described["type"] for described in registry.describe()] == registry.names()
    assert len(registry) == len(BUILT_IN)


def test_an_unknown_type_is_none() -> None:
    registry = built_in_registry()
    assert registry.get("acme.greet") is None
    assert "acme.greet" not in registry


def test_a_registered_type_is_one_instance() -> None:
    registry = NodeRegistry()
    registry.register(Greet)
    assert isinstance(registry.get("acme.greet"), Greet)
    assert registry.get("acme.greet") is registry.get("acme.greet")


def test_two_types_of_one_name_are_refused_naming_both() -> None:
    registry = NodeRegistry()
    registry.register(DataSet)
    other = type("Other", (Greet,), {"__doc__": "Other.", "type": "data.set"})
    with pytest.raises(
        DuplicateNodeType, match=r"data\.set: flow_engine\.nodes\.data_set\.DataSet and .*acme 1\.0"
    ):
        registry.register(other, "acme 1.0")


def test_everything_wrong_with_a_type_is_told_at_once() -> None:
    message = problems_of(
        type="Greet", title=" ", handles=("ok", "ok", "error"), error_codes={"bad code": "x"}
    )
    assert "'Greet' is no type name" in message
    assert "title is empty" in message
    assert "'error' cannot be a handle" in message
    assert "a handle twice" in message
    assert "'bad code' is no error code" in message


def test_an_example_that_does_not_validate_is_refused_with_its_place() -> None:
    assert "example is wrong at name" in problems_of(example={"name": 7})


def test_a_type_without_docstring_is_refused() -> None:
    assert "no docstring" in problems_of(__doc__=None)


def test_missing_declarations_are_named() -> None:
    class Nothing(NodeType[GreetConfig]):
        """Declares nothing."""

    with pytest.raises(InvalidNodeType, match="does not declare `title`"):
        NodeRegistry().register(Nothing)


def test_a_run_that_is_no_coroutine_is_refused() -> None:
    assert "`run` is no `async def`" in problems_of(run=lambda self, context, config: None)


def test_a_container_must_open() -> None:
    assert "container without `open`" in problems_of(container=True)


def test_a_deferred_path_must_name_a_field() -> None:
    assert "'cases.*.when' names no config field" in problems_of(deferred={"cases.*.when": frozenset()})
