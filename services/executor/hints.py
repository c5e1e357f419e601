"""Tells other executors over Redis what was committed, so that their watchers look at once, and how
many workers are here, so that all can tell why an execution waits.

Only hints: each executor also looks by itself once a second. Losing all of them costs that second. Who has
not heard of another executor tells of itself only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Collection

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from flow_engine.clock import Clock
from flow_engine.ids import ExecutionId
from flow_engine.looping import put_down
from services.executor.notifications import Notifications

log = structlog.get_logger()

CHANNEL = "flow:committed"
MAX_IDS = 500
"""A message tells of at most this many; nobody watches more that only hints could help."""
_ID = rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
WORDS = re.compile(rb"executor:%b [0-9]{1,6}(?: %b){0,%d}" % (_ID, _ID, MAX_IDS))
"""All that a message may say: who speaks, how many workers are there, which executions. Anybody may have
written it: what is no such message is dropped."""
LONGEST_WORDS = 64 + 37 * MAX_IDS
MOST_EXECUTORS = 1000
LONGEST_PAUSE_SECONDS = 5.0
GATHER_SECONDS = 0.01
"""What is committed within goes into one message."""
PRESENCE_SECONDS = 2.0
"""Between two words about workers; who has not been heard of for three times that is gone."""


class RedisHints:
    """Publishes what this executor committed and listens to what others did. workers: alive here."""

    def __init__(
        self,
        redis_url: str,
        sender: str,
        notifications: Notifications,
        workers: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._redis = redis.Redis.from_url(
            redis_url, socket_timeout=3.0, socket_connect_timeout=2.0, health_check_interval=15
        )
        self._sender = sender
        self._notifications = notifications
        self._workers = workers
        self._clock = clock
        self._elsewhere: dict[str, tuple[int, float]] = {}  # workers, and when that was said, by executor
        self._alone_from = 0.0  # unless somebody is heard again before
        self._committed: dict[ExecutionId, None] = {}
        self._fresh = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def workers_elsewhere(self) -> int:
        oldest = self._clock.monotonic() - 3 * PRESENCE_SECONDS
        return sum(workers for workers, at in self._elsewhere.values() if at >= oldest)

    def tell(self, execution_ids: Collection[ExecutionId]) -> None:
        """Never blocks. What comes while a message is on its way goes with the next."""
        if self._clock.monotonic() >= self._alone_from:
            return  # a message costs as much as a tenth of a short execution
        if len(self._committed) < MAX_IDS:
            self._committed.update(dict.fromkeys(execution_ids))
            self._fresh.set()

    async def start(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        await put_down(*tasks)
        await self._redis.aclose()

    async def _publish(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PRESENCE_SECONDS):
                    await self._fresh.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._fresh.clear()
            committed, self._committed = self._committed, {}
            words = [self._sender, str(self._workers()), *committed]
            with contextlib.suppress(RedisError, OSError):
                await self._redis.publish(CHANNEL, " ".join(words))

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    self._fresh.set()  # here we are
                    pause = 0.1
                    while True:
                        self._hear(await channel.get_message(timeout=1.0))
            except (RedisError, OSError) as error:
                log.debug("hints.unavailable", error=str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _hear(self, message: dict[str, object] | None) -> None:
        data = message.get("data") if message else None
        if not isinstance(data, bytes):
            return
        if len(data) > LONGEST_WORDS or not WORDS.fullmatch(data):
            log.warning("redis.garbage", channel=CHANNEL, bytes=len(data))
            return
        sender, workers, *execution_ids = data.decode("ascii").split(" ")
        if sender == self._sender:
            return
        now = self._clock.monotonic()
        self._alone_from = now + 3 * PRESENCE_SECONDS
        if sender not in self._elsewhere:
            self._elsewhere = {
                other: said
                for other, said in self._elsewhere.items()
                if said[1] >= now - 3 * PRESENCE_SECONDS
            }
            if len(self._elsewhere) >= MOST_EXECUTORS:
                return
            self._fresh.set()  # it may not know of us yet
        self._elsewhere[sender] = int(workers), now
        self._notifications.notify([ExecutionId(id_) for id_ in execution_ids])
