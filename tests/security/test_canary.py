"""A secret on a whole stack of processes: what they write to disk and tell anybody does not hold it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.infra.egress import LOOPBACK
from tests.infra.stack import Stack
from tests.infra.valkey import PrivateValkey
from tests.integration.nodes.servers import serve_http

CANARY = "canary-5f1d/and+more=~"


async def echo(request: Request) -> Response:
    """The secret in a text, in base64 and in a URL, and a Content-Type that makes the node stumble."""
    said = request.headers["x-key"]
    told = f"{said} {base64.b64encode(said.encode()).decode()} {quote(said, safe='')}"
    status = 500 if request.url.path == "/fails" else 200
    return Response(told, status, media_type=request.query_params.get("as", "text/plain"))


@pytest.fixture
def stack(tmp_path: Path, redis_server: PrivateValkey) -> Iterator[Stack]:
    running = Stack(
        tmp_path,
        f"sqlite:///{tmp_path / 'flow.db'}",
        redis_server.url,
        FLOW_LOG_LEVEL="debug",
        FLOW_SECRET_CANARY=CANARY,
        FLOW_SECRETS_HOSTS="CANARY=127.0.0.1",
        **LOOPBACK,
    )
    try:
        yield running.start()
    finally:
        running.stop()


def spellings() -> Iterator[bytes]:
    plain = CANARY.encode()
    yield plain
    yield json.dumps(CANARY)[1:-1].encode()
    yield quote(CANARY, safe="").encode()
    yield plain.decode("latin-1").encode()
    for before in range(3):
        yield base64.b64encode(b"x" * before + plain)[4:-4]


def assert_hidden(where: str, told: bytes) -> None:
    for spelling in spellings():
        assert spelling not in told, where


def test_a_secret_is_on_no_disk_and_in_no_answer(stack: Stack, tmp_path: Path) -> None:
    def call(name: str, path: str) -> dict[str, object]:
        headers = {"X-Key": "${ secrets.CANARY }"}
        return {
            "id": name,
            "type": "http.request",
            "config": {"url": f"${{ input.site }}{path}", "headers": headers},
            "onError": "continue",
        }

    nodes = [
        call("works", "/works"),
        call("fails", "/fails"),
        call("stumbles", "/works?as=application/json"),
        {"id": "keep", "type": "data.set", "config": {"values": {"all": "${ nodes }"}}},
    ]
    edges = [{"source": name, "target": "keep"} for name in ("works", "fails", "stumbles")]
    with serve_http(Starlette(routes=[Route("/{path}", echo)])) as site:
        for mode in ("immediate", "queued"):
            body = {"nodes": nodes, "edges": edges, "output": "${ nodes }"}
            started = stack.run(body, {"site": site}, mode)
            ended = stack.until(started["executionId"], "completed")
            steps = {step["nodeId"]: step for step in ended["steps"]}
            assert "output" in steps["works"], steps["works"]["error"]
            assert steps["works"]["output"]["body"].startswith("*** ")
            assert steps["fails"]["error"]["details"]["body"].startswith("*** ")
            assert steps["stumbles"]["error"]["code"] == "HTTP_BODY"
            path = f"/api/workflow/execution/{started['executionId']}"
            for place in (path, f"{path}/events", f"{path}/steps", f"{path}/stream", "/api/secrets"):
                assert_hidden(place, stack.call("GET", place).content)
    stack.stop()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert_hidden(str(file), file.read_bytes())
