"""What executors tell one another over a real Redis."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
import redis
from structlog.testing import capture_logs

from flow_engine.clock import SystemClock
from flow_engine.ids import ExecutionId
from services.executor.hints import CHANNEL, MOST_EXECUTORS, RedisHints
from services.executor.notifications import Notifications
from tests.infra.valkey import PrivateValkey

ID = ExecutionId("0198c0de-0000-7000-8000-000000000001")
FIRST, SECOND = "executor:" + str(uuid4()), "executor:" + str(uuid4())


async def told(sender: RedisHints, hearers: Notifications) -> None:
    """Tell until it is heard: a hint that is said before anybody listens is lost, as it may be."""
    with hearers.listening(ID) as listener:
        async with asyncio.timeout(20):
            sender.tell([ID])
            while not await listener.wait(0.05):
                sender.tell([ID])


async def test_others_hear_of_commits_and_workers_also_after_redis_was_gone(
    redis_server: PrivateValkey,
) -> None:
    here, there = Notifications(), Notifications()
    first = RedisHints(redis_server.url, FIRST, here, lambda: 3, SystemClock())
    second = RedisHints(redis_server.url, SECOND, there, lambda: 0, SystemClock())
    await first.start()
    await second.start()
    await told(first, there)
    assert second.workers_elsewhere == 3
    assert first.workers_elsewhere == 0
    redis_server.kill()
    await redis_server.start()
    await told(first, there)
    await first.stop()
    await second.stop()


async def test_nobody_wakes_by_its_own_hints(redis_url: str) -> None:
    here, there = Notifications(), Notifications()
    first = RedisHints(redis_url, FIRST, here, lambda: 0, SystemClock())
    second = RedisHints(redis_url, SECOND, there, lambda: 0, SystemClock())
    await first.start()
    await second.start()
    with here.listening(ID) as listener:
        await told(second, here)
        await told(first, there)
        await listener.wait(0)
        await told(first, there)
        assert not await listener.wait(0)
    await first.stop()
    await second.stop()


async def test_who_is_alone_tells_of_itself_only(redis_url: str) -> None:
    first = RedisHints(redis_url, FIRST, Notifications(), lambda: 3, SystemClock())
    with redis.Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(CHANNEL)
        while channel.get_message(timeout=5) is not None:  # that it is subscribed
            pass
        first.tell([ID])
        await first.start()
        heard = None
        while heard is None:
            first.tell([ID])
            heard = await asyncio.to_thread(channel.get_message, timeout=5)
        assert heard["data"] == f"{FIRST} 3".encode()
        client.publish(CHANNEL, f"{SECOND} 0")
        async with asyncio.timeout(20):
            while ID.encode() not in heard["data"]:
                first.tell([ID])
                heard = await asyncio.to_thread(channel.get_message, timeout=0.1) or heard
    await first.stop()


GARBAGE = [
    b"",
    b"\xff\xfe\x00",
    b"x" * (1 << 20),
    f"{SECOND} {'9' * 5000} {ID}".encode(),
    f"{SECOND} -1 {ID}".encode(),
    f"{SECOND} 1 {ID} os.system".encode(),
    f"{SECOND} 1  {ID}".encode(),
    f"{SECOND} 1 {ID}\n".encode(),
    f"worker:{uuid4()} 1 {ID}".encode(),
    b"cos\nsystem\n(S'true'\ntR.",
]


async def test_what_is_no_hint_is_told_and_dropped(redis_url: str) -> None:
    """Anybody who reaches Redis may write there: the listener goes on, and takes nothing from it."""
    here = Notifications()
    first = RedisHints(redis_url, FIRST, here, lambda: 0, SystemClock())
    second = RedisHints(redis_url, SECOND, Notifications(), lambda: 7, SystemClock())
    await first.start()
    await second.start()
    await told(second, here)
    with capture_logs() as logs, redis.Redis.from_url(redis_url) as client:
        for piece in GARBAGE:
            client.publish(CHANNEL, piece)
        while [log["event"] for log in logs].count("redis.garbage") < len(GARBAGE):
            await told(second, here)
    assert first.workers_elsewhere == 7
    await first.stop()
    await second.stop()


@pytest.mark.parametrize("others", [MOST_EXECUTORS * 3])
def test_whoever_claims_to_be_many_executors_takes_no_memory(others: int) -> None:
    hints = RedisHints("redis://127.0.0.1:1", FIRST, Notifications(), lambda: 0, SystemClock())
    for _ in range(others):
        hints._hear({"data": f"executor:{uuid4()} 1".encode()})
    assert len(hints._elsewhere) == MOST_EXECUTORS
