"""What executors tell one another over a real Redis."""

from __future__ import annotations

import asyncio

from flow_engine.clock import SystemClock
from flow_engine.ids import ExecutionId
from services.executor.hints import RedisHints
from services.executor.notifications import Notifications
from tests.infra.valkey import PrivateValkey

ID = ExecutionId("e-1")


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
    first = RedisHints(redis_server.url, "executor:1", here, lambda: 3, SystemClock())
    second = RedisHints(redis_server.url, "executor:2", there, lambda: 0, SystemClock())
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
    first = RedisHints(redis_url, "executor:1", here, lambda: 0, SystemClock())
    second = RedisHints(redis_url, "executor:2", there, lambda: 0, SystemClock())
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
