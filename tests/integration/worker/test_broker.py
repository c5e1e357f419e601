"""Bells as they come out of a real stream into which anybody may have put anything."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import redis
from taskiq import AckableMessage

from flow_engine.queue import CONSUMER_GROUP, STREAMS
from services.executor.dispatcher import TaskiqQueue
from services.worker.broker import BellBroker, acknowledged
from tests.infra.valkey import PrivateValkey

TASK = {"task_id": "x", "task_name": "advance", "labels": {}, "args": [], "kwargs": {}}
GARBAGE: list[dict[Any, Any]] = [
    {"no": "data"},
    {"data": ""},
    {"data": b"\xff\xfe\x00"},
    {"data": "x" * (1 << 20)},
    {"data": "[" * 50_000},
    {"data": "{}"},
    {"data": json.dumps({**TASK, "task_name": "os.system", "args": ["true"]})},
    {"data": json.dumps({**TASK, "args": ["normal", "id"]})},
    {"data": json.dumps({**TASK, "kwargs": {"priority_class": "normal"}})},
    {"data": json.dumps({**TASK, "kwargs": {"priority_class": 7, "execution_id": None}})},
]


async def always() -> None:
    """There is room."""


async def test_only_bells_are_heard_and_garbage_goes_away(redis_server: PrivateValkey) -> None:
    broker = BellBroker(redis_server.url, "worker:test", always, asyncio.Event())
    await broker.startup()
    queue = TaskiqQueue(redis_server.url)
    await queue.start()
    with redis.Redis.from_url(redis_server.url) as client:
        for name in ("one", "two"):
            for piece in GARBAGE:
                client.xadd(STREAMS[1], piece)
            await queue.ring(name, 5)

        listening = broker.listen()
        async with asyncio.timeout(20):
            heard: list[AckableMessage] = [await anext(listening), await anext(listening)]
        await listening.aclose()
        names = [broker.formatter.loads(message.data).kwargs["execution_id"] for message in heard]
        assert names == ["one", "two"]
        for message in heard:
            await acknowledged(message)
        assert client.xlen(STREAMS[1]) == 0
        pending: Any = client.xpending(STREAMS[1], CONSUMER_GROUP)
        assert pending["pending"] == 0
    await queue.stop()
    await broker.shutdown()
