"""A gateway over real sockets, in front of an executor of canned answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.gateway.bootstrap import serve
from services.gateway.settings import Settings
from tests.unit.gateway.engine import Engine


class Running:
    """A gateway that answers at `url`."""

    def __init__(self, url: str, stop: asyncio.Event, served: asyncio.Task[None]) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.client = httpx.AsyncClient(base_url=url, timeout=20, limits=httpx.Limits(max_connections=200))
        self._stop = stop
        self._served = served

    async def stop(self) -> None:
        self._stop.set()
        await self._served
        await self.client.aclose()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def start_gateway(engine: Engine) -> AsyncIterator[Callable[..., Any]]:
    """Start a gateway with settings of one's own."""
    started: list[Running] = []

    async def start(**settings: Any) -> Running:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        chosen = replace(Settings(http_port=0, grpc_port=engine.port, shutdown_grace_seconds=2.0), **settings)
        served = asyncio.create_task(serve(chosen, address.set_result, stop))
        served.add_done_callback(lambda _: address.cancel())
        running = Running(await address, stop, served)
        started.append(running)
        return running

    yield start
    for running in started:
        await running.stop()


@pytest.fixture
async def gateway(start_gateway: Callable[..., Any]) -> Running:
    running: Running = await start_gateway()
    return running


@pytest.fixture
def client(gateway: Running) -> httpx.AsyncClient:
    return gateway.client
