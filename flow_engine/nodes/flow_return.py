from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType


class FlowReturnConfig(NodeConfig):
    output: Any = Field(default=None, description="What the execution, or the sub-flow, puts out.")


class FlowReturn(NodeType[FlowReturnConfig]):
    """Ends the execution at once, with an output. Whatever else runs or would run is cancelled.

    Inside a sub-flow it ends that one; what is around it goes on.
    """

    type = "flow.return"
    title = "Return"
    config_model = FlowReturnConfig
    example: ClassVar[dict[str, Any]] = {"output": {"answer": 42}}
    inline = True
    ends_execution = True

    async def run(self, context: NodeContext, config: FlowReturnConfig) -> Completed:
        return Completed(config.output)
