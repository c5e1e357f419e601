from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import (
    ChildEnded,
    Completed,
    Failed,
    NodeConfig,
    NodeContext,
    NodeType,
    Opening,
    Outcome,
    Spawning,
    Wake,
)
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
    recursion: int | None = Field(
        default=None,
        ge=1,
        le=7,
        description="For a workflow that runs itself: how often within itself; once more, and the step fails "
        "with SUBFLOW_TOO_DEEP. Absent: it is refused.",
    )
    workflow: dict[str, Any] | None = Field(
        default=None,
        description="Instead of `workflowId`: the definition itself. An execution keeps here what it found "
        "under `workflowId` when it started.",
    )
    input: Any = Field(default_factory=dict, description="The input of the sub-flow.")
    detached: bool = Field(
        default=False,
        description="Runs it as an execution of its own on the queue, a child of this one.",
    )
    wait_for_completion: bool = Field(
        default=True,
        description="Of a detached one: whether this node waits for it. If not, it puts out its "
        "`executionId` at once.",
    )


class FlowSubflow(NodeType[FlowSubflowConfig]):
    """Runs another workflow in the place of this node, and puts out what that puts out.

    It sees its own input and its own nodes only. Its steps are steps of this execution, with ids such as
    `<this node>/<node inside>`; its failure is the failure of this node.

    With `detached` it is an execution of its own, which this one starts; see docs/control.md, "Children".
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
    settled = frozenset(("workflowId", "version", "workflow", "detached", "waitForCompletion"))
    planned = "input"
    error_codes: ClassVar[Mapping[str, str]] = {
        "INPUT_INVALID": "The input does not fit the sub-flow's `inputSchema`.",
        "OUTPUT_FAILED": "The sub-flow's `output` could not be worked out.",
        "SUBFLOW_TOO_DEEP": "The workflow ran itself deeper than `recursion` allows.",
        "CHILD_CANCELLED": "The detached sub-flow was cancelled.",
    }

    def variant(self, config: Mapping[str, Any]) -> NodeType[Any]:
        return _DETACHED if config.get("detached") is True else self

    def open(self, config: FlowSubflowConfig) -> Opening:
        return Opening(items=[config.input])

    def fold(self, config: FlowSubflowConfig, results: Sequence[JsonValue | Failure]) -> Outcome:
        (result,) = results
        return Failed(result) if isinstance(result, Failure) else Completed(result)


class DetachedSubflow(FlowSubflow):
    """Starts the workflow as an execution of its own."""

    container = False
    spawns = True
    inline = True

    async def run(self, context: NodeContext, config: FlowSubflowConfig) -> Outcome:
        return Spawning(config.input, config.wait_for_completion)

    async def resume(self, context: NodeContext, config: FlowSubflowConfig, wake: Wake) -> Outcome:
        if not isinstance(wake, ChildEnded):
            return await super().resume(context, config, wake)
        if wake.status == "completed":
            return Completed(wake.output)
        return Failed(failure_of(wake))


def failure_of(child: ChildEnded) -> Failure:
    """The failure of a child execution as that of the step which waited for it."""
    details: dict[str, JsonValue] = {"executionId": child.child_id}
    if child.failure is None:
        return Failure("CHILD_CANCELLED", "the child execution was cancelled", details=details)
    return Failure(child.failure.code, child.failure.message, details={**child.failure.details, **details})


_DETACHED = DetachedSubflow()
