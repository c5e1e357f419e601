"""One worker process: hears bells, runs executions, holds its session with the executor."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Annotated

import structlog
from taskiq import Context, TaskiqDepends
from taskiq.acks import AcknowledgeType
from taskiq.receiver import Receiver

from flow_engine.egress.guard import EgressGuard
from flow_engine.looping import put_down
from flow_engine.metrics import Figure, MetricsServer
from flow_engine.nodes.registry import load_registry
from flow_engine.nodes.services import SharedServices
from flow_engine.queue import TASK_NAME
from flow_engine.v1 import worker_pb2 as pb
from flow_engine.workflow.requirements import capabilities
from services.worker.broker import BellBroker
from services.worker.definitions import Definitions
from services.worker.executor_client import ExecutorClient, ExecutorUnreachable
from services.worker.runs import Runs
from services.worker.settings import Settings

log = structlog.get_logger()

BELLS_AT_ONCE = 64
CLOSE_SECONDS = 5.0


class Worker:
    """Start it, wait, stop it. Everything it needs is made here."""

    def __init__(self, settings: Settings) -> None:
        self.id = f"worker:{uuid.uuid4()}"
        self._settings = settings
        self._node_services = SharedServices(EgressGuard(settings.egress), runs_code=settings.code_python)
        registry = load_registry()
        able = capabilities(registry.usable(*settings.off))
        self._client = ExecutorClient(settings.executor_address, self.id, able, settings.dial)
        self._runs = Runs(
            self._client,
            Definitions(self._client, registry),
            self._node_services,
            settings.concurrency,
            settings.idle_ask_seconds,
        )
        self._stop_listening = asyncio.Event()
        self._broker = BellBroker(settings.redis_url, self.id, self._runs.room, self._stop_listening)
        self._broker.register_task(self._bell_handler(), task_name=TASK_NAME)
        self._tasks: list[asyncio.Task[None]] = []
        runs = self._runs
        self.metrics = MetricsServer(
            settings.metrics,
            [
                Figure("flow_worker_slots", "Executions at once.", lambda: runs.slots),
                Figure("flow_worker_busy_slots", "Slots that run one.", lambda: runs.slots - runs.free_slots),
                Figure(
                    "flow_worker_put_down_total",
                    "Executions that ended here or were given up to wait.",
                    lambda: runs.put_down,
                ),
            ],
        )

    async def start(self) -> None:
        await self._runs.start()
        self._tasks = [
            asyncio.create_task(self._client.hold_session(self._describe, self._runs.nudge), name="session"),
            asyncio.create_task(self._listen(), name="bells"),
        ]
        self.metrics.start()
        log.info("worker.started", worker_id=self.id, slots=self._settings.concurrency)

    async def stop(self) -> None:
        """Within the grace period; what does not finish goes back to the queue."""
        self._stop_listening.set()
        await self._runs.drain(self._settings.shutdown_grace_seconds)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._close()
        except TimeoutError:
            # Every execution is given back: what some library does not let go of must not keep us.
            log.error("worker.stuck", worker_id=self.id, tasks=[str(task) for task in asyncio.all_tasks()])
            os._exit(0)
        log.info("worker.stopped", worker_id=self.id)

    async def _close(self) -> None:
        self.metrics.stop()
        await put_down(*self._tasks)
        await self._broker.shutdown()
        await self._node_services.close()
        await self._client.close()

    async def _listen(self) -> None:
        """Runs never depend on this: without bells work is asked for every few seconds."""
        while not self._stop_listening.is_set():
            await self._broker.startup()
            receiver = Receiver(
                self._broker,
                max_async_tasks=BELLS_AT_ONCE,
                run_startup=False,
                ack_type=AcknowledgeType.MANUAL,
                wait_tasks_timeout=1.0,
            )
            try:
                await receiver.listen(self._stop_listening)
            except Exception:
                log.exception("bells.failed")
                await asyncio.sleep(1.0)

    def _bell_handler(self) -> Callable[..., Awaitable[None]]:
        """A function, since taskiq renames what it registers and methods cannot be renamed."""

        async def advance(
            priority_class: str, execution_id: str, bell: Annotated[Context, TaskiqDepends()]
        ) -> None:
            """A bell. Acknowledged once the executor has given any definite answer; else it rings again."""
            try:
                await self._runs.ring()
            except ExecutorUnreachable:
                return
            await bell.ack()

        return advance

    def _describe(self) -> pb.SessionRequest:
        return pb.SessionRequest(
            worker_id=self.id,
            slots=self._runs.slots,
            free_slots=self._runs.free_slots,
            hostname=socket.gethostname(),
            process_id=os.getpid(),
            version=version("flow-execution-engine"),
            capabilities=self._client.capabilities,
        )
