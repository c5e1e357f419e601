from __future__ import annotations

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

    async def run(self, context: NodeContext, config: DataSetConfig) -> Completed:
        return Completed(config.values)
