from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest

from flow_engine.v1 import execution_pb2 as pb
from tests.unit.gateway.conftest import Running
from tests.unit.gateway.engine import Engine, Refusal, Run
from tests.unit.gateway.event_source import EventSource, Interpreter

STREAM = "/api/workflow/execution/e1/stream"
JSON = {"Content-Type": "application/json"}


def history(run: Run, events: int) -> Run:
    """Fill the history up to so many events; the last is the execution's end."""
    while len(run.events) < events - 1:
        run.happen("step.completed", output=9007199254740993)
    run.happen("execution.completed")
    return run


async def sequences(client: httpx.AsyncClient, url: str, **headers: str) -> list[int]:
    """What one connection brings until the stream ends."""
    interpreter = Interpreter()
    async with client.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        text = "".join([part async for part in response.aiter_text()])
    messages = list(interpreter.feed(text))
    assert all(message.type == "message" for message in messages)
    assert all(int(message.last_event_id) == message.frame["sequence"] for message in messages)
    return [message.frame["sequence"] for message in messages]


async def test_frames_are_what_a_plain_event_source_reads(client: httpx.AsyncClient, engine: Engine) -> None:
    history(engine.run(), 3)
    response = await client.get(STREAM)
    frame = '{"sequence":2,"executionId":"e1","type":"step.completed","output":9007199254740993}'
    assert f"\nid: 2\ndata: {frame}\n\n" in response.text
    assert "event:" not in response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_an_event_source_gets_every_event_once_and_stops_by_itself(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    run = engine.run()
    source = EventSource(client, STREAM)
    seen = []
    async for message in source:
        seen.append(message.frame["sequence"])
        if seen[-1] < 5:
            run.happen("step.started")
        elif not run.ended:
            run.happen("execution.completed")
    assert seen == [1, 2, 3, 4, 5, 6]
    assert (source.connections, source.final_status) == (2, 204)


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [
        ("", "", [1, 2, 3, 4, 5]),
        ("?afterSequence=2", "", [3, 4, 5]),
        ("", "4", [5]),
        ("?afterSequence=1", "3", [4, 5]),
    ],
)
async def test_a_stream_begins_after_the_cursor(
    client: httpx.AsyncClient, engine: Engine, query: str, header: str, expected: list[int]
) -> None:
    history(engine.run(), 5)
    headers = {"Last-Event-ID": header} if header else {}
    assert await sequences(client, STREAM + query, **headers) == expected


@pytest.mark.parametrize("cursor", ["5", "6", "999999"])
async def test_a_cursor_at_or_past_the_end_is_answered_with_204(
    client: httpx.AsyncClient, engine: Engine, cursor: str
) -> None:
    history(engine.run(), 5)
    assert (await client.get(STREAM, headers={"Last-Event-ID": cursor})).status_code == 204
    assert (await client.get(f"{STREAM}?afterSequence={cursor}&snapshot=true")).status_code == 204


@pytest.mark.parametrize("cursor", ["-1", "abc", "1.5", "9" * 30])
async def test_a_cursor_that_is_none_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    for response in (
        await client.get(f"{STREAM}?afterSequence={cursor}"),
        await client.get(STREAM, headers={"Last-Event-ID": cursor}),
    ):
        assert response.status_code == 400
        assert response.json()["problems"][0]["code"] == "INVALID_PARAMETER"


async def test_the_stream_of_an_unknown_execution_is_a_404(client: httpx.AsyncClient) -> None:
    response = await client.get(STREAM)
    assert (response.status_code, response.json()["reason"]) == (404, "EXECUTION_NOT_FOUND")


async def test_a_snapshot_comes_first_and_is_gone_on_from(client: httpx.AsyncClient, engine: Engine) -> None:
    run = engine.run(workflow_name="W")
    run.happen("step.started")
    run.execution.steps.add(node_id="a", status=pb.STEP_STATUS_RUNNING, attempts=1)
    frames = []
    async for message in EventSource(client, f"{STREAM}?snapshot=true"):
        frames.append((message.last_event_id, message.frame))
        if len(frames) == 1:
            run.happen("execution.completed")
    assert [(event_id, frame["type"]) for event_id, frame in frames] == [
        ("2", "snapshot"),
        ("3", "execution.completed"),
    ]
    assert frames[0][1]["execution"]["workflowName"] == "W"
    assert frames[0][1]["execution"]["steps"] == [{"nodeId": "a", "status": "running", "attempts": 1}]


