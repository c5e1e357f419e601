"""A model endpoint that speaks the wire formats of OpenAI and of Anthropic, as their pages show them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.integration.nodes.servers import serve_http


@dataclass
class Endpoint:
    """Both APIs on one address. Answers what it is told to, in turn; the last again and again."""

    answers: list[Any]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def openai(self, request: Request) -> Response:
        answer = await self._next(request)
        if isinstance(answer, Response):
            return answer
        length = answer == "cut off"
        return JSONResponse(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1741569952,
                "model": "small-2026",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": None if answer == "refusal" else _as_text(answer),
                            "refusal": "I cannot" if answer == "refusal" else None,
                        },
                        "logprobs": None,
                        "finish_reason": "length" if length else "stop",
                    }
                ],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    async def anthropic(self, request: Request) -> Response:
        answer = await self._next(request)
        if isinstance(answer, Response):
            return answer
        tool = self.bodies[-1].get("tool_choice")
        if tool and not isinstance(answer, str):
            block = {"type": "tool_use", "id": "toolu_1", "name": tool["name"], "input": answer}
        else:
            block = {"type": "text", "text": _as_text(answer)}
        reasons = {"cut off": "max_tokens", "refusal": "refusal"}
        reason = reasons.get(answer, "end_turn") if isinstance(answer, str) else "tool_use"
        return JSONResponse(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "small-2026",
                "content": [block],
                "stop_reason": reason,
                "stop_sequence": None,
                "usage": {"input_tokens": 10, "output_tokens": 5},
            }
        )

    async def _next(self, request: Request) -> Any:
        self.bodies.append(json.loads(await request.body()))
        self.headers.append(dict(request.headers))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def _as_text(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer)


class ModelServer:
    """One server for many tests, an endpoint for each."""

    def __init__(self) -> None:
        self.url = ""
        self._endpoint = Endpoint([])

    @contextmanager
    def told(self, *answers: Any) -> Iterator[Endpoint]:
        """An answer is a text, a value (sent as JSON, or as a tool's input), or a whole response."""
        self._endpoint = Endpoint(list(answers), self.url)
        yield self._endpoint

    async def openai(self, request: Request) -> Response:
        return await self._endpoint.openai(request)

    async def anthropic(self, request: Request) -> Response:
        return await self._endpoint.anthropic(request)


@contextmanager
def serve_models() -> Iterator[ModelServer]:
    server = ModelServer()
    routes = [
        Route("/v1/chat/completions", server.openai, methods=["POST"]),
        Route("/v1/messages", server.anthropic, methods=["POST"]),
    ]
    with serve_http(Starlette(routes=routes)) as server.url:
        yield server
