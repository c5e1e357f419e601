from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flow_engine.nodes.registry import built_in_registry
from tools import workflow_schema

EXAMPLES = Path(__file__).parents[3] / "examples"
SCHEMA: Any = json.loads(workflow_schema.text())
VALIDATOR: Any = Draft202012Validator(SCHEMA)


def test_the_published_schema_is_fresh() -> None:
    assert workflow_schema.FILE.read_text() == workflow_schema.text(), "run: python -m tools.workflow_schema"


def test_the_published_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", ["data-flow", "order-approval", "foreach-http", "sub-flows", "montage-500"])
def test_the_examples_fit_the_schema(name: str) -> None:
    VALIDATOR.validate(json.loads((EXAMPLES / f"{name}.json").read_text()))


@pytest.mark.parametrize("node_type", built_in_registry(), ids=lambda node_type: node_type.type)
def test_the_example_of_every_node_type_fits_the_schema(node_type: Any) -> None:
    VALIDATOR.validate({"nodes": [{"id": "a", "type": node_type.type, "config": node_type.example}]})


def test_an_expression_may_stand_where_another_type_is_asked_for() -> None:
    VALIDATOR.validate({"nodes": [delay("${ input.pause }")]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"nodes": []},
        {"nodes": [{"id": "a", "type": "no.such"}]},
        {"nodes": [{"id": "a/b", "type": "flow.noop"}]},
        {"nodes": [{"id": "a", "type": "logic.delay"}]},
        {"nodes": [{"id": "a", "type": "flow.noop", "confg": {}}]},
        {"nodes": [{"id": "a", "type": "logic.delay", "config": {"durationMs": "soon"}}]},
    ],
)
def test_plain_mistakes_are_seen_by_the_schema_too(document: Any) -> None:
    assert not VALIDATOR.is_valid(document)


def delay(duration: Any) -> dict[str, Any]:
    return {"id": "a", "type": "logic.delay", "config": {"durationMs": duration}}
