"""The bell: taskiq over Redis streams, made to survive what Redis does.

A message only says that there is work; `docs/protocol.md` tells why losing all of them costs
seconds. The stock broker stops reclaiming on an idle queue, dies with a restarted Redis and
never deletes entries; this one does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Annotated, Any, Literal

import msgspec
import structlog
from msgspec import Meta
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage
from taskiq_redis import RedisStreamBroker

from flow_engine.queue import CONSUMER_GROUP, STREAMS, PriorityClass, Stream

log = structlog.get_logger()

BLOCK_MS = 1000  # must stay below the socket time-out
SOCKET_TIMEOUT_SECONDS = 5.0
IDLE_TIMEOUT_MS = 30_000  # bells are acknowledged within moments: an older one lost its worker
RECLAIM_SECONDS = 5.0
BATCH = 32
LONGEST_PAUSE_SECONDS = 5.0
FORGOTTEN_CONSUMER_MS = 3_600_000
LONGEST_BELL = 1024  # bytes; ours have 300


class Hint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bell says: nothing but an id, which may be empty."""

    priority_class: PriorityClass
    execution_id: Annotated[str, Meta(pattern=r"^([0-9a-f-]{36})?$")]


class Bell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message that the executor's dispatcher writes, to the letter.

    Labels are orders to taskiq (time-outs, retries, other queues): of these it knows one.
    """

    task_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
    task_name: Literal["advance"]
    kwargs: Hint
    args: Annotated[list[None], Meta(max_length=0)]
    labels: dict[Literal["queue_name"], Stream]
    labels_types: dict[Literal["queue_name"], int] | None = None


_bells = msgspec.json.Decoder(Bell)


def is_bell(data: bytes) -> bool:
    """Whether it is such a message. Nothing else is handed on to be parsed."""
    if len(data) > LONGEST_BELL:
        return False
    try:
        _bells.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


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
        self._heard: dict[str, list[str]] = {}  # entries to acknowledge, by stream
        self._acknowledging: asyncio.Task[None] | None = None
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
        if is_bell(message.data):
            return True
        log.warning("redis.garbage", bytes=len(message.data))
        await acknowledged(message)
        return False

    def _ack_generator(self, id: str, queue_name: str) -> Callable[[], Awaitable[None]]:  # noqa: A002 (its name in taskiq)
        async def acknowledge() -> None:
            self._heard.setdefault(queue_name, []).append(id)
            if self._acknowledging is None:
                self._acknowledging = asyncio.create_task(self._acknowledge_heard(), name="acknowledge")
            await asyncio.shield(self._acknowledging)

        return acknowledge

    async def _acknowledge_heard(self) -> None:
        """One round trip for all bells that one claim answered.

        Acknowledging also deletes: the stream's length is the number of bells not heard yet.
        """
        await asyncio.sleep(0)  # they are told side by side
        heard, self._heard, self._acknowledging = self._heard, {}, None
        async with (
            Redis(connection_pool=self.connection_pool) as redis,
            redis.pipeline(transaction=True) as pipe,
        ):
            for stream, entries in heard.items():
                pipe.xack(stream, CONSUMER_GROUP, *entries)
                pipe.xdel(stream, *entries)
            await pipe.execute()

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
