"""Persistence that tells of every commit: to watchers here and elsewhere.

Whatever writes goes through it, so that no route of an event to its watchers can be forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from flow_engine.ids import DEFAULT_NAMESPACE, ExecutionId, Iteration
from flow_engine.interpreter.events import ChildStarted
from flow_engine.interpreter.journal import Entry
from flow_engine.payload import Payload
from services.executor.persistence.contract import (
    Bell,
    ChangeFilter,
    ChangePage,
    Claim,
    ClaimedExecution,
    ExecutionFilter,
    ExecutionPersistence,
    ExecutionRecord,
    ImmediateRun,
    Move,
    NewExecution,
    Nudged,
    Place,
    PurgeFilter,
    QueueState,
    Report,
    ReportOutcome,
    ReportReply,
    Signal,
    Started,
    StoredBatch,
)
from services.executor.persistence.relatives import CHILD_STARTED

Committed = Callable[[Collection[ExecutionId]], None]
"""Called after a commit with the executions that have news."""


async def nobody(execution_id: ExecutionId) -> None:
    """For whoever starts no children."""


def spawns(entry: Entry) -> bool:
    return any(isinstance(event, ChildStarted) for event in entry.events)


class AnnouncingPersistence:
    """An `ExecutionPersistence` around another one."""

    def __init__(self, inner: ExecutionPersistence, committed: Committed) -> None:
        self._inner = inner
        self._committed = committed
        self.spawned: Callable[[ExecutionId], Awaitable[None]] = nobody
        """Called, before anybody is told, after a commit by which an execution starts children."""

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def ping(self) -> datetime:
        return await self._inner.ping()

    async def secret(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> bytes:
        return await self._inner.secret(name, namespace)

    # Starting, running ------------------------------------------------------------------------

    async def create(self, new: NewExecution, run: ImmediateRun | None = None) -> Started:
        started = await self._inner.create(new, run)
        if started.created and run is not None and run.first is not None and spawns(run.first):
            await self.spawned(started.execution_id)
        if started.created:
            self._committed((started.execution_id, *started.replaced))
        return started

    async def find_start(
        self, request_id: str, request_hash: str, namespace: str = DEFAULT_NAMESPACE
    ) -> ExecutionId | None:
        return await self._inner.find_start(request_id, request_hash, namespace)

    async def report(self, report: Report) -> ReportReply:
        reply = await self._inner.report(report)
        give_up = report.entry.give_up if report.entry else None
        if reply.outcome is ReportOutcome.OK and CHILD_STARTED in report.events_json:
            await self.spawned(report.execution_id)
        if reply.outcome is ReportOutcome.OK and (report.event_count or give_up):
            self._committed((report.execution_id,))
        return reply

    async def claim_next(self, claim: Claim) -> list[ClaimedExecution]:
        claimed = await self._inner.claim_next(claim)
        self._tell([execution.execution_id for execution in claimed])
        return claimed

    async def renew_leases(self, owner: str, leases: Collection[tuple[ExecutionId, int]]) -> set[ExecutionId]:
        return await self._inner.renew_leases(owner, leases)

    async def release(
        self, owner: str, leases: Collection[tuple[ExecutionId, int]], *, process_died: bool = False
    ) -> None:
        await self._inner.release(owner, leases, process_died=process_died)
        self._tell([execution_id for execution_id, _ in leases])

    # Control ----------------------------------------------------------------------------------

    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str = DEFAULT_NAMESPACE) -> Move:
        return self._moved(await self._inner.pause(execution_id, reason, namespace))

    async def resume(self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE) -> Move:
        return self._moved(await self._inner.resume(execution_id, namespace))

    async def cancel(
        self, execution_id: ExecutionId, reason: str, namespace: str = DEFAULT_NAMESPACE
    ) -> Move:
        return self._moved(await self._inner.cancel(execution_id, reason, namespace))

    async def requeue(
        self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE, *, first: bool = False
    ) -> Move:
        return self._moved(await self._inner.requeue(execution_id, namespace, first=first))

    async def purge(self, where: PurgeFilter, limit: int, reason: str) -> list[ExecutionId]:
        return self._tell(await self._inner.purge(where, limit, reason))

    async def would_purge(self, where: PurgeFilter) -> list[ExecutionId]:
        return await self._inner.would_purge(where)

    async def signal(
        self,
        execution_id: ExecutionId,
        node_id: str,
        iteration: Iteration,
        attempt: int,
        payload: Payload,
        expected_sequence: int,
        namespace: str = DEFAULT_NAMESPACE,
        record: ExecutionRecord | None = None,
    ) -> ExecutionRecord | None:
        after = await self._inner.signal(
            execution_id, node_id, iteration, attempt, payload, expected_sequence, namespace, record
        )
        if after is not None:
            self._committed((execution_id,))
        return after

    # Background -------------------------------------------------------------------------------

    async def expire_leases(self, grace_seconds: float = 0.0) -> list[ExecutionId]:
        return self._tell(await self._inner.expire_leases(grace_seconds))

    async def wake_due(self, limit: int = 500) -> list[ExecutionId]:
        return self._tell(await self._inner.wake_due(limit))

    async def fail_overdue(self, limit: int = 500) -> list[ExecutionId]:
        return self._tell(await self._inner.fail_overdue(limit))

    async def take_bells(self, limit: int) -> list[Bell]:
        return await self._inner.take_bells(limit)

    async def bells_rung(self, bells: Collection[Bell]) -> None:
        await self._inner.bells_rung(bells)

    async def take_signals(self, limit: int) -> list[Signal]:
        return await self._inner.take_signals(limit)

    async def due_starts(self, parent_id: ExecutionId) -> list[Signal]:
        return await self._inner.due_starts(parent_id)

    async def forget_signals(self, signals: Collection[Signal]) -> None:
        await self._inner.forget_signals(signals)

    async def finish_children(
        self, parent_id: ExecutionId, child_ids: Collection[ExecutionId]
    ) -> ExecutionRecord | None:
        parent = await self._inner.finish_children(parent_id, child_ids)
        if parent is not None:
            self._committed((parent_id,))
        return parent

    async def control_children(self, signal: Signal) -> list[ExecutionRecord]:
        children = await self._inner.control_children(signal)
        self._tell([child.id for child in children])
        return children

    async def forget_requests(self) -> int:
        return await self._inner.forget_requests()

    async def nudges(self, owners: Collection[str]) -> list[Nudged]:
        return await self._inner.nudges(owners)

    async def queue_state(self, most: int) -> QueueState:
        return await self._inner.queue_state(most)

    async def queue_position(self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE) -> int:
        return await self._inner.queue_position(execution_id, namespace)

    async def expire_executor_leases(self, except_owner: str) -> int:
        return await self._inner.expire_executor_leases(except_owner)

    # Reading ----------------------------------------------------------------------------------

    async def get(self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE) -> ExecutionRecord:
        return await self._inner.get(execution_id, namespace)

    async def look(
        self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE
    ) -> tuple[ExecutionRecord, list[StoredBatch]]:
        return await self._inner.look(execution_id, namespace)

    async def lease_of(self, execution_id: ExecutionId) -> tuple[str, str]:
        return await self._inner.lease_of(execution_id)

    async def namespace_of(self, execution_id: ExecutionId) -> str:
        return await self._inner.namespace_of(execution_id)

    async def events(
        self,
        execution_id: ExecutionId,
        after_sequence: int,
        limit: int = 1000,
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[StoredBatch]:
        return await self._inner.events(execution_id, after_sequence, limit, namespace)

    async def last_sequences(self, ids: Collection[ExecutionId]) -> dict[ExecutionId, tuple[int, str]]:
        return await self._inner.last_sequences(ids)

    async def change_head(self, namespace: str = DEFAULT_NAMESPACE) -> Place:
        return await self._inner.change_head(namespace)

    async def changes(self, after: Place, where: ChangeFilter, limit: int) -> ChangePage:
        return await self._inner.changes(after, where, limit)

    async def definition(self, definition_hash: str, namespace: str = DEFAULT_NAMESPACE) -> bytes:
        return await self._inner.definition(definition_hash, namespace)

    async def payload(self, payload_hash: str, namespace: str = DEFAULT_NAMESPACE) -> bytes:
        return await self._inner.payload(payload_hash, namespace)

    def _moved(self, move: Move) -> Move:
        if move.changed:
            self._committed((move.record.id,))
        return move

    def _tell(self, ids: list[ExecutionId]) -> list[ExecutionId]:
        if ids:
            self._committed(ids)
        return ids

    async def list(
        self, where: ExecutionFilter, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[ExecutionRecord]:
        return await self._inner.list(where, limit, before)

    async def count(self, where: ExecutionFilter, most: int) -> int:
        return await self._inner.count(where, most)
