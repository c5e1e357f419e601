"""The stream over all executions, as a dashboard sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import grpc
import httpx
import pytest
from websockets.asyncio.client import connect

from flow_engine.v1 import execution_pb2 as pb
from tests.unit.gateway.conftest import Running
from tests.unit.gateway.engine import Engine, Refusal
from tests.unit.gateway.event_source import EventSource

STREAM = "/api/workflow/stream"


async def close(reader: AsyncIterator[Any]) -> None:
    assert isinstance(reader, AsyncGenerator)
    await reader.aclose()


async def take(source: EventSource, count: int) -> list[Any]:
    """So many frames, by however many connections."""
    frames: list[Any] = []
    async for message in source:
        frames.append(message.frame)
        assert message.last_event_id == frames[-1]["cursor"]
        if len(frames) == count:
            break
    return frames


async def test_a_stream_from_now_on_opens_with_the_cursor_of_now(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    before = engine.change()
    source = EventSource(client, STREAM)
    reader = aiter(source)
    opened = (await anext(reader)).frame
    assert opened == {"type": "stream.opened", "cursor": before}
    engine.change(
        "e2",
        workflow_id="orders",
        workflow_name="Orders",
        status=pb.EXECUTION_STATUS_FAILED,
        sequence=9,
        progress=pb.Progress(completed_steps=3, total_steps=4, percent=75.0),
        facts=[pb.ChangedFact(sequence=9, type="execution.failed")],
        event_count=2,
        error_code="TIMEOUT",
    )
    assert (await anext(reader)).frame == {
        "type": "execution.changed",
        "cursor": "00002",
        "executionId": "e2",
        "workflowId": "orders",
        "workflowName": "Orders",
        "status": "failed",
        "mode": "queued",
        "sequence": 9,
        "time": "1970-01-01T00:00:00Z",
        "progress": {"completedSteps": 3, "totalSteps": 4, "percent": 75.0},
        "events": [{"sequence": 9, "type": "execution.failed"}],
        "eventCount": 2,
        "errorCode": "TIMEOUT",
    }
    await close(reader)


async def test_watchers_of_one_filter_share_one_upstream(gateway: Running, engine: Engine) -> None:
    engine.change()
    paths = [STREAM] * 3 + [f"{STREAM}?status=failed,completed", f"{STREAM}?status=completed,failed"]
    readers = [aiter(EventSource(gateway.client, path)) for path in paths]
    for reader in readers:
        await anext(reader)
    engine.change(status=pb.EXECUTION_STATUS_COMPLETED)
    assert [(await anext(reader)).frame["cursor"] for reader in readers] == ["00002"] * 5
    assert engine.open_watches == 2
    for reader in readers:
        await close(reader)
    await engine.no_watch_is_open()


async def test_nothing_is_missed_or_doubled_when_the_executor_restarts(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    source = EventSource(client, STREAM)
    reader = aiter(source)
    seen = [(await anext(reader)).frame["cursor"]]
    for round_ in range(3):
        for _ in range(5):
            engine.change()
        if round_ == 1:
            await engine.stop()
            engine.change()
            await engine.start()
        while seen[-1] != engine.changes[-1].cursor:
            seen.append((await anext(reader)).frame["cursor"])
    assert seen == [f"{n:05d}" for n in range(17)]
    assert source.connections == 1
    await close(reader)


async def test_a_client_that_comes_back_gets_the_rest_once(
    client: httpx.AsyncClient, start_gateway: Callable[..., Any], engine: Engine
) -> None:
    for _ in range(20):
        engine.change()
    source = EventSource(client, f"{STREAM}?afterCursor=00003")
    assert [frame["cursor"] for frame in await take(source, 4)] == ["00004", "00005", "00006", "00007"]
    elsewhere = EventSource((await start_gateway()).client, STREAM)
    elsewhere.interpreter.last_event_id = "00007"
    assert [frame["cursor"] for frame in await take(elsewhere, 13)] == [f"{n:05d}" for n in range(8, 21)]


async def test_one_who_falls_behind_goes_on_by_pages_and_misses_nothing(
    start_gateway: Callable[..., Any], engine: Engine
) -> None:
    """The upstream brings more at once than a buffer holds."""
    gateway = await start_gateway(stream_buffer_events=4)
    source = EventSource(gateway.client, STREAM)
    reader = aiter(source)
    seen = [(await anext(reader)).frame["cursor"]]
    engine.change()
    seen.append((await anext(reader)).frame["cursor"])  # the upstream is open
    for _ in range(50):
        engine.change()
    while seen[-1] != "00051":
        seen.append((await anext(reader)).frame["cursor"])
    assert seen == [f"{n:05d}" for n in range(52)]
    await close(reader)


async def test_the_same_frames_come_by_websocket(gateway: Running, engine: Engine) -> None:
    engine.change()
    address = f"ws://127.0.0.1:{gateway.port}/api/workflow/ws?afterCursor=00000&workflowId=orders"
    async with connect(address, proxy=None) as connection:
        first = json.loads(await connection.recv())
        engine.change("e2")
        second = json.loads(await connection.recv())
    assert [first["cursor"], second["executionId"]] == ["00001", "e2"]
    assert engine.last(pb.WatchExecutionsRequest).filter.workflow_id == "orders"


@pytest.mark.parametrize(
    ("query", "problem"),
    [("?status=done", "status"), ("?colour=red", "colour"), ("?mode=auto", "mode")],
)
async def test_a_wrong_filter_is_refused(client: httpx.AsyncClient, query: str, problem: str) -> None:
    response = await client.get(STREAM + query)
    assert response.status_code == 400
    assert problem in response.text


async def test_a_cursor_that_the_executor_refuses_is_a_problem_document(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.refusals.append(Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"))
    response = await client.get(STREAM, headers={"Last-Event-ID": "nonsense"})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


async def test_the_gateway_ends_its_streams_when_it_stops(gateway: Running, engine: Engine) -> None:
    async with gateway.client.stream("GET", STREAM) as response:
        lines = response.aiter_lines()
        while not (await anext(lines)).startswith("data:"):
            pass
        stopping = asyncio.create_task(gateway.stop())
        assert [line async for line in lines if line] == []
    await stopping
