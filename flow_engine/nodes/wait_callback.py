from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import NodeConfig, NodeContext, NodeType, Outcome, Waiting, Wake
from flow_engine.nodes.json_schema_field import JsonSchema
from flow_engine.nodes.logic_delay import YEAR_MS
from flow_engine.nodes.signals import TIMEOUT_HANDLE, answered, signal

RECEIVED_HANDLE = "received"
TYPICAL_CALLBACK_MS = 600_000.0


class WaitCallbackConfig(NodeConfig):
    title: str = Field(
        default="Callback", min_length=1, max_length=500, description="What is waited for, in one line."
    )
    description: str = Field(default="", max_length=20_000, description="More about it, for people who look.")
    json_schema: JsonSchema = Field(
        default_factory=dict, alias="schema", description="JSON Schema of what must arrive; absent: anything."
    )
    timeout_ms: int | None = Field(
        default=None, ge=1, le=YEAR_MS, description="How long to wait, in milliseconds; absent: without end."
    )


class WaitCallback(NodeType[WaitCallbackConfig]):
    """Waits until another system reports back.

    Other nodes, before or beside it, tell the other system where to: they read `${ callbacks.<id>.url }`,
    with the id of this node. There the answer is sent by POST, as JSON, once; the address is of no use before
    this step waits (a call that comes a little early is kept waiting) and after it has ended. A callback
    inside a loop has a URL for each iteration, which only nodes inside that loop can read.

    Waits without holding a worker, over restarts too. What arrives must fit `schema`. Goes on at the handle
    `received` or, when the time is over, `timeout`; without an edge from `timeout` the step then fails with
    `TIMEOUT`. The output is what arrived, null after a time-out.
    """

    type = "wait.callback"
    title = "Wait for a callback"
    config_model = WaitCallbackConfig
    example: ClassVar[dict[str, Any]] = {
        "title": "The carrier reports the delivery",
        "schema": {"type": "object", "required": ["deliveredAt"]},
        "timeoutMs": 604_800_000,
    }
    inline = True
    called_back = True
    handles = (RECEIVED_HANDLE, TIMEOUT_HANDLE)
    error_codes: ClassVar[Mapping[str, str]] = {
        "INVALID_ANSWER": "What arrived does not fit the schema.",
        "TIMEOUT": "Nothing arrived in time, and no edge leaves from `timeout`.",
    }

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return TYPICAL_CALLBACK_MS

    async def run(self, context: NodeContext, config: WaitCallbackConfig) -> Waiting:
        return Waiting(
            config.timeout_ms, signal("callback", config.title, config.description, None, config.json_schema)
        )

    async def resume(self, context: NodeContext, config: WaitCallbackConfig, wake: Wake) -> Outcome:
        return answered(wake, config.json_schema, RECEIVED_HANDLE)
