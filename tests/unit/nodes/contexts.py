"""What a node is given, made by hand."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from flow_engine.nodes.contract import (
    Completed,
    Failed,
    NodeConfig,
    NodeContext,
    NodeError,
    NodeServices,
    NodeType,
)
from flow_engine.nodes.registry import built_in_registry
from flow_engine.payload import encode

BUILT_IN = built_in_registry()


def node_type(name: str) -> NodeType[Any]:
    found = BUILT_IN.get(name)
    assert found is not None
    return found


def config(name: str, raw: dict[str, Any]) -> NodeConfig:
    return node_type(name).config_model.model_validate(raw)


class Lent(NodeServices):
    """A process that runs code."""

    @property
    def runs_code(self) -> bool:
        return True


def context(**changes: Any) -> NodeContext:
    """One attempt of one step at the top of an execution, with an input for conditions."""
    given: dict[str, Any] = {
        "execution_id": "0198c0de-0000-7000-8000-000000000001",
        "node_id": "node",
        "iteration": (),
        "attempt": 1,
        "step_key": "5f3c0de5f3c0de5f3c0de5f3c0de5f3c",
        "services": Lent(),
        "scope": {"input": {"total": 500}, "vars": {}, "nodes": {}},
    }
    return NodeContext(**{**given, **changes})


async def completed(name: str, raw: dict[str, Any], **changes: Any) -> Completed:
    """Run a node that must succeed, with an output as its type says."""
    outcome = await node_type(name).run(context(**changes), config(name, raw))
    assert isinstance(outcome, Completed)
    Draft202012Validator(node_type(name).output_schema(raw) or {}).validate(outcome.output)
    encode(outcome.output)  # as the history will: it takes exact types of JSON only
    return outcome


async def failed(name: str, raw: dict[str, Any], **changes: Any) -> Failed:
    """Run a node that must fail, in either of the two ways."""
    try:
        outcome = await node_type(name).run(context(**changes), config(name, raw))
    except NodeError as error:
        return Failed(error.failure, error.retry_after_ms)
    assert isinstance(outcome, Failed)
    return outcome
