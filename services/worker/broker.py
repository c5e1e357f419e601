"""The bell: taskiq over Redis streams, made to survive what Redis does.

A message only says that there is work; `docs/protocol.md` tells why losing all of them costs
seconds. The stock broker stops reclaiming on an idle queue, dies with a restarted Redis and
never deletes entries; this one does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage
from taskiq.abc.formatter import TaskiqFormatter
from taskiq_redis import RedisStreamBroker

from flow_engine.queue import CONSUMER_GROUP, STREAMS, TASK_NAME

log = structlog.get_logger()

BLOCK_MS = 1000  # must stay below the socket time-out
SOCKET_TIMEOUT_SECONDS = 5.0
IDLE_TIMEOUT_MS = 30_000  # bells are acknowledged within moments: an older one lost its worker
RECLAIM_SECONDS = 5.0
BATCH = 32
LONGEST_PAUSE_SECONDS = 5.0
FORGOTTEN_CONSUMER_MS = 3_600_000


def is_bell(formatter: TaskiqFormatter, data: bytes) -> bool:
    """Whether it is a message that the executor's dispatcher writes."""
    try:
        message = formatter.loads(data)
    except Exception:  # whatever a decoder may raise at what anybody may have put there
        return False
    values = message.kwargs
    return (
        message.task_name == TASK_NAME
        and not message.args
        and values.keys() == {"priority_class", "execution_id"}
        and all(isinstance(value, str) for value in values.values())
    )


async def acknowledged(message: AckableMessage) -> None:
    answer = message.ack()
    if answer is not None:
        await answer


class BellBroker(RedisStreamBroker):
    """Reads the streams in order of urgency, and only while `wanted()` says there is room."""

    def __init__(
        self, url: str, consumer_name: str, wanted: Callable[[], Awaitable[None]], stopping: asyncio.Event
    ) -> None:
        super().__init__(
            url,
            queue_name=STREAMS[-1],
            additional_streams=dict.fromkeys(STREAMS[:-1], ">"),
            consumer_group_name=CONSUMER_GROUP,
            consumer_name=consumer_name,
            consumer_id="0",
            idle_timeout=IDLE_TIMEOUT_MS,
            xread_block=BLOCK_MS,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        )
        self._wanted = wanted
        self._stopping = stopping  # ends `listen` even where Redis's client swallows its cancellation

    async def startup(self) -> None:
        """Waits for Redis as long as it takes: work is asked for without it meanwhile."""
        pause = 0.1
        while True:
            try:
                await super().startup()
                await self._forget_dead_consumers()
                return
            except (RedisError, OSError) as error:
                log.warning("redis.unreachable", error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        reclaim_at, pause = 0.0, 0.1
        while not self._stopping.is_set():
            await self._wanted()
            try:
                async with Redis(connection_pool=self.connection_pool) as redis:
                    if time.monotonic() >= reclaim_at:  # also when nothing new comes
                        reclaim_at = time.monotonic() + RECLAIM_SECONDS
                        for message in await self._reclaimed(redis):
                            if await self._is_bell(message):
                                yield message
                    for message in await self._new(redis):
                        if await self._is_bell(message):
                            yield message
                pause = 0.1
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    log.error("redis.refused", error=str(error))
                    await asyncio.sleep(LONGEST_PAUSE_SECONDS)
                else:
                    await self._declare_group_again()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis.unreachable", error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _reclaimed(self, redis: Redis) -> list[AckableMessage]:
        messages: list[AckableMessage] = []
        for stream in STREAMS:
            _, entries, *_ = await redis.xautoclaim(
                stream, CONSUMER_GROUP, self.consumer_name, min_idle_time=IDLE_TIMEOUT_MS, count=100
            )
            messages.extend(self._messages(stream, entries))
        return messages

    async def _new(self, redis: Redis) -> list[AckableMessage]:
        """Strict priority; blocks only when every stream is empty."""
        for stream in (*STREAMS, None):
            wanted = [stream] if stream else STREAMS
            answer: Any = await redis.xreadgroup(
                CONSUMER_GROUP,
                self.consumer_name,
                dict.fromkeys(wanted, ">"),
                count=BATCH,
                block=None if stream else BLOCK_MS,
            )
            if answer:
                pairs = answer.items() if isinstance(answer, dict) else answer
                return [message for name, entries in pairs for message in self._messages(name, entries)]
        return []

    def _messages(self, stream: str | bytes, entries: Iterable[Any]) -> list[AckableMessage]:
        name = stream.decode() if isinstance(stream, bytes) else stream
        messages = []
        for entry_id, body in entries:
            acknowledge = self._ack_generator(entry_id, name)
            data = (body or {}).get(b"data")
            messages.append(AckableMessage(data=data or b"", ack=acknowledge))
        return messages

    async def _is_bell(self, message: AckableMessage) -> bool:
        """What is none goes away here: nobody behind would acknowledge it, and it came back for ever."""
        if is_bell(self.formatter, message.data):
            return True
        log.warning("redis.garbage", bytes=len(message.data))
        await acknowledged(message)
        return False

    def _ack_generator(self, id: str, queue_name: str) -> Callable[[], Awaitable[None]]:  # noqa: A002 (its name in taskiq)
        """Acknowledging also deletes: the stream's length is the number of bells not heard yet."""

        async def acknowledge() -> None:
            async with (
                Redis(connection_pool=self.connection_pool) as redis,
                redis.pipeline(transaction=True) as pipe,
            ):
                pipe.xack(queue_name, CONSUMER_GROUP, id)
                pipe.xdel(queue_name, id)
                await pipe.execute()

        return acknowledge

    async def _declare_group_again(self) -> None:
        try:
            await self._declare_consumer_group()
        except (RedisError, OSError) as error:
            log.warning("redis.unreachable", error=str(error))

    async def _forget_dead_consumers(self) -> None:
        """Every worker process is a consumer of its own; without this they pile up."""
        async with Redis(connection_pool=self.connection_pool) as redis:
            for stream in STREAMS:
                for consumer in await redis.xinfo_consumers(stream, CONSUMER_GROUP):
                    if consumer["idle"] > FORGOTTEN_CONSUMER_MS and not consumer["pending"]:
                        await redis.xgroup_delconsumer(stream, CONSUMER_GROUP, consumer["name"])
