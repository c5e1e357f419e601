"""Rings the bell for executions that became pending.

The outbox row says that a bell is due; it goes once Redis has the message, if the claim that the bell led to
did not take it away before. A dead Redis delays nothing but the bell: rows wait, and idle workers ask anyway.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq.message import TaskiqMessage
from taskiq_redis import RedisStreamBroker

from flow_engine.errors import Unavailable
from flow_engine.looping import Looping
from flow_engine.queue import CONSUMER_GROUP, STREAMS, TASK_NAME, priority_class, stream_of
from services.executor.persistence.contract import Bell, ExecutionPersistence

BATCH = 200
NORMAL_PRIORITY = 5
MOST_OF_A_BELL = 8
"""Executions that one bell calls for: what a worker said of its room may be some seconds old."""


class JobQueue(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def ring(self, bells: Sequence[tuple[str, int]]) -> None:
        """Tell workers that there is work. Raises Unavailable; some may have been told then.

        bells: execution ids, which are hints and may be empty, with their priorities.
        """
        ...


class TaskiqQueue:
    """taskiq messages on one Redis stream a priority class; nobody waits for results.

    They are written as the broker's `kick` does, but all of them in one round trip.
    """

    def __init__(self, redis_url: str) -> None:
        self._broker = RedisStreamBroker(
            redis_url,
            queue_name=STREAMS[-1],
            additional_streams=dict.fromkeys(STREAMS[:-1], ">"),
            consumer_group_name=CONSUMER_GROUP,
            consumer_id="0",
            max_connection_pool_size=4,
            socket_timeout=3.0,
            socket_connect_timeout=2.0,
            health_check_interval=15,
        )

    async def start(self) -> None:
        """Needs no Redis: groups are declared by workers, streams by the first message."""
        self._broker.is_worker_process = False

    async def stop(self) -> None:
        await self._broker.shutdown()

    async def ping(self) -> None:
        """Raises Unavailable."""
        try:
            async with Redis(connection_pool=self._broker.connection_pool) as redis:
                await redis.ping()
        except (RedisError, OSError) as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    async def ring(self, bells: Sequence[tuple[str, int]]) -> None:
        try:
            async with (
                Redis(connection_pool=self._broker.connection_pool) as redis,
                redis.pipeline(transaction=False) as pipe,
            ):
                for execution_id, priority in bells:
                    pipe.xadd(stream_of(priority), {b"data": self._message(execution_id, priority)})
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise Unavailable("Redis does not answer") from error

    def _message(self, execution_id: str, priority: int) -> bytes:
        message = TaskiqMessage(
            task_id=self._broker.id_generator(),
            task_name=TASK_NAME,
            labels={"queue_name": stream_of(priority)},
            args=[],
            kwargs={"priority_class": priority_class(priority), "execution_id": execution_id},
        )
        return self._broker.formatter.dumps(message).message


class Dispatcher(Looping):
    """Rings for what this process commits, and each second for what others left. What was rung goes then too:
    most of it is gone by then, with the claims that answered.

    room: how many executions whoever hears a bell surely has room for. One bell calls for as many: each
    costs the worker as much as a short execution does, and who hears one takes all it has room for.
    """

    def __init__(
        self,
        persistence: ExecutionPersistence,
        queue: JobQueue,
        interval_seconds: float,
        room: Callable[[], int] = lambda: 1,
    ) -> None:
        super().__init__(interval_seconds)
        self._room = room
        self._persistence = persistence
        self._queue = queue
        self._due: list[Bell] = []
        self._rung: list[Bell] = []
        self._look_at = 0.0  # by the monotonic clock

    def ring_soon(self, bells: Sequence[Bell]) -> None:
        """They were committed, and are ours to ring. From the event loop's thread."""
        self._due += bells
        self.hint()

    async def turn(self) -> None:
        due, self._due = self._due, []
        if due:
            await self._ring(due)
            if time.monotonic() < self._look_at:
                return
        self._look_at = time.monotonic() + self.interval_seconds
        await self._forget()
        while bells := await self._persistence.take_bells(BATCH):
            await self._ring(bells)
            await self._forget()
            if len(bells) < BATCH:
                return

    async def _ring(self, bells: Sequence[Bell]) -> None:
        await self._queue.ring(one_for_each(bells, min(max(1, self._room()), MOST_OF_A_BELL)))
        self._rung += bells

    async def _forget(self) -> None:
        rung, self._rung = self._rung, []
        if rung:
            await self._persistence.bells_rung(rung)

    async def ring_idle(self, count: int) -> None:
        """Ring for nobody in particular: workers with free slots ask."""
        if count > 0:
            await self._queue.ring([("", NORMAL_PRIORITY)] * count)


def one_for_each(bells: Sequence[Bell], executions: int) -> list[tuple[str, int]]:
    """The first of every so many executions of a class of priority, with its priority."""
    before: Counter[str] = Counter()
    rung: list[tuple[str, int]] = []
    for bell in bells:
        urgency = priority_class(bell.priority)
        if before[urgency] % executions == 0:
            rung.append((bell.execution_id, bell.priority))
        before[urgency] += 1
    return rung
