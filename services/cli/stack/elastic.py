"""Worker processes that come and go with the load: `flow worker --min 1 --max 8`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from flow_engine.v1 import operations_pb2 as pb
from services.cli.client import CHANNEL_OPTIONS, Executor, TokenInterceptor
from services.cli.errors import ExitCode, explained
from services.cli.output import note
from services.cli.settings import ClientSettings
from services.cli.stack.children import Service, service_command
from services.cli.stack.crew import GRACE_SECONDS, announce, stop_signal
from services.cli.stack.scaling import Bounds, Load, decide, is_one_too_many

LOOK_SECONDS = 1.0
SETTLE_SECONDS = 5.0
"""After a change: executors tell of a worker's slots every few seconds."""
CALL_SECONDS = 5.0


async def work_elastically(bounds: Bounds, environment: Mapping[str, str]) -> int:
    """Keep as many workers running as the load asks for until SIGTERM or Ctrl-C. Returns the exit code.

    Every change is a line on standard error. Raises ServiceFailed when a worker cannot be kept running.
    """
    merged = {**os.environ, **environment}
    crew = ElasticCrew(bounds, merged)
    stopped = asyncio.create_task(stop_signal(crew.kill).wait())
    crew.resize(bounds.least)
    scaling = asyncio.create_task(crew.follow(load_of(ClientSettings.read(merged))))
    failed = asyncio.create_task(crew.failed())
    try:
        done, _ = await asyncio.wait([stopped, scaling, failed], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()
        return ExitCode.OK
    finally:
        for task in (scaling, failed, stopped):
            task.cancel()
        await crew.stop()


class ElasticCrew:
    def __init__(self, bounds: Bounds, environment: Mapping[str, str]) -> None:
        self._bounds = bounds
        self._environment = environment
        self._workers: list[Service] = []
        self._tasks: dict[Service, list[asyncio.Task[Any]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._started = 0

    @property
    def size(self) -> int:
        return len(self._workers)

    def resize(self, processes: int) -> None:
        """Start some, or let those that came last finish and go. Returns at once."""
        while self.size < processes:
            self._started += 1
            name = f"worker-{self._started}"
            worker = Service(name, service_command("services.worker"), lambda: self._environment, None, note)
            running = asyncio.create_task(worker.keep_running(), name=name)
            running.add_done_callback(self._ended)
            self._workers.append(worker)
            self._tasks[worker] = [running, asyncio.create_task(announce(worker))]
        while self.size > processes:
            leaving = asyncio.create_task(self._let_go(self._workers.pop()))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def follow(self, look: Callable[[], Load | None]) -> None:
        """Look at the load each second and resize. look: blocks; None when nobody can tell."""
        idle_since: float | None = None
        settled_at = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            load, now = await asyncio.to_thread(look), time.monotonic()
            if load is None or now < settled_at or not all(worker.ready.is_set() for worker in self._workers):
                idle_since = None
                continue
            idle_since = (idle_since or now) if is_one_too_many(load, self._bounds) else None
            idle_for = 0.0 if idle_since is None else now - idle_since
            decision = decide(self.size, load, self._bounds, idle_for)
            if decision.processes != self.size:
                note(f"workers: {self.size} → {decision.processes}, {decision.reason}")
                self.resize(decision.processes)
                idle_since, settled_at = None, now + SETTLE_SECONDS

    async def failed(self) -> None:
        """Raises ServiceFailed as soon as a worker cannot be kept running."""
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        self.resize(0)
        while self._leaving:
            await asyncio.gather(*self._leaving)

    def kill(self) -> None:
        for worker in self._tasks:
            worker.kill()

    async def _let_go(self, worker: Service) -> None:
        """What it does not finish in its grace period goes back to the queue."""
        await worker.stop(GRACE_SECONDS)
        running, *beside = self._tasks[worker]
        for task in beside:
            task.cancel()
        await asyncio.gather(running, return_exceptions=True)
        del self._tasks[worker]

    def _ended(self, running: asyncio.Task[Any]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            with contextlib.suppress(asyncio.InvalidStateError):
                self._failure.set_exception(error)


def load_of(settings: ClientSettings) -> Callable[[], Load | None]:
    """A look at the load; what keeps it from being told is noted once, until it can be told again."""
    channel = settings.dial.channel(CHANNEL_OPTIONS)
    if settings.dial.token:
        channel = grpc.intercept_channel(channel, TokenInterceptor(settings.dial.token))
    operations = Executor(channel, settings).operations
    silent = False

    def look() -> Load | None:
        nonlocal silent
        try:
            queue = operations.GetQueue(pb.GetQueueRequest(brief=True), timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            if not silent:
                said = explained(error, settings.grpc_address).message
                note(f"workers: the load is not known, their number stays: {said}")
            silent = True
            return None
        silent = False
        return load_from(queue)

    return look


def load_from(queue: pb.GetQueueResponse) -> Load:
    return Load(
        ready=queue.ready_count,
        oldest_ready_seconds=queue.oldest_ready_age.ToMilliseconds() / 1000,
        slots=queue.slots,
        free_slots=queue.free_slots,
    )
