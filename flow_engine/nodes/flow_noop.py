from __future__ import annotations

from typing import Any, ClassVar

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType
from flow_engine.payload import JsonValue


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
        return Completed(passed_on(context))


def passed_on(context: NodeContext) -> JsonValue:
    """The output of the one taken predecessor; of several, by node id; of none, the input."""
    match list(context.predecessors.values()):
        case []:
            return context.default_input
        case [only]:
            return only
        case _:
            return dict(context.predecessors)
