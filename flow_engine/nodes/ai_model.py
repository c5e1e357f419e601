"""Asking a language model: any OpenAI-compatible endpoint, and Anthropic's Messages API.

Sources: OpenAI, "Create chat completion"; Anthropic, "Messages", version 2023-06-01.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol, Self

import httpx
from pydantic import AfterValidator, Field, model_validator

from flow_engine.metering import tokens
from flow_engine.nodes.connections import Secret
from flow_engine.nodes.contract import NodeConfig, NodeContext, NodeError
from flow_engine.nodes.http_exchange import EXCHANGE_ERRORS, exchange, refused
from flow_engine.nodes.http_url import fetchable
from flow_engine.nodes.outputs import INTEGER, record
from flow_engine.nodes.untrusted_json import InvalidJson, parse_json
from flow_engine.payload import JsonValue, encode
from flow_engine.workflow.json_schemas import value_problems

ANTHROPIC_VERSION = "2023-06-01"
ANTHROPIC_MAX_TOKENS = 4096
"""Their API wants a number."""
MAX_RESPONSE_BYTES = 4 << 20
MAX_PROBLEMS_TOLD = 10
ANSWER_NAME = "answer"

MODEL_ERRORS: Final = {
    **EXCHANGE_ERRORS,
    "AI_ANSWER": "The endpoint's answer is not what its API promises.",
    "AI_REFUSED": "The model refuses to answer.",
    "AI_CUT_OFF": "The answer was longer than `maxTokens` allows.",
    "AI_SCHEMA": "After all repairs the answer still does not fit the schema.",
    "AI_BUDGET": "The budget is used up; `details.usage` tells by what.",
    "CONFIG_INVALID": "The request cannot be sent as it is described.",
}


USAGE_SCHEMA: Final = record(
    inputTokens=INTEGER, outputTokens=INTEGER, calls=INTEGER, cost={"type": "number"}
)


class Prices(NodeConfig):
    input_per_million: float = Field(ge=0, description="Price of a million input tokens.")
    output_per_million: float = Field(ge=0, description="Price of a million output tokens.")


class Budget(NodeConfig):
    max_tokens: int | None = Field(
        default=None, ge=1, description="Input and output tokens of all calls of the step."
    )
    max_cost: float | None = Field(
        default=None, gt=0, description="Cost of all calls of the step; needs `prices`."
    )


class ModelConfig(NodeConfig):
    """The fields of every node that asks a model."""

    provider: Literal["openai", "anthropic"] = Field(
        default="openai",
        description="Which API the endpoint speaks; `openai` also of vLLM, Ollama and many others.",
    )
    base_url: Annotated[str, AfterValidator(fetchable)] | None = Field(
        default=None, description="Where the API is: `http://localhost:11434/v1`; absent: the provider's own."
    )
    api_key: Secret | None = Field(default=None, description="Key of the API.")
    model: str = Field(min_length=1, max_length=200, description="Name of the model.")
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="Output tokens of one call.")
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="From 0, the same each time, to wild."
    )
    extra: dict[str, Any] = Field(default_factory=dict, description="Further fields of the request's body.")
    prices: Prices | None = Field(
        default=None, description="What tokens cost, to tell the cost and limit it."
    )
    budget: Budget = Field(default_factory=Budget, description="What the step may use up.")
    repair_attempts: int = Field(
        default=2,
        ge=0,
        le=5,
        description="How often the model is told what does not fit the schema, and asked again.",
    )
    timeout_ms: int = Field(default=120_000, ge=1, le=3_600_000, description="For each call.")

    @model_validator(mode="after")
    def _knows_what_it_costs(self) -> Self:
        if self.budget.max_cost is not None and self.prices is None:
            raise ValueError("`budget.maxCost` needs `prices`")
        return self


class Message(NamedTuple):
    role: Literal["user", "assistant"]
    content: str


@dataclass(slots=True)
class Usage:
    """What a step has used up so far."""

    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def cost(self, prices: Prices | None) -> float | None:
        if prices is None:
            return None
        spent = self.input_tokens * prices.input_per_million + self.output_tokens * prices.output_per_million
        return round(spent / 1_000_000, 9)

    def as_json(self, prices: Prices | None) -> dict[str, JsonValue]:
        told: dict[str, JsonValue] = {
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
            "calls": self.calls,
        }
        cost = self.cost(prices)
        return told if cost is None else {**told, "cost": cost}


class Reply(NamedTuple):
    """One answer of a model."""

    text: str
    model: str
    finish_reason: str  # stop, length, refusal, or what the endpoint calls it
    input_tokens: int
    output_tokens: int


class Conclusion(NamedTuple):
    """What a conversation came to."""

    reply: Reply
    data: JsonValue  # the answer that fits the schema; None without one
    usage: dict[str, JsonValue]


async def converse(
    context: NodeContext,
    config: ModelConfig,
    system: str,
    messages: Sequence[Message],
    schema: Mapping[str, JsonValue] | None,
) -> Conclusion:
    """Ask, and with a schema ask again until the answer fits it. Raises NodeError with one of MODEL_ERRORS.

    Failures after the first call tell in their details what was used up.
    """
    api: Api = OpenAiApi() if config.provider == "openai" else AnthropicApi()
    said, usage = list(messages), Usage()
    while True:
        reply = await _asked(context, config, api, Question(system, said, schema), usage)
        told = usage.as_json(config.prices)
        if reply.finish_reason == "refusal":
            raise NodeError("AI_REFUSED", "the model refuses to answer", usage=told, text=reply.text[:2000])
        if schema is None:
            return Conclusion(reply, None, told)
        if reply.finish_reason == "length":
            raise NodeError("AI_CUT_OFF", "the answer was cut off at `maxTokens`", usage=told)
        data, problems = _fitting(reply.text, schema)
        if not problems:
            return Conclusion(reply, data, told)
        if usage.calls > config.repair_attempts:
            raise NodeError(
                "AI_SCHEMA", f"the answer does not fit: {problems[0]}", usage=told, problems=problems
            )
        said += [Message("assistant", reply.text or "(nothing)"), Message("user", _complaint(problems))]


def _fitting(text: str, schema: Mapping[str, JsonValue]) -> tuple[JsonValue, list[str]]:
    """The value in a model's text, and what is wrong with it."""
    try:
        value = parse_json(_without_fence(text))
    except InvalidJson as error:
        return None, [f"it is no JSON: {error}"]
    found = value_problems(schema, value)[:MAX_PROBLEMS_TOLD]
    return value, [f"{problem.path or '/'}: {problem.message}" for problem in found]


