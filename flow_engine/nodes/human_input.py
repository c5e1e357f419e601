from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import NodeConfig, NodeContext, NodeType, Outcome, Waiting, Wake
from flow_engine.nodes.human_approval import TYPICAL_ANSWER_MS
from flow_engine.nodes.json_schema_field import JsonSchema
from flow_engine.nodes.logic_delay import YEAR_MS
from flow_engine.nodes.signals import TIMEOUT_HANDLE, answered, signal

ANSWERED_HANDLE = "answered"


class HumanInputConfig(NodeConfig):
    title: str = Field(min_length=1, max_length=500, description="What is asked, in one line.")
    description: str = Field(
        default="", max_length=20_000, description="What the person needs to know to answer."
    )
    json_schema: JsonSchema = Field(
        alias="schema", description="JSON Schema of the answer; a form is made from it."
    )
    timeout_ms: int | None = Field(
        default=None, ge=1, le=YEAR_MS, description="How long to wait, in milliseconds; absent: without end."
    )
    assignee: str | None = Field(
        default=None, max_length=200, description="Who is asked; shown beside the question."
    )


class HumanInput(NodeType[HumanInputConfig]):
    """Asks a person to fill in a form.

    Waits without holding a worker, over restarts too. The answer must fit `schema`; a wrong one is refused
    where it is sent, and the step goes on waiting. Goes on at the handle `answered` or, when the time is
    over, `timeout`; without an edge from `timeout` the step then fails with `TIMEOUT`. The output is the
    answer, null after a time-out.
    """

    type = "human.input"
    title = "Form"
    config_model = HumanInputConfig
    example: ClassVar[dict[str, Any]] = {
        "title": "Where shall we deliver?",
        "schema": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "floor": {"type": "integer", "minimum": 0}},
            "required": ["street"],
        },
        "timeoutMs": 86_400_000,
    }
    human = True
    inline = True
    handles = (ANSWERED_HANDLE, TIMEOUT_HANDLE)
    error_codes: ClassVar[Mapping[str, str]] = {
        "INVALID_ANSWER": "The answer does not fit the schema.",
        "TIMEOUT": "Nobody answered in time, and no edge leaves from `timeout`.",
    }

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return TYPICAL_ANSWER_MS

    async def run(self, context: NodeContext, config: HumanInputConfig) -> Waiting:
        told = signal("person", config.title, config.description, config.assignee, config.json_schema)
        return Waiting(config.timeout_ms, told)

    async def resume(self, context: NodeContext, config: HumanInputConfig, wake: Wake) -> Outcome:
        return answered(wake, config.json_schema, ANSWERED_HANDLE)
