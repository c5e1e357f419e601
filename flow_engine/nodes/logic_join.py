from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.flow_noop import passed_on


class LogicJoinConfig(NodeConfig):
    cancel_rest: bool = Field(
        default=False,
        description="Once it has enough, cancel the unfinished nodes all of whose paths lead only to it.",
    )


class LogicJoin(NodeType[LogicJoinConfig]):
    """Brings branches together: all of them, the first, or n of them, as its field `join` says.

    The output is that of the one predecessor whose edge was taken when it started; of several, an object by
    node id.
    """

    type = "logic.join"
    title = "Join"
    config_model = LogicJoinConfig
    example: ClassVar[dict[str, Any]] = {"cancelRest": True}
    inline = True
    wants_predecessors = True

    def cancels_rest(self, config: Mapping[str, Any]) -> bool:
        return config.get("cancelRest") is True

    async def run(self, context: NodeContext, config: LogicJoinConfig) -> Completed:
        return Completed(passed_on(context))
