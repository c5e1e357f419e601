"""Bells as they come out of a real stream into which anybody may have put anything."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import redis
from taskiq import AckableMessage

from flow_engine.queue import CONSUMER_GROUP, STREAMS
from services.executor.dispatcher import TaskiqQueue
from services.worker.broker import BellBroker, acknowledged, is_bell
from tests.infra.valkey import PrivateValkey

TASK = {"task_id": "x", "task_name": "advance", "labels": {}, "args": [], "kwargs": {}}
BELL = {
    **TASK,
    "task_id": "0" * 32,
    "labels": {"queue_name": "flow:advance:normal"},
    "kwargs": {"priority_class": "normal", "execution_id": ""},
}
ONE, TWO = "0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002"
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
    {"data": json.dumps({**BELL, "labels": {"timeout": 0.001}})},
    {"data": json.dumps({**BELL, "labels": {"queue_name": "flow:advance:normal", "retry_on_error": True}})},
    {"data": json.dumps({**BELL, "labels": {"queue_name": "elsewhere"}})},
    {"data": json.dumps({**BELL, "kwargs": {"priority_class": "normal", "execution_id": "../../etc"}})},
    {"data": json.dumps({**BELL, "kwargs": {**BELL["kwargs"], "more": 1}})},  # type: ignore[dict-item]
    {"data": json.dumps({**BELL, "task_id": "x" * 2000})},
    {"data": json.dumps({**BELL, "more": 1})},
    {"data": pickle.dumps(BELL)},
]


def test_what_the_executor_writes_is_a_bell() -> None:
    assert is_bell(json.dumps(BELL).encode())
    assert is_bell(json.dumps({**BELL, "labels_types": {"queue_name": 3}}).encode())


async def always() -> None:
    """There is room."""


async def test_only_bells_are_heard_and_garbage_goes_away(redis_server: PrivateValkey) -> None:
    broker = BellBroker(redis_server.url, "worker:test", always, asyncio.Event())
    await broker.startup()
    queue = TaskiqQueue(redis_server.url)
    await queue.start()
    with redis.Redis.from_url(redis_server.url) as client:
        for name in (ONE, TWO):
            for piece in GARBAGE:
                client.xadd(STREAMS[1], piece)
            await queue.ring([(name, 5)])

        listening = broker.listen()
        async with asyncio.timeout(20):
            heard: list[AckableMessage] = [await anext(listening), await anext(listening)]
        await listening.aclose()
        names = [broker.formatter.loads(message.data).kwargs["execution_id"] for message in heard]
        assert names == [ONE, TWO]
        for message in heard:
            await acknowledged(message)
        assert client.xlen(STREAMS[1]) == 0
        pending: Any = client.xpending(STREAMS[1], CONSUMER_GROUP)
        assert pending["pending"] == 0
    await queue.stop()
    await broker.shutdown()