async def test_the_snapshot_of_an_ended_execution_is_the_whole_stream(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    history(engine.run(), 5)
    source = EventSource(client, f"{STREAM}?snapshot=true")
    assert [message.frame["type"] async for message in source] == ["snapshot"]
    assert source.final_status == 204


async def test_a_client_that_comes_back_gets_what_it_missed_instead_of_a_second_snapshot(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    history(engine.run(), 5)
    assert await sequences(client, f"{STREAM}?snapshot=true", **{"Last-Event-ID": "2"}) == [3, 4, 5]


async def test_silence_is_filled_with_comments(start_gateway: Callable[..., Any], engine: Engine) -> None:
    gateway = await start_gateway(heartbeat_seconds=0.05)
    run = engine.run()
    text = ""
    async with gateway.client.stream("GET", STREAM) as response:
        async for part in response.aiter_text():
            text += part
            if text.count(": heartbeat\n\n") >= 2 and not run.ended:
                run.happen("execution.completed")
    assert [message.frame["sequence"] for message in Interpreter().feed(text)] == [1, 2]


async def test_watchers_of_an_execution_share_one_upstream_and_see_the_same(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    run = engine.run()
    started = asyncio.Event()
    counts = 0

    async def watch() -> list[int]:
        nonlocal counts
        seen = []
        async for message in EventSource(client, STREAM):
            seen.append(message.frame["sequence"])
            if seen[-1] == 1:
                counts += 1
                if counts == 20:
                    started.set()
        return seen

    watchers = [asyncio.create_task(watch()) for _ in range(20)]
    await started.wait()
    history(run, 400)
    async with asyncio.timeout(20):
        assert all(seen == list(range(1, 401)) for seen in await asyncio.gather(*watchers))
    assert engine.calls["WatchExecutionRequest"] == 1


async def test_whoever_joins_late_gets_everything_once(client: httpx.AsyncClient, engine: Engine) -> None:
    run = engine.run()
    late: list[asyncio.Task[list[int]]] = []
    seen = []
    async for message in EventSource(client, STREAM):
        seen.append(message.frame["sequence"])
        if seen[-1] % 50 == 0 and not run.ended:
            late.append(asyncio.create_task(sequences(client, f"{STREAM}?afterSequence={seen[-1] // 2}")))
        if seen[-1] < 400:
            run.happen("step.started")
        elif not run.ended:
            run.happen("execution.completed")
    assert seen == list(range(1, 402))
    for number, got in enumerate(await asyncio.gather(*late), 1):
        assert got == list(range(number * 25 + 1, 402))


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_a_burst_far_above_the_buffer_reaches_a_client_that_reads(
    client: httpx.AsyncClient, engine: Engine, batch: int
) -> None:
    engine.batch = batch
    run = engine.run()
    seen = []
    async for message in EventSource(client, STREAM):
        seen.append(message.frame["sequence"])
        if seen[-1] == 1:
            history(run, 5000)
    assert seen == list(range(1, 5001))


async def test_nothing_is_missed_or_doubled_when_the_executor_restarts(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    run = engine.run()
    source = EventSource(client, STREAM)
    seen = []
    async for message in source:
        seen.append(message.frame["sequence"])
        if seen[-1] in (10, 20, 30):
            await engine.stop()
            run.happen("step.started")
            run.happen("step.started")
            await engine.start()
        if seen[-1] < 40:
            run.happen("step.started")
        elif not run.ended:
            run.happen("execution.completed")
    assert seen == list(range(1, len(run.events) + 1))
    assert source.connections == 2  # the second learns that it has ended


async def test_an_executor_that_ends_its_streams_when_it_stops_is_asked_again(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    run = engine.run()
    original = engine._follow
    ended: list[int] = []

    async def follow_for_a_while(run: Run, cursor: int) -> Any:
        async for events in original(run, cursor):
            yield events
            if len(ended) < 3:
                ended.append(events[-1].sequence)
                return

    engine._follow = follow_for_a_while  # type: ignore[method-assign]
    seen = []
    async for message in EventSource(client, STREAM):
        seen.append(message.frame["sequence"])
        if seen[-1] < 8:
            run.happen("step.started")
        elif not run.ended:
            run.happen("execution.completed")
    assert seen == list(range(1, 10))
    assert len(ended) == 3


async def test_the_upstream_ends_when_the_last_client_has_gone(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    engine.run()
    async with client.stream("GET", STREAM) as response:
        async for _ in response.aiter_text():
            break
    async with asyncio.timeout(5):
        await engine.no_watch_is_open()


async def test_a_client_that_does_not_read_is_cut_off_and_others_are_not(
    start_gateway: Callable[..., Any], engine: Engine
) -> None:
    gateway: Running = await start_gateway(stall_seconds=0.3)
    run = engine.run()
    deaf = socket.create_connection(("127.0.0.1", gateway.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    seen = 0
    async for message in EventSource(gateway.client, STREAM):
        seen += 1
        assert message.frame["sequence"] == seen
        if seen < 3000:
            run.happen("step.completed", output="x" * 4000)
        elif not run.ended:
            async with asyncio.timeout(10):
                while await metric(gateway, "flow_gateway_watchers") > 1:
                    pass
            run.happen("execution.completed")
    assert seen == 3001
    with pytest.raises(ConnectionResetError), deaf:
        await asyncio.to_thread(read_all, deaf)


def read_all(connection: socket.socket) -> None:
    connection.settimeout(5)
    while connection.recv(1 << 20):
        pass


async def metric(gateway: Running, name: str) -> float:
    text = (await gateway.client.get("/metrics")).text
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


async def test_a_run_may_be_watched_from_its_start(client: httpx.AsyncClient, engine: Engine) -> None:
    run = engine.run()
    interpreter = Interpreter()
    seen = []
    request = {"Accept": "text/event-stream", "Idempotency-Key": "k", **JSON}
    async with client.stream(
        "POST", "/api/workflow/run", content='{"workflowId": "w"}', headers=request
    ) as response:
        assert response.status_code == 200
        assert response.headers["location"] == "/api/workflow/execution/e1"
        async for text in response.aiter_text():
            for message in interpreter.feed(text):
                seen.append(message.frame)
                if len(seen) == 1:
                    run.happen("step.started")
                    await engine.stop()
                    run.happen("step.completed")
                    await engine.start()
                if len(seen) == 3:
                    run.happen("execution.completed")
    assert [frame["sequence"] for frame in seen] == [1, 2, 3, 4]
    assert seen[0]["executionId"] == "e1"
    assert engine.last(pb.StartAndWatchExecutionRequest).spec.request_id == "k"


async def test_a_start_that_is_to_be_watched_is_repeated_or_refused_like_any_other(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    run = engine.run()
    run.happen("execution.completed")
    engine.refusals = [Refusal(grpc.StatusCode.UNAVAILABLE)]
    headers = {"Accept": "text/event-stream", **JSON}
    response = await client.post("/api/workflow/run", content='{"workflowId": "w"}', headers=headers)
    assert [m.frame["sequence"] for m in Interpreter().feed(response.text)] == [1, 2]
    assert len({request.spec.request_id for request in engine.asked}) == 1

    engine.refusals = [Refusal(grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")]
    response = await client.post("/api/workflow/run", content='{"workflowId": "w"}', headers=headers)
    assert (response.status_code, response.json()["reason"]) == (404, "WORKFLOW_NOT_FOUND")


async def test_a_gateway_that_stops_ends_its_streams(
    start_gateway: Callable[..., Any], engine: Engine
) -> None:
    engine.run()
    gateway = await start_gateway()
    async with gateway.client.stream("GET", STREAM) as response:
        parts = response.aiter_text()
        await anext(parts)
        async with asyncio.timeout(5):
            await gateway.stop()
    async with asyncio.timeout(5):
        await engine.no_watch_is_open()


async def test_more_streams_than_a_connection_carries_are_all_served(
    start_gateway: Callable[..., Any], engine: Engine
) -> None:
    gateway = await start_gateway(streams_per_connection=4)
    runs = [engine.run(f"x{n}") for n in range(15)]

    async def watch(run: Run) -> list[str]:
        url = f"/api/workflow/execution/{run.execution.id}/stream"
        got = []
        async for message in EventSource(gateway.client, url):
            got.append(message.frame["type"])
            if len(got) == 1:
                run.happen("execution.completed")
        return got

    async with asyncio.timeout(20):
        everything = await asyncio.gather(*(watch(run) for run in runs))
    assert everything == [["execution.created", "execution.completed"]] * 15


async def test_a_browser_that_comes_back_while_the_executor_is_away_is_kept_waiting(
    start_gateway: Callable[..., Any], engine: Engine
) -> None:
    gateway = await start_gateway(patience_seconds=0.05, heartbeat_seconds=0.05)
    run = engine.run()
    run.happen("step.started")
    await engine.stop()
    interpreter = Interpreter()
    seen = []
    async with gateway.client.stream("GET", STREAM, headers={"Last-Event-ID": "1"}) as response:
        assert response.status_code == 200
        async for part in response.aiter_text():
            seen += [message.frame["sequence"] for message in interpreter.feed(part)]
            if len(interpreter.comments) == 3:
                await engine.start()
            if seen == [2]:
                run.happen("execution.completed")
    assert seen == [2, 3]
    response = await gateway.client.get(STREAM, headers={"Last-Event-ID": "3"})
    assert response.status_code == 204


async def test_a_browser_that_comes_back_to_an_execution_that_ended_meanwhile_is_let_go(
    start_gateway: Callable[..., Any], engine: Engine
) -> None:
    gateway = await start_gateway(patience_seconds=0.05, heartbeat_seconds=0.05)
    history(engine.run(), 5)
    await engine.stop()
    async with gateway.client.stream("GET", STREAM, headers={"Last-Event-ID": "5"}) as response:
        async for part in response.aiter_text():
            if "heartbeat" in part and not engine.running:
                await engine.start()
