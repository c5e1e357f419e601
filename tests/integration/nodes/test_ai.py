"""ai.chat and ai.extract against endpoints that speak the real wire formats."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.responses import JSONResponse, PlainTextResponse

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.services import SharedServices
from tests.infra.egress import LOOPBACK_GUARD
from tests.infra.ports import free_port
from tests.integration.nodes.model_servers import Endpoint, ModelServer, serve_models
from tests.unit.nodes import contexts

SCHEMA = {
    "type": "object",
    "properties": {"n": {"$ref": "#/$defs/count"}},
    "required": ["n"],
    "$defs": {"count": {"type": "integer", "minimum": 1}},
}
PRICES = {"inputPerMillion": 1_000, "outputPerMillion": 2_000}

each_provider = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with serve_models() as server:
        yield server


@pytest.fixture
async def services() -> AsyncIterator[SharedServices]:
    shared = SharedServices(LOOPBACK_GUARD)
    yield shared
    await shared.close()


def raw(endpoint: Endpoint, provider: str, **changes: Any) -> dict[str, Any]:
    base = endpoint.url + ("/v1" if provider == "openai" else "")
    return {"provider": provider, "baseUrl": base, "model": "small", "prompt": "How many?", **changes}


async def chat(services: SharedServices, endpoint: Endpoint, provider: str, **changes: Any) -> Any:
    given = raw(endpoint, provider, **changes)
    return (await contexts.completed("ai.chat", given, services=services, step_key="k1")).output


async def failure(services: SharedServices, endpoint: Endpoint, provider: str, **changes: Any) -> Failure:
    return (await contexts.failed("ai.chat", raw(endpoint, provider, **changes), services=services)).failure


async def test_openai_is_asked_as_its_page_says(services: SharedServices, model: ModelServer) -> None:
    with model.told("Seven.") as endpoint:
        output = await chat(
            services,
            endpoint,
            "openai",
            apiKey="sk-1",
            system="Be brief.",
            messages=[{"content": "Hi"}, {"role": "assistant", "content": "Hello"}],
            maxTokens=50,
            temperature=0,
            extra={"seed": 1},
        )
    assert output == {
        "text": "Seven.",
        "model": "small-2026",
        "finishReason": "stop",
        "usage": {"inputTokens": 10, "outputTokens": 5, "calls": 1},
    }
    assert endpoint.bodies == [
        {
            "model": "small",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "How many?"},
            ],
            "max_tokens": 50,
            "temperature": 0,
            "seed": 1,
        }
    ]
    assert endpoint.headers[0]["authorization"] == "Bearer sk-1"
    assert endpoint.headers[0]["idempotency-key"] == "k1-1"


async def test_anthropic_is_asked_as_its_page_says(services: SharedServices, model: ModelServer) -> None:
    with model.told("Seven.") as endpoint:
        output = await chat(services, endpoint, "anthropic", apiKey="sk-2", system="Be brief.", prices=PRICES)
    assert output["text"] == "Seven."
    assert output["finishReason"] == "stop"
    assert output["usage"] == {"inputTokens": 10, "outputTokens": 5, "calls": 1, "cost": 0.02}
    assert endpoint.bodies == [
        {
            "model": "small",
            "max_tokens": 4096,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "How many?"}],
        }
    ]
    assert endpoint.headers[0]["x-api-key"] == "sk-2"
    assert endpoint.headers[0]["anthropic-version"] == "2023-06-01"


@each_provider
async def test_an_answer_by_schema(services: SharedServices, model: ModelServer, provider: str) -> None:
    with model.told({"n": 2**53 + 1}) as endpoint:
        output = await chat(services, endpoint, provider, schema=SCHEMA)
    assert output["json"] == {"n": 2**53 + 1}
    [body] = endpoint.bodies
    if provider == "openai":
        assert body["response_format"]["json_schema"] == {"name": "answer", "schema": SCHEMA}
    else:
        assert body["tools"][0]["input_schema"] == SCHEMA
        assert body["tool_choice"] == {"type": "tool", "name": "answer"}


@each_provider
async def test_an_answer_that_is_no_object(
    services: SharedServices, model: ModelServer, provider: str
) -> None:
    answer = {"value": [1, 2]} if provider == "anthropic" else [1, 2]
    with model.told(answer) as endpoint:
        output = await chat(services, endpoint, provider, schema={"type": "array"})
    assert output["json"] == [1, 2]


@each_provider
async def test_an_answer_that_does_not_fit_is_sent_back_with_what_is_wrong(
    services: SharedServices, model: ModelServer, provider: str
) -> None:
    with model.told("seven", {"n": 0}, 'Here it is:\n```json\n{"n": 7}\n```\n') as endpoint:
        output = await chat(services, endpoint, provider, schema=SCHEMA)
    assert output["json"] == {"n": 7}
    assert output["usage"] == {"inputTokens": 30, "outputTokens": 15, "calls": 3}
    last = endpoint.bodies[-1]["messages"]
    assert [message["role"] for message in last[-5:]] == ["user", "assistant", "user", "assistant", "user"]
    assert "/n" in last[-1]["content"]
    assert [headers["idempotency-key"] for headers in endpoint.headers] == ["k1-1", "k1-2", "k1-3"]


@each_provider
async def test_repairs_come_to_an_end_and_what_they_cost_is_told(
    services: SharedServices, model: ModelServer, provider: str
) -> None:
    with model.told({"n": 0}) as endpoint:
        failed = await failure(services, endpoint, provider, schema=SCHEMA, repairAttempts=1, prices=PRICES)
    assert (failed.code, failed.retryable) == ("AI_SCHEMA", False)
    assert failed.details["usage"] == {"inputTokens": 20, "outputTokens": 10, "calls": 2, "cost": 0.04}
    assert failed.details["problems"]


@each_provider
async def test_the_budget_ends_the_repairs(
    services: SharedServices, model: ModelServer, provider: str
) -> None:
    with model.told({"n": 0}) as endpoint:
        failed = await failure(
            services, endpoint, provider, schema=SCHEMA, budget={"maxTokens": 40}, repairAttempts=5
        )
        assert failed.code == "AI_BUDGET"
        assert failed.details["usage"]["calls"] == 3
        assert [body["max_tokens"] for body in endpoint.bodies] == [40, 25, 10]
        endpoint.bodies.clear()
        failed = await failure(
            services,
            endpoint,
            provider,
            schema=SCHEMA,
            budget={"maxCost": 0.03},
            prices=PRICES,
            maxTokens=100,
        )
    assert failed.code == "AI_BUDGET"
    assert [body["max_tokens"] for body in endpoint.bodies] == [15, 5]


@each_provider
async def test_refusals_and_cut_off_answers(
    services: SharedServices, model: ModelServer, provider: str
) -> None:
    with model.told("refusal") as endpoint:
        assert (await failure(services, endpoint, provider)).code == "AI_REFUSED"
    with model.told("cut off") as endpoint:
        assert (await chat(services, endpoint, provider))["finishReason"] == "length"
        assert (await failure(services, endpoint, provider, schema=SCHEMA)).code == "AI_CUT_OFF"


@each_provider
async def test_a_busy_endpoint_says_when_to_come_back(
    services: SharedServices, model: ModelServer, provider: str
) -> None:
    busy = JSONResponse({"error": {"message": "slow down"}}, 429, headers={"Retry-After": "3"})
    with model.told(busy) as endpoint:
        failed = await contexts.failed("ai.chat", raw(endpoint, provider), services=services)
    assert (failed.failure.code, failed.failure.retryable) == ("HTTP_STATUS", True)
    assert failed.retry_after_ms == 3000
    assert "slow down" in failed.failure.details["body"]


@each_provider
@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("<html>"),
        JSONResponse([]),
        JSONResponse({"choices": [], "content": None}),
        JSONResponse({"choices": [{"message": {"content": 7}}], "content": [{"type": "text", "text": 7}]}),
        JSONResponse(
            {"choices": [{"message": {}}], "content": [], "usage": {"prompt_tokens": "x", "input_tokens": -1}}
        ),
    ],
)
async def test_an_answer_of_another_kind_fails(
    services: SharedServices, model: ModelServer, provider: str, answer: Any
) -> None:
    with model.told(answer) as endpoint:
        assert (await failure(services, endpoint, provider)).code == "AI_ANSWER"


async def test_no_endpoint_is_retryable(services: SharedServices) -> None:
    failed = await failure(
        services, Endpoint([], url=f"http://127.0.0.1:{free_port()}"), "openai", apiKey="sk-1"
    )
    assert (failed.code, failed.retryable) == ("HTTP_CONNECT", True)
    assert "sk-1" not in str(failed)


@each_provider
async def test_extract_reads_data_out_of_a_text(
    services: SharedServices, model: ModelServer, provider: str
) -> None:
    with model.told({"n": 2}) as endpoint:
        given = raw(endpoint, provider, text="Two lamps, please.", schema=SCHEMA, instructions="Count lamps.")
        del given["prompt"]
        output = (await contexts.completed("ai.extract", given, services=services)).output
    assert output == {
        "data": {"n": 2},
        "model": "small-2026",
        "usage": {"inputTokens": 10, "outputTokens": 5, "calls": 1},
    }
    assert "Two lamps, please." in str(endpoint.bodies[0]["messages"])
    assert "Count lamps." in str(endpoint.bodies[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": None},
        {"schema": {"type": "nonsense"}},
        {"budget": {"maxCost": 1}},
        {"baseUrl": "localhost"},
        {"provider": "other"},
    ],
)
def test_impossible_questions_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        contexts.config("ai.chat", {"model": "small", "prompt": "x", **wrong})
