"""Bare taskiq: the stock broker on Redis streams, and tasks that do nothing but count."""

from __future__ import annotations

import asyncio
import os

import uvloop
from redis.asyncio import Redis
from taskiq.receiver import Receiver
from taskiq_redis import RedisStreamBroker

QUEUE = "floor"
DONE = "floor:done"
TASK = "floor.count"


def broker(url: str) -> RedisStreamBroker:
    return RedisStreamBroker(url, queue_name=QUEUE, consumer_group_name=QUEUE)


async def work(url: str) -> None:
    """Runs tasks until it is killed; says so on a list whenever as many were run as a task belongs to."""
    bare = broker(url)
    seen = 0

    async def count(of: int) -> None:
        nonlocal seen
        seen += 1
        if seen == of:
            seen = 0
            async with Redis.from_url(url) as redis:
                await redis.rpush(DONE, "done")

    bare.register_task(count, task_name=TASK)
    bare.is_worker_process = True
    await bare.startup()
    print("ready bells", flush=True)
    await Receiver(bare, max_async_tasks=16, run_startup=False).listen(asyncio.Event())


if __name__ == "__main__":
    uvloop.run(work(os.environ["REDIS_URL"]))
