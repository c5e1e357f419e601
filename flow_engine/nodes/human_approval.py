from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import Field

from flow_engine.nodes.contract import (
    Answered,
    Completed,
    NodeConfig,
    NodeContext,
    NodeError,
    NodeType,
    Outcome,
    TimedOut,
    Waiting,
    Wake,
)
from flow_engine.nodes.logic_delay import YEAR_MS
from flow_engine.nodes.signals import TIMEOUT_HANDLE, signal
from flow_engine.payload import JsonValue

ANSWER_SCHEMA: Final[dict[str, JsonValue]] = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "title": "Approved"},
        "comment": {"type": "string", "title": "Comment", "maxLength": 10_000},
    },
    "required": ["approved"],
    "additionalProperties": False,
}
TYPICAL_ANSWER_MS = 3_600_000.0


class HumanApprovalConfig(NodeConfig):
    title: str = Field(min_length=1, max_length=500, description="What is to be approved, in one line.")
    description: str = Field(
        default="", max_length=20_000, description="What the person needs to know to decide."
    )
    timeout_ms: int | None = Field(
        default=None,
        ge=1,
        le=YEAR_MS,
        description="How long to wait for the answer, in milliseconds; absent: without end.",
    )
    assignee: str | None = Field(
        default=None, max_length=200, description="Who is asked; shown beside the question."
    )


class HumanApproval(NodeType[HumanApprovalConfig]):
    """Asks a person to approve or reject.

    Waits without holding a worker, over restarts too. Answered by
    `{"approved": true, "comment": "…"}`; the comment may be left out. Goes on at the handle `approved`,
    `rejected` or, when the time is over, `timeout`; without an edge from `timeout` the step then fails
    with `TIMEOUT`. The output is `{"approved": …, "comment": …}`, null each after a time-out.
    """

    type = "human.approval"
    title = "Approval"
    config_model = HumanApprovalConfig
    example: ClassVar[dict[str, Any]] = {
        "title": "Approve order 7",
        "description": "It is above the limit.",
        "timeoutMs": 86_400_000,
    }
    human = True
    inline = True
    handles = ("approved", "rejected", TIMEOUT_HANDLE)
    error_codes: ClassVar[Mapping[str, str]] = {
        "INVALID_ANSWER": "The answer does not fit the schema.",
        "TIMEOUT": "Nobody answered in time, and no edge leaves from `timeout`.",
    }

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return TYPICAL_ANSWER_MS

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        properties: dict[str, Any] = {"approved": {}, "comment": {}}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    async def run(self, context: NodeContext, config: HumanApprovalConfig) -> Waiting:
        told = signal("person", config.title, config.description, config.assignee, ANSWER_SCHEMA)
        return Waiting(config.timeout_ms, told)

    async def resume(self, context: NodeContext, config: HumanApprovalConfig, wake: Wake) -> Outcome:
        match wake:
            case TimedOut():
                return Completed({"approved": None, "comment": None}, handle=TIMEOUT_HANDLE)
            case Answered({"approved": bool(approved), **rest}):
                handle = "approved" if approved else "rejected"
                return Completed({"approved": approved, "comment": rest.get("comment")}, handle)
        raise NodeError("INVALID_ANSWER", "the answer must be an object with the boolean `approved`")
