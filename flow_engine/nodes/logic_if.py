from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, StrictBool

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType


class LogicIfConfig(NodeConfig):
    condition: StrictBool = Field(description="An expression that gives true or false.")


class LogicIf(NodeType[LogicIfConfig]):
    """Takes one of two ways, by a condition.

    Goes on at the handle `true` or `false`; the output is the condition's value.
    """

    type = "logic.if"
    title = "If"
    config_model = LogicIfConfig
    example: ClassVar[dict[str, Any]] = {"condition": True}
    inline = True
    handles = ("true", "false")

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "boolean"}

    async def run(self, context: NodeContext, config: LogicIfConfig) -> Completed:
        return Completed(config.condition, handle="true" if config.condition else "false")