def _without_fence(text: str) -> str:
    """The content of a Markdown code block, if the text has one."""
    _, opening, rest = text.partition("```")
    inside, closing, _ = rest.partition("```")
    return inside.removeprefix("json") if opening and closing else text


def _complaint(problems: Sequence[str]) -> str:
    listed = "\n".join(f"- {problem}" for problem in problems)
    return f"This answer does not fit the schema:\n{listed}\nAnswer again, with the corrected JSON only."


# One call


class Question(NamedTuple):
    system: str
    messages: Sequence[Message]
    schema: Mapping[str, JsonValue] | None


class Api(Protocol):
    """How a provider wants to be asked, and answers."""

    default_url: str
    path: str

    def headers(self, api_key: str | None) -> dict[str, str]: ...

    def body(
        self, config: ModelConfig, question: Question, max_tokens: int | None
    ) -> dict[str, JsonValue]: ...

    def reply(self, answer: Any, question: Question) -> Reply:
        """Raises AttributeError, LookupError, TypeError or ValueError if the answer is none of this API's."""
        ...


async def _asked(
    context: NodeContext, config: ModelConfig, api: Api, question: Question, usage: Usage
) -> Reply:
    body = {**api.body(config, question, _affordable(config, usage)), **config.extra}
    client: httpx.AsyncClient = context.services.http
    headers = {
        **api.headers(config.api_key),
        "Content-Type": "application/json",
        "Accept-Encoding": "gzip",
        "Idempotency-Key": f"{context.step_key}-{usage.calls + 1}",
    }
    url = (config.base_url or api.default_url).rstrip("/") + api.path
    try:
        request = client.build_request("POST", url, headers=headers, content=encode(body), timeout=None)
    except UnicodeError as error:
        raise NodeError("CONFIG_INVALID", "the API key holds characters that HTTP cannot carry") from error
    response, answered = await exchange(
        client, request, timeout_ms=config.timeout_ms, max_bytes=MAX_RESPONSE_BYTES, follow_redirects=False
    )
    if response.status_code >= 400:
        raise refused(response, answered)
    try:
        reply = api.reply(parse_json(answered), question)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise NodeError("AI_ANSWER", "the endpoint's answer is not what its API promises") from error
    usage.calls += 1
    usage.input_tokens += reply.input_tokens
    usage.output_tokens += reply.output_tokens
    tokens(reply.input_tokens, reply.output_tokens)
    return reply


