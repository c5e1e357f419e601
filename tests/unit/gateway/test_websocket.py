from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.unit.gateway.conftest import Running
from tests.unit.gateway.engine import Engine


def watch(gateway: Running, query: str = "", **options: Any) -> connect:
    return connect(
        f"ws://127.0.0.1:{gateway.port}/api/workflow/execution/e1/ws{query}", proxy=None, **options
    )


async def frames(connection: ClientConnection) -> list[Any]:
    return [json.loads(message) async for message in connection]


async def test_frames_come_as_messages_and_the_end_closes_with_1000(gateway: Running, engine: Engine) -> None:
    run = engine.run()
    async with watch(gateway) as connection:
        assert json.loads(await connection.recv())["type"] == "execution.created"
        run.happen("step.completed", output=9007199254740993)
        run.happen("execution.completed")
        assert [frame["sequence"] for frame in await frames(connection)] == [2, 3]
        assert (connection.close_code, connection.close_reason) == (1000, "ended")


async def test_cursor_and_snapshot_work_as_in_the_stream(gateway: Running, engine: Engine) -> None:
    run = engine.run()
    for _ in range(700):
        run.happen("step.started")
    run.happen("execution.completed")
    async with watch(gateway, "?afterSequence=1") as connection:
        assert [frame["sequence"] for frame in await frames(connection)] == list(range(2, 703))
    async with watch(gateway, "?snapshot=true") as connection:
        assert [frame["type"] for frame in await frames(connection)] == ["snapshot"]
    async with watch(gateway, "?afterSequence=702") as connection:
        assert await frames(connection) == []
        assert connection.close_code == 1000


async def test_a_restarted_executor_is_not_noticed(gateway: Running, engine: Engine) -> None:
    run = engine.run()
    async with watch(gateway) as connection:
        await connection.recv()
        await engine.stop()
        run.happen("step.started")
        await engine.start()
        assert json.loads(await connection.recv())["sequence"] == 2
        run.happen("execution.completed")
        assert [frame["sequence"] for frame in await frames(connection)] == [3]


async def test_handshakes_are_refused_like_any_call(gateway: Running, engine: Engine) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await watch(gateway)
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["reason"] == "EXECUTION_NOT_FOUND"
    engine.run()
    for query, headers, status in [
        ("?afterSequence=x", {}, 400),
        ("?token=x", {}, 400),
        ("", {"Origin": "https://evil.example"}, 403),
        ("", {"Origin": "null"}, 403),
    ]:
        with pytest.raises(InvalidStatus) as refused:
            await watch(gateway, query, additional_headers=headers)
        assert refused.value.response.status_code == status


async def test_a_client_that_leaves_or_talks_too_much_ends_the_upstream(
    gateway: Running, engine: Engine
) -> None:
    engine.run()
    async with watch(gateway) as connection:
        await connection.recv()
        await connection.send("hello")
    async with asyncio.timeout(5):
        await engine.no_watch_is_open()
    async with watch(gateway) as connection:
        await connection.recv()
        await connection.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
    async with asyncio.timeout(5):
        await engine.no_watch_is_open()


async def test_a_gateway_that_stops_says_goodbye(start_gateway: Any, engine: Engine) -> None:
    engine.run()
    gateway = await start_gateway()
    async with watch(gateway) as connection:
        await connection.recv()
        async with asyncio.timeout(5):
            await gateway.stop()
        assert await frames_until_closed(connection) in (1001, 1012)


async def frames_until_closed(connection: ClientConnection) -> int | None:
    try:
        while True:
            await connection.recv()
    except ConnectionClosed:
        return connection.close_code
