"""Hands the tasks of `task.external` steps to programs that ask for them, and takes their results.

Who waits for a task is woken by the commit that offers one, first come, first served; tasks that another
executor offered are noticed at the next turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from flow_engine.clock import Clock
from flow_engine.ids import ExecutionId
from flow_engine.looping import Looping
from flow_engine.payload import Payload
from services.executor.persistence.contract import ExecutionPersistence
from services.executor.persistence.tasks import (
    Heartbeat,
    LeasedTask,
    QueueName,
    Settled,
    Taker,
    TaskStore,
)

TURN_SECONDS = 1.0
FORGET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Handed:
    """A task with its input at hand."""

    task: LeasedTask
    input: bytes  # JSON text
    lease_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """Wakes when there may be a task for its taker."""

    taker: Taker
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Tasks(Looping):
    """committed: told which executions have news. told: of an execution that may run here. patience_seconds:
    how long after the start leases are left alone: that they were not renewed may have been our fault."""

    def __init__(
        self,
        store: TaskStore,
        persistence: ExecutionPersistence,
        committed: Callable[[Collection[ExecutionId]], None],
        told: Callable[[ExecutionId], None],
        clock: Clock,
        *,
        interval_seconds: float = TURN_SECONDS,
        patience_seconds: float = 0.0,
    ) -> None:
        super().__init__(min(interval_seconds, TURN_SECONDS))
        self._store = store
        self._persistence = persistence
        self._committed = committed
        self._told = told
        self._clock = clock
        self._patient_until = clock.monotonic() + patience_seconds
        self._forget_at = clock.monotonic() + FORGET_SECONDS
        self._waiting: dict[QueueName, deque[Listener]] = {}
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Whoever waits for a task is answered now, without one."""
        self._closed.set()
        for waiting in self._waiting.values():
            for listener in waiting:
                listener.news.set()

    async def poll(self, taker: Taker, lease: timedelta, wait_seconds: float) -> Handed | None:
        """The next task of the queue; None when there was none for so long."""
        deadline = self._clock.monotonic() + wait_seconds
        with self._listening(taker) as news:
            while not self._closed.is_set():
                news.clear()
                if (task := await self._store.take(taker, lease)) is not None:
                    return await self._handed(task, taker, lease)
                if not await self._wait(news, deadline - self._clock.monotonic()):
                    break
        return None

    async def stream(self, taker: Taker, lease: timedelta, most_open: int) -> AsyncIterator[Handed]:
        """One task after another, while the taker has fewer than `most_open`."""
        with self._listening(taker) as news:
            while not self._closed.is_set():
                news.clear()
                if (task := await self._store.take(taker, lease, most_open=most_open)) is not None:
                    yield await self._handed(task, taker, lease)
                else:
                    # Another executor may be told of what it has done.
                    await self._wait(news, self.interval_seconds)

    async def heartbeat(self, token: str, namespace: str) -> Heartbeat:
        """Raises TaskNotFound, TaskLeaseLost, TaskSettled."""
        return await self._store.heartbeat(token, namespace)

    async def settle(self, token: str, answer: Payload, namespace: str) -> None:
        """Raises TaskNotFound, TaskLeaseLost, TaskSettled, TaskEnded."""
        self._announce(await self._store.settle(token, answer, namespace))

    # Beside the calls -------------------------------------------------------------------------

    async def turn(self) -> None:
        now = self._clock.monotonic()
        if now >= self._patient_until:
            for settled in await self._store.lapse():
                self._announce(settled)
        if now >= self._forget_at:
            await self._store.forget()
            self._forget_at = now + FORGET_SECONDS
        for name, tasks in (await self._store.offered(list(self._waiting))).items():
            self._wake(name, tasks)

    def offered(self, queues: Collection[QueueName]) -> None:
        """A commit of this process offered tasks in these queues."""
        for name in queues:
            self._wake(name, len(self._waiting.get(name, ())))

    def _announce(self, settled: Settled) -> None:
        if settled.changed:
            for listener in self._waiting.get((settled.taker.namespace, settled.taker.queue), ()):
                if listener.taker == settled.taker:
                    listener.news.set()
            self._committed((settled.execution_id,))
            if settled.status == "running":
                self._told(settled.execution_id)

    # Waiting ----------------------------------------------------------------------------------

    @contextmanager
    def _listening(self, taker: Taker) -> Iterator[asyncio.Event]:
        """Begin before the first look: what is offered between the two is then not missed."""
        listener, name = Listener(taker), (taker.namespace, taker.queue)
        self._waiting.setdefault(name, deque()).append(listener)
        try:
            yield listener.news
        finally:
            waiting = self._waiting[name]
            waiting.remove(listener)
            if not waiting:
                del self._waiting[name]

    def _wake(self, name: QueueName, count: int) -> None:
        """Those that wait longest, and that nobody has woken yet."""
        for listener in self._waiting.get(name, ()):
            if count <= 0:
                return
            if not listener.news.is_set():
                listener.news.set()
                count -= 1

    async def _wait(self, news: asyncio.Event, seconds: float) -> bool:
        """False when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await news.wait()
        return news.is_set()

    async def _handed(self, task: LeasedTask, taker: Taker, lease: timedelta) -> Handed:
        text = task.input
        if text is None:
            text = await self._persistence.payload(task.input_hash, taker.namespace)
        return Handed(task, text, lease.total_seconds())
