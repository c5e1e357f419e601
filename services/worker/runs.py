"""The executions that this process runs: claims them, runs them, keeps their leases, puts them down.

The broker only rings here: whatever happens to it, runs go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field

import structlog

from flow_engine import tracing
from flow_engine.callbacks import Callbacks
from flow_engine.errors import FlowEngineError, LeaseLost
from flow_engine.interpreter.runner import Runner
from flow_engine.looping import Looping, put_down
from flow_engine.nodes.contract import NodeServices
from flow_engine.v1 import worker_pb2 as pb
from flow_engine.workflow.graph import WorkflowGraph
from services.worker.definitions import Definitions
from services.worker.executor_client import ExecutorClient, ExecutorUnreachable, new_claim_id
from services.worker.journal import RemoteJournal, RemotePayloads, RemoteSecrets, decoded
from services.worker.solitary import SolitaryRun

log = structlog.get_logger()

LEASE_MARGIN_SECONDS = 5.0
"""A run that could not be renewed stops this long before the database would give it away."""


@dataclass(slots=True)
class Run:
    """One claimed execution. `sure_until` is on the monotonic clock."""

    execution_id: str
    epoch: int
    lease_seconds: float
    sure_until: float
    runner: Runner | SolitaryRun | None = None
    task: asyncio.Task[None] | None = None
    journal: RemoteJournal | None = None
    doubtful_from: float = 0.0  # half of the lease has passed without renewal
    renewals: asyncio.Event = field(default_factory=asyncio.Event)

    def seconds_left(self) -> float:
        return self.sure_until - time.monotonic()

    def renewed(self, asked_at: float) -> None:
        self.sure_until = asked_at + self.lease_seconds - min(LEASE_MARGIN_SECONDS, self.lease_seconds / 5)
        self.doubtful_from = asked_at + self.lease_seconds / 2
        self.renewals.set()

    async def sure(self) -> None:
        """PROTOCOL 5: in the second half of a lease that is not renewed no outside effect begins."""
        while time.monotonic() >= self.doubtful_from:
            self.renewals.clear()
            await self.renewals.wait()

    def lost(self) -> None:
        if self.runner is not None:
            self.runner.abandon()
        elif self.task is not None:
            self.task.cancel()

    @property
    def lease(self) -> pb.Lease:
        return pb.Lease(execution_id=self.execution_id, epoch=self.epoch)


class Runs:
    """At most `slots` executions at once."""

    def __init__(
        self,
        client: ExecutorClient,
        definitions: Definitions,
        services: NodeServices,
        slots: int,
        idle_ask_seconds: float,
    ) -> None:
        self._client = client
        self._definitions = definitions
        self._services = services
        self._slots = slots
        self._idle_ask_seconds = idle_ask_seconds
        self._runs: dict[str, Run] = {}
        self.put_down = 0  # executions that ended here or were given up, so far
        self._rung = asyncio.Event()
        self._freed = asyncio.Event()
        self._freed.set()
        self._answered: asyncio.Future[None] | None = None
        self._claiming: asyncio.Task[None] | None = None
        self._leases = LeaseRenewal(client, self._runs)

    @property
    def free_slots(self) -> int:
        return self._slots - len(self._runs)

    @property
    def slots(self) -> int:
        return self._slots

    # Work comes ------------------------------------------------------------------------------

    async def start(self) -> None:
        self._claiming = asyncio.create_task(self._claim_for_ever(), name="claims")
        await self._leases.start()

    async def room(self) -> None:
        """Returns when a slot is free."""
        await self._freed.wait()

    async def ring(self) -> None:
        """There may be work. Returns when the executor has answered a claim made after this call.

        Raises ExecutorUnreachable when it did not.
        """
        if self._answered is None:
            self._answered = asyncio.get_running_loop().create_future()
        answered = self._answered
        self._rung.set()
        await asyncio.shield(answered)

    def nudge(self, nudge: pb.Nudge) -> None:
        """Others have written to the history of an execution that runs here."""
        run = self._runs.get(nudge.execution_id)
        if run is None or run.runner is None or run.epoch != nudge.epoch:
            return
        if run.journal is None or nudge.foreign_sequence > run.journal.seen_sequence:
            run.runner.nudge()

    async def _claim_for_ever(self) -> None:
        claim_id = new_claim_id()
        while True:
            await self._freed.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_ask_seconds * random.uniform(0.75, 1.25)):
                    await self._rung.wait()
            self._rung.clear()
            answered, self._answered = self._answered, None
            try:
                asked = self.free_slots
                claimed = await self._claim(claim_id, asked)
            except ExecutorUnreachable as error:
                if answered is not None and not answered.done():
                    answered.set_exception(error)
                    answered.exception()  # there may be nobody left to look
                continue
            claim_id = new_claim_id()
            if len(claimed) >= asked:
                self._rung.set()  # there may be more: ask again as soon as a slot is free
            if answered is not None and not answered.done():
                answered.set_result(None)

    async def _claim(self, claim_id: str, free_slots: int) -> list[pb.ClaimedExecution]:
        asked_at = time.monotonic()
        claimed = list(await self._client.claim_next(claim_id, free_slots))
        for execution in claimed:
            run = self._runs.get(execution.execution_id)
            if run is None or run.epoch < execution.epoch:
                if run is not None:  # its lease was lost before we noticed, and it came back to us
                    run.lost()
                self._begin(execution, asked_at)
        return claimed

    def _begin(self, claimed: pb.ClaimedExecution, asked_at: float) -> None:
        lease_seconds = claimed.lease.ToTimedelta().total_seconds()
        run = Run(claimed.execution_id, claimed.epoch, lease_seconds, sure_until=asked_at)
        run.renewed(asked_at)
        self._runs[run.execution_id] = run
        if not self.free_slots:
            self._freed.clear()
        if lease_seconds / 3 < self._leases.interval_seconds:
            self._leases.interval_seconds = lease_seconds / 3
            self._leases.hint()
        run.task = asyncio.create_task(self._carry(run, claimed), name=f"run {run.execution_id}")

    # A run -----------------------------------------------------------------------------------

    async def _carry(self, run: Run, claimed: pb.ClaimedExecution) -> None:
        """From claim to end. Whatever goes wrong, the lease decides who goes on."""
        context = {"execution_id": run.execution_id, "epoch": run.epoch}
        try:
            if claimed.quarantined:
                await self._carry_alone(run, claimed)
            else:
                graph = await self._definitions.graph(claimed.definition_hash, claimed.execution_id)
                runner, queued = self._runner(run, claimed, graph)
                with tracing.span("run", queued, execution_id=run.execution_id, mode="queued"):
                    end = await runner.run()
                self.put_down += 1
                log.info("execution.put_down", status=end.status, **context)
        except (LeaseLost, asyncio.CancelledError):
            log.info("execution.dropped", **context)
        except (FlowEngineError, ExecutorUnreachable) as error:
            log.warning("execution.dropped", reason=str(error), **context)
        except Exception:
            log.exception("execution.crashed", **context)
        finally:
            if self._runs.get(run.execution_id) is run:
                del self._runs[run.execution_id]
            run.runner = run.journal = None  # they know each other: now they are freed at once
            self._freed.set()

    async def _carry_alone(self, run: Run, claimed: pb.ClaimedExecution) -> None:
        run.runner = await SolitaryRun.begin(self._client.address, self._client.worker_id, claimed)
        try:
            if await run.runner.died():
                log.warning("execution.killed_its_process", execution_id=run.execution_id, epoch=run.epoch)
                await self._client.release([run.lease], process_died=True)
        finally:
            run.runner.abandon()

    def _runner(self, run: Run, claimed: pb.ClaimedExecution, graph: WorkflowGraph) -> tuple[Runner, str]:
        """The runner, and the traceparent of the time in the queue before it."""
        history = decoded(claimed.batches)
        run.journal = RemoteJournal(self._client, claimed, run)
        run.runner = runner = Runner(
            graph,
            history,
            run.journal,
            RemotePayloads(self._client, claimed.execution_id),
            self._services,
            run.execution_id,
            snapshot=claimed.snapshot,
            callbacks=Callbacks(claimed.callback_url, run.execution_id, claimed.callback_key),
            secrets=RemoteSecrets(self._client, claimed),
        )
        created = runner.state.created
        parent = "" if created is None else created.trace_parent
        return runner, tracing.past_span(
            "queue", parent, history[-2:][0].time, history[-1].time, execution_id=run.execution_id
        )

    # Putting down ----------------------------------------------------------------------------

    async def drain(self, grace_seconds: float) -> None:
        """Claim nothing more, let running steps finish, give every execution back to the queue."""
        await self._stop_claiming()
        deadline = time.monotonic() + grace_seconds
        for run in self._runs.values():
            if run.runner is not None:
                run.runner.quiesce("shutdown")
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
        await self._interrupt()
        await self._leases.stop()

    async def _stop_claiming(self) -> None:
        if self._claiming is not None:
            await put_down(self._claiming)

    async def _interrupt(self) -> None:
        """The grace is over: stop what still runs and give it back at once instead of by expiry."""
        left = list(self._runs.values())
        for run in left:
            run.lost()
        if left:
            await asyncio.wait([run.task for run in left if run.task is not None], timeout=1.0)
            with contextlib.suppress(ExecutorUnreachable):
                await self._client.release([run.lease for run in left])


class LeaseRenewal(Looping):
    """One call each third of a lease for all runs; drops those that are lost or too long unsure."""

    def __init__(self, client: ExecutorClient, runs: dict[str, Run]) -> None:
        super().__init__(interval_seconds=10.0)
        self._client = client
        self._runs = runs

    async def turn(self) -> None:
        runs = list(self._runs.values())
        asked_at = time.monotonic()
        try:
            lost = await self._client.renew([run.lease for run in runs]) if runs else set()
        except ExecutorUnreachable:
            lost = {run.execution_id for run in runs if run.seconds_left() <= 0}
            self.interval_seconds = 0.5
        else:
            self.interval_seconds = min((run.lease_seconds / 3 for run in runs), default=10.0)
        for run in runs:
            if run.execution_id in lost:
                log.warning("lease.lost", execution_id=run.execution_id, epoch=run.epoch)
                run.lost()
            elif self.interval_seconds != 0.5:
                run.renewed(asked_at)
