"""The gateway as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from flow_engine.tether import tethered
from tests.infra.ports import free_port
from tests.unit.gateway.engine import Engine
from tests.unit.gateway.event_source import EventSource

STREAM = "/api/workflow/execution/e1/stream"


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    await engine.start()
    yield engine
    await engine.stop()


class Process:
    def __init__(self, process: asyncio.subprocess.Process, line: str) -> None:
        self.process = process
        self.line = line
        self.url = line.removeprefix("ready ")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


@asynccontextmanager
async def gateway(engine: Engine, **environment: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", "services.gateway"]),
        env={
            **os.environ,
            "FLOW_HTTP_ADDRESS": "127.0.0.1:0",
            "FLOW_GRPC_ADDRESS": f"127.0.0.1:{engine.port}",
            **environment,
        },
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    running = Process(process, (await process.stdout.readline()).decode().rstrip("\n"))
    try:
        yield running
    finally:
        await running.stop()


def refused(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.gateway"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_it_says_where_it_listens_and_sigterm_ends_it_and_its_streams(engine: Engine) -> None:
    engine.run()
    async with gateway(engine) as running, httpx.AsyncClient(base_url=running.url, timeout=20) as client:
        assert running.line.startswith("ready http://127.0.0.1:")
        async with client.stream("GET", STREAM) as response:
            parts = response.aiter_text()
            heard = ""
            while not heard.rstrip().endswith("}"):  # the first event, however it is cut into parts
                heard += await anext(parts)
            async with asyncio.timeout(5):
                assert await running.stop() == 0
            assert "".join([part async for part in parts]).strip() == ""
    async with asyncio.timeout(5):
        await engine.no_watch_is_open()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
async def test_an_event_source_misses_and_doubles_nothing_when_gateway_and_executor_restart(
    engine: Engine, ending: signal.Signals
) -> None:
    run = engine.run()
    address = f"127.0.0.1:{free_port()}"
    seen: list[int] = []
    arrived = asyncio.Event()

    async def watch(client: httpx.AsyncClient) -> int:
        source = EventSource(client, STREAM)
        async for message in source:
            seen.append(message.frame["sequence"])
            arrived.set()
        return source.final_status

    async def caught_up() -> None:
        while not seen or seen[-1] < len(run.events):
            arrived.clear()
            await arrived.wait()

    async with asyncio.timeout(50), httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        watcher = asyncio.create_task(watch(client))
        for _ in range(2):
            async with gateway(engine, FLOW_HTTP_ADDRESS=address) as running:
                await caught_up()
                run.happen("step.started")
                await caught_up()
                await engine.stop()
                run.happen("step.completed")
                await running.stop(ending)
            run.happen("step.completed")
            await engine.start()
        async with gateway(engine, FLOW_HTTP_ADDRESS=address):
            await caught_up()
            run.happen("execution.completed")
            assert await watcher == 204
    assert seen == list(range(1, len(run.events) + 1))


def test_an_address_that_others_reach_is_refused_unless_asked_for() -> None:
    result = refused(FLOW_HTTP_ADDRESS="0.0.0.0:0")
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr.count("\n") == 1
    assert "FLOW_INSECURE" in result.stderr


async def test_insecure_opens_it(engine: Engine) -> None:
    environment = {"FLOW_HTTP_ADDRESS": "0.0.0.0:0", "FLOW_INSECURE": "1"}
    async with gateway(engine, **environment) as running, httpx.AsyncClient() as client:
        port = running.url.rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/readyz"
        assert (await client.get(url)).json() == {"status": "ready"}
        assert (await client.get(url, headers={"Host": "flow.example"})).status_code == 403


def test_wrong_settings_are_named_all_at_once() -> None:
    result = refused(FLOW_HTTP_ADDRESS="nowhere", FLOW_STREAM_STALL_SECONDS="soon", FLOW_INSECURE="maybe")
    assert result.returncode == 78
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "FLOW_HTTP_ADDRESS",
        "FLOW_INSECURE",
        "FLOW_STREAM_STALL_SECONDS",
    ]


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = refused(FLOW_HTTP_ADDRESS=f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.returncode == 78
    assert result.stderr.startswith("FLOW_HTTP_ADDRESS: cannot listen at 127.0.0.1:")
