from __future__ import annotations

from typing import Any, ClassVar

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType


class FlowNoopConfig(NodeConfig):
    pass


class FlowNoop(NodeType[FlowNoopConfig]):
    """Does nothing: passes on what it got.

    The output is that of its one taken predecessor; of several, an object of theirs by node id;
    without any, the input of the execution or, in a loop, the item. Useful to bring branches together.
    """

    type = "flow.noop"
    title = "No operation"
    config_model = FlowNoopConfig
    example: ClassVar[dict[str, Any]] = {}
    inline = True
    wants_predecessors = True

    async def run(self, context: NodeContext, config: FlowNoopConfig) -> Completed:
        match list(context.predecessors.values()):
            case []:
                return Completed(context.default_input)
            case [only]:
                return Completed(only)
            case _:
                return Completed(dict(context.predecessors))
