"""Whether executor and gateway answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flow_engine.dialing import read_dial
from flow_engine.environment import EnvironmentReader

POLL_SECONDS = 0.05


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    while not await check():  # noqa: ASYNC110 - it is other processes that we ask
        await asyncio.sleep(POLL_SECONDS)


async def executor_serves(address: str) -> bool:
    """grpc.health.v1, for the server as a whole."""
    dial = replace(read_dial(os.environ, EnvironmentReader(os.environ)), address=address)
    async with dial.aio_channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs lack the methods
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def gateway_serves(base_url: str) -> bool:
    """/readyz: it answers, and so does its executor."""
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        try:
            return (await client.get(f"{base_url}/readyz")).is_success
        except httpx.HTTPError:
            return False
