"""redis.publish against a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from pydantic import ValidationError

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.services import SharedServices
from tests.infra.egress import LOOPBACK_GUARD
from tests.infra.ports import free_port
from tests.integration.nodes.servers import Handler, serve_bytes
from tests.unit.nodes import contexts

NEAR = SharedServices(LOOPBACK_GUARD)


def raw(url: str, **changes: Any) -> dict[str, Any]:
    return {"url": url, "channel": "orders", "message": {"n": 2**53 + 1}, **changes}


async def publish(url: str, **changes: Any) -> Any:
    return (await contexts.completed("redis.publish", raw(url, **changes), services=NEAR)).output


async def failure(url: str, **changes: Any) -> Failure:
    return (await contexts.failed("redis.publish", raw(url, **changes), services=NEAR)).failure


async def failure_with(handler: Handler, **changes: Any) -> Failure:
    async with serve_bytes(handler) as address:
        return await failure(f"redis://{address}", **changes)


@pytest.mark.parametrize(
    ("message", "sent"), [({"n": 2**53 + 1}, b'{"n":9007199254740993}'), ("plain ä", "plain ä".encode())]
)
async def test_subscribers_get_the_message(redis_url: str, message: Any, sent: bytes) -> None:
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as subscriber:
        subscriber.subscribe("orders")
        assert subscriber.get_message(timeout=5)["type"] == "subscribe"
        assert await publish(redis_url, message=message) == {"receivers": 1}
        assert subscriber.get_message(timeout=5)["data"] == sent


async def test_nobody_listening_is_no_failure(redis_url: str) -> None:
    assert await publish(redis_url) == {"receivers": 0}


async def test_wrong_credentials_fail_for_good(redis_url: str) -> None:
    failed = await failure(redis_url.replace("redis://", "redis://nobody:secret@", 1))
    assert (failed.code, failed.retryable) == ("REDIS_AUTH", False)
    assert "secret" not in str(failed)


async def test_no_server_is_retryable() -> None:
    failed = await failure(f"redis://127.0.0.1:{free_port()}")
    assert (failed.code, failed.retryable) == ("REDIS_CONNECT", True)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_silent_server_is_given_up_in_time() -> None:
    failed = await failure_with(silent, timeoutMs=100)
    assert (failed.code, failed.retryable) == ("REDIS_TIMEOUT", True)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_is_no_redis_fails(said: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(said)

    assert (await failure_with(say)).code in ("REDIS_CONNECT", "REDIS_DISCONNECTED")


async def test_cancelling_hangs_up() -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        asked.set()
        await reader.read()
        hung_up.set()

    async with serve_bytes(wait) as address:
        running = asyncio.create_task(publish(f"redis://{address}"))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.wait_for(hung_up.wait(), 5)


@pytest.mark.parametrize(
    "wrong",
    ["http://a", "redis://", "redis:///tmp/socket", "redis://a/b", "redis://a?ssl_keyfile=x", "unix:///a"],
)
def test_urls_that_lead_elsewhere_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        contexts.config("redis.publish", raw(wrong))
