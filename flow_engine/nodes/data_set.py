from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType


class DataSetConfig(NodeConfig):
    values: dict[str, Any] = Field(
        description="The object to put out. Its values may hold expressions at any depth."
    )


class DataSet(NodeType[DataSetConfig]):
    """Builds an object from constants and expressions.

    The output is `values` with every expression evaluated.
    """

    type = "data.set"
    title = "Set values"
    config_model = DataSetConfig
    example: ClassVar[dict[str, Any]] = {"values": {"greeting": "Hello", "total": 42, "tags": ["new"]}}
    inline = True

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return _schema_of(config.get("values"))

    async def run(self, context: NodeContext, config: DataSetConfig) -> Completed:
        return Completed(config.values)


def _schema_of(value: Any) -> Mapping[str, Any]:
    """The schema of a value as written: what an expression gives may be anything."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case str() if "${" not in value:
            return {"type": "string"}
        case list():
            return {"type": "array"}
        case dict():
            properties = {key: _schema_of(child) for key, child in value.items()}
            return {"type": "object", "properties": properties, "additionalProperties": False}
        case _:
            return {}
