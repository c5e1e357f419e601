from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from flow_engine.nodes.ai_model import MODEL_ERRORS, USAGE_SCHEMA, Message, ModelConfig, converse
from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.json_schema_field import JsonSchema
from flow_engine.nodes.outputs import ANYTHING, STRING, record
from flow_engine.payload import JsonValue


class ChatMessage(NodeConfig):
    role: Literal["user", "assistant"] = Field(default="user", description="Who says it.")
    content: str = Field(description="What is said.")


class AiChatConfig(ModelConfig):
    system: str = Field(default="", description="What the model is to be and to mind.")
    prompt: str | None = Field(default=None, description="The question; stands after `messages`.")
    messages: list[ChatMessage] = Field(
        default_factory=list, max_length=1000, description="What was said before, oldest first."
    )
    json_schema: JsonSchema | None = Field(
        default=None, alias="schema", description="JSON Schema of the answer; absent: the answer is text."
    )

    @model_validator(mode="after")
    def _asks_something(self) -> AiChatConfig:
        if self.prompt is None and not self.messages:
            raise ValueError("give a `prompt` or `messages`")
        return self


class AiChat(NodeType[AiChatConfig]):
    """Asks a language model.

    The output is `{"text", "json"?, "model", "finishReason", "usage": {"inputTokens", "outputTokens",
    "calls", "cost"?}}`. With a `schema` the model is made to answer in JSON, `json` is the answer, and an
    answer that does not fit is sent back with what is wrong up to `repairAttempts` times. `budget` limits
    tokens and cost of all calls together. `finishReason` is `stop`, or `length` when the text was cut
    off.
    """

    type = "ai.chat"
    title = "Ask a model"
    config_model = AiChatConfig
    example: ClassVar[dict[str, Any]] = {
        "provider": "openai",
        "baseUrl": "http://models.example/v1",
        "model": "small",
        "system": "You answer in one word.",
        "prompt": "Is this message friendly? Well done!",
        "schema": {
            "type": "object",
            "properties": {"friendly": {"type": "boolean"}},
            "required": ["friendly"],
        },
    }
    effect = Effect.EXTERNAL
    error_codes: ClassVar[Mapping[str, str]] = MODEL_ERRORS

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        told = {"text": STRING, "model": STRING, "finishReason": STRING, "usage": USAGE_SCHEMA}
        return record(**told, json=ANYTHING) if config.get("schema") is not None else record(**told)

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 5000.0

    async def run(self, context: NodeContext, config: AiChatConfig) -> Completed:
        messages = [Message(message.role, message.content) for message in config.messages]
        if config.prompt is not None:
            messages.append(Message("user", config.prompt))
        reply, data, usage = await converse(context, config, config.system, messages, config.json_schema)
        output: dict[str, JsonValue] = {
            "text": reply.text,
            "model": reply.model,
            "finishReason": reply.finish_reason,
            "usage": usage,
        }
        return Completed(output if config.json_schema is None else {**output, "json": data})
