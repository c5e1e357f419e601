"""Runs executions inside the executor, under a lease of its own, and hands on what takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from flow_engine import tracing
from flow_engine.clock import Clock
from flow_engine.errors import FlowEngineError, LeaseLost, Unavailable
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.runner import RunEnd, Runner
from flow_engine.nodes.contract import NodeServices
from services.executor.callbacks import CallbackKeys
from services.executor.database_clock import DatabaseClock
from services.executor.history import StoredPayloads
from services.executor.leases import LeaseKeeper
from services.executor.local_journal import EPOCH, LocalJournal
from services.executor.persistence.contract import ExecutionPersistence, ExecutionRecord, Started
from services.executor.secrets.vault import SecretVault
from services.executor.strategies.strategy import DurableControl, Prepared

log = structlog.get_logger()

PROMOTION_SECONDS = 0.25
"""How long past its budget a caller waits for the promotion to be committed."""
ABANDON_SECONDS = 1.0
"""How long interrupted steps have to clean up at shutdown."""


@dataclass(frozen=True, slots=True)
class Means:
    """What every run in this executor uses."""

    persistence: ExecutionPersistence
    leases: LeaseKeeper
    database_clock: DatabaseClock
    services: NodeServices
    clock: Clock
    callbacks: CallbackKeys
    secrets: SecretVault


class ImmediateRun:
    """One run, under way as a task of its own: a caller that goes away changes nothing."""

    def __init__(self, start: Prepared, means: Means) -> None:
        new = start.new
        loop = asyncio.get_running_loop()
        self.execution_id: ExecutionId = new.id
        self.end: RunEnd | None = None
        self._at_once = start.at_once
        self._settled = asyncio.Event()
        self._journal = LocalJournal(
            new,
            means.persistence,
            means.leases,
            means.database_clock,
            means.clock,
            lost=self.abandon,
            promoted=self._settled.set,
        )
        self._runner = Runner(
            start.graph,
            [new.created],
            self._journal,
            StoredPayloads(means.persistence, new.namespace, {new.input.ref.hash: new.input.text}),
            means.services,
            new.id,
            budget_ends_at=means.clock.monotonic() + start.budget_seconds,
            typical_ms=start.typical_ms,
            callbacks=means.callbacks.of(new.id) if start.graph.callbacks else None,
            secrets=means.secrets.of(new.namespace),
        )
        self._budget_ends = loop.call_later(start.budget_seconds, self.hand_on, "budget")

    @property
    def record(self) -> ExecutionRecord | None:
        return self._journal.record

    async def accepted(self) -> Started:
        return await asyncio.shield(self._journal.accepted)

    async def settled(self, timeout_seconds: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._settled.wait()
        except TimeoutError:
            pass

    def hand_on(self, reason: str) -> None:
        """Go on in the queue: running nodes end here, nothing new starts."""
        self._runner.quiesce(reason)
        asyncio.get_running_loop().call_later(PROMOTION_SECONDS, self._settled.set)

    def nudge(self) -> None:
        self._runner.nudge()

    def abandon(self) -> None:
        self._runner.abandon()

    async def run(self) -> None:
        """From the first step to the end or the queue. Raises only CancelledError."""
        try:
            if self._at_once:
                await self._journal.begin()
            with tracing.span("run", execution_id=self.execution_id, mode="immediate"):
                self.end = await self._runner.run()
        except LeaseLost:
            log.info("run.dropped", execution_id=self.execution_id)
        except FlowEngineError as error:
            log.warning("run.failed", execution_id=self.execution_id, error=str(error))
            self._journal.refuse(error)
        except Exception as error:
            # Its lease runs out, which counts against an execution that breaks its runner.
            log.exception("run.failed", execution_id=self.execution_id)
            self._journal.refuse(error)
        finally:
            self._budget_ends.cancel()
            self._journal.end()
            self._journal.refuse(Unavailable("the executor stopped before the start was committed"))
            self._settled.set()


class ImmediateExecutionStrategy(DurableControl):
    mode = "immediate"

    def __init__(self, means: Means, told: Callable[[ExecutionId], None], concurrency: int) -> None:
        super().__init__(means.persistence, told)
        self._means = means
        self._concurrency = concurrency
        self.begun = 0  # so far
        self._runs: dict[ExecutionId, ImmediateRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def owner(self) -> str:
        return self._means.leases.owner

    @property
    def busy(self) -> bool:
        """Whether as many runs are under way as may be."""
        return len(self._runs) >= self._concurrency

    @property
    def live(self) -> int:
        return len(self._runs)

    async def execute(self, start: Prepared) -> ImmediateRun:
        self.begun += 1
        run = self._runs[start.new.id] = ImmediateRun(start, self._means)
        task = asyncio.create_task(self._see_through(run), name=f"run {run.execution_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def _see_through(self, run: ImmediateRun) -> None:
        try:
            await run.run()
        finally:
            del self._runs[run.execution_id]

    def find(self, execution_id: ExecutionId) -> ImmediateRun | None:
        """The run, while it is under way here."""
        return self._runs.get(execution_id)

    async def drain(self, grace_seconds: float) -> None:
        """Hand every run to the queue; interrupt and give back what does not end in time."""
        for run in self._runs.values():
            run.hand_on("shutdown")
        await self._wait_for_runs(grace_seconds)
        left = list(self._runs.values())
        for run in left:
            run.abandon()
        await self._wait_for_runs(ABANDON_SECONDS)
        if left:
            await self._persistence.release(self.owner, [(run.execution_id, EPOCH) for run in left])

    async def _wait_for_runs(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
