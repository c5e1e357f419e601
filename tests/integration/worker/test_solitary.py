"""Processes of their own for executions that may kill theirs."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.worker.solitary import SolitaryRun

CHILDREN = 120
CALLERS = 8


async def launched_beside_busy_channels() -> list[bool]:
    """Starts many children while gRPC calls are under way; whether each died."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)

        async def call_on() -> None:
            while True:
                await stub.Check(health_pb2.HealthCheckRequest())

        callers = [asyncio.create_task(call_on()) for _ in range(CALLERS)]
        died = []
        for _ in range(CHILDREN // 4):
            died += await asyncio.gather(*(ended_by_itself() for _ in range(4)))
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    await server.stop(None)
    return died


async def ended_by_itself() -> bool:
    """A child that does nothing but hear one order; whether it died."""
    run = await SolitaryRun.launch([sys.executable, "-S", "-c", "import sys; sys.stdin.readline()"])
    run.nudge()
    died = await run.died()
    run.abandon()
    return died


def test_no_child_dies_of_being_started_beside_grpc_calls() -> None:
    """In the event loop that the worker uses: its own way of starting processes kills one in thirty."""
    assert uvloop.run(launched_beside_busy_channels()) == [False] * CHILDREN


async def test_a_child_that_is_killed_has_died() -> None:
    run = await SolitaryRun.launch([sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)"])
    assert await run.died()


async def test_a_child_that_was_abandoned_has_not_died() -> None:
    run = await SolitaryRun.launch([sys.executable, "-S", "-c", "import sys; sys.stdin.readline()"])
    run.abandon()
    run.abandon()
    assert not await run.died()


async def test_orders_to_a_child_that_is_gone_are_forgotten() -> None:
    run = await SolitaryRun.launch([sys.executable, "-S", "-c", ""])
    assert not await run.died()
    run.nudge()
    run.quiesce("shutdown")
    run.abandon()
