from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Completed, Failed, NodeConfig, NodeType, Opening, Outcome
from flow_engine.payload import JsonValue


class FlowSubflowConfig(NodeConfig):
    workflow_id: str | None = Field(
        default=None, min_length=1, max_length=128, description="Id of the stored workflow to run."
    )
    version: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="Which version of it; absent: the latest there is when the execution starts.",
    )
    workflow: dict[str, Any] | None = Field(
        default=None,
        description="Instead of `workflowId`: the definition itself. An execution keeps here what it found "
        "under `workflowId` when it started.",
    )
    input: Any = Field(default_factory=dict, description="The input of the sub-flow.")


class FlowSubflow(NodeType[FlowSubflowConfig]):
    """Runs another workflow in the place of this node, and puts out what that puts out.

    It sees its own input and its own nodes only. Its steps are steps of this execution, with ids such as
    `<this node>/<node inside>`; its failure is the failure of this node.
    """

    type = "flow.subflow"
    title = "Sub-flow"
    config_model = FlowSubflowConfig
    example: ClassVar[dict[str, Any]] = {
        "workflow": {
            "nodes": [
                {"id": "sum", "type": "data.set", "config": {"values": {"sum": "${ input.a + input.b }"}}}
            ]
        },
        "input": {"a": 1, "b": 2},
    }
    container = True
    subflow = True
    settled = frozenset(("workflowId", "version", "workflow"))
    planned = "input"
    error_codes: ClassVar[Mapping[str, str]] = {
        "INPUT_INVALID": "The input does not fit the sub-flow's `inputSchema`.",
        "OUTPUT_FAILED": "The sub-flow's `output` could not be worked out.",
    }

    def open(self, config: FlowSubflowConfig) -> Opening:
        return Opening(items=[config.input])

    def fold(self, config: FlowSubflowConfig, results: Sequence[JsonValue | Failure]) -> Outcome:
        (result,) = results
        return Failed(result) if isinstance(result, Failure) else Completed(result)