def _affordable(config: ModelConfig, usage: Usage) -> int | None:
    """How many output tokens the next call may have; None: as many as the endpoint likes.

    Raises NodeError AI_BUDGET if nothing is left.
    """
    limits = [config.max_tokens] if config.max_tokens else []
    if config.budget.max_tokens is not None:
        limits.append(config.budget.max_tokens - usage.tokens)
    if config.budget.max_cost is not None and config.prices is not None:
        left = config.budget.max_cost - (usage.cost(config.prices) or 0.0)
        if config.prices.output_per_million:
            limits.append(math.floor(round(left * 1_000_000 / config.prices.output_per_million, 6)))
        elif left <= 0:
            limits.append(0)
    if limits and min(limits) <= 0:
        raise NodeError("AI_BUDGET", "the budget is used up", usage=usage.as_json(config.prices))
    return min(limits) if limits else None


class OpenAiApi:
    default_url = "https://api.openai.com/v1"
    path = "/chat/completions"

    def headers(self, api_key: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def body(self, config: ModelConfig, question: Question, max_tokens: int | None) -> dict[str, JsonValue]:
        system = [{"role": "system", "content": question.system}] if question.system else []
        body: dict[str, JsonValue] = {
            "model": config.model,
            "messages": [*system, *(message._asdict() for message in question.messages)],
        }
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if question.schema is not None:
            schema = {"name": ANSWER_NAME, "schema": dict(question.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def reply(self, answer: Any, question: Question) -> Reply:
        choice, used = answer["choices"][0], answer.get("usage") or {}
        refusal = choice["message"].get("refusal")
        reason = "refusal" if refusal or choice.get("finish_reason") == "content_filter" else ""
        return Reply(
            text=_text(refusal or choice["message"].get("content") or ""),
            model=_text(answer.get("model") or ""),
            finish_reason=reason or _text(choice.get("finish_reason") or "stop"),
            input_tokens=_count(used.get("prompt_tokens", 0)),
            output_tokens=_count(used.get("completion_tokens", 0)),
        )


class AnthropicApi:
    default_url = "https://api.anthropic.com"
    path = "/v1/messages"

    def headers(self, api_key: str | None) -> dict[str, str]:
        key = {"x-api-key": api_key} if api_key else {}
        return {**key, "anthropic-version": ANTHROPIC_VERSION}

    def body(self, config: ModelConfig, question: Question, max_tokens: int | None) -> dict[str, JsonValue]:
        body: dict[str, JsonValue] = {
            "model": config.model,
            "max_tokens": max_tokens or ANTHROPIC_MAX_TOKENS,
            "messages": [message._asdict() for message in question.messages],
        }
        if question.system:
            body["system"] = question.system
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if question.schema is not None:
            # Their way to get JSON of a shape: a tool that the model must call with it.
            tool = {"name": ANSWER_NAME, "description": "Gives the answer."}
            body["tools"] = [{**tool, "input_schema": _tool_input(question.schema)}]
            body["tool_choice"] = {"type": "tool", "name": ANSWER_NAME}
        return body

    def reply(self, answer: Any, question: Question) -> Reply:
        used = answer.get("usage") or {}
        reasons = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "stop", "max_tokens": "length"}
        reason = _text(answer.get("stop_reason") or "stop")
        return Reply(
            text="".join(_block_text(block, question.schema) for block in answer["content"]),
            model=_text(answer.get("model") or ""),
            finish_reason=reasons.get(reason, reason),
            input_tokens=_count(used.get("input_tokens", 0)),
            output_tokens=_count(used.get("output_tokens", 0)),
        )


def _tool_input(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A tool's input is an object: any other answer goes into a field of one."""
    if _is_object(schema):
        return dict(schema)
    return {"type": "object", "properties": {"value": dict(schema)}, "required": ["value"]}


def _is_object(schema: Mapping[str, JsonValue]) -> bool:
    return schema.get("type") == "object"


def _block_text(block: Mapping[str, Any], schema: Mapping[str, JsonValue] | None) -> str:
    if block["type"] == "tool_use" and schema is not None:
        return encode(block["input"] if _is_object(schema) else block["input"]["value"]).decode()
    return _text(block.get("text") or "")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError


def _count(value: Any) -> int:
    if isinstance(value, int) and value >= 0:
        return value
    raise TypeError
