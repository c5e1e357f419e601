"""`ExecutionPersistence` on SQLAlchemy: the parts that do it, under the one name that the executor knows."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta

from flow_engine.ids import DEFAULT_NAMESPACE, ExecutionId, Iteration
from flow_engine.payload import Payload
from services.executor.persistence.admission import SqlAdmission
from services.executor.persistence.answering import Answer, Answering
from services.executor.persistence.appending import Appending
from services.executor.persistence.changes import Changes
from services.executor.persistence.children import Children
from services.executor.persistence.claims import Claims
from services.executor.persistence.contract import (
    Bell,
    ChangeFilter,
    ChangePage,
    Claim,
    ClaimedExecution,
    ExecutionFilter,
    ExecutionRecord,
    ImmediateRun,
    Move,
    NewExecution,
    Nudged,
    Place,
    PurgeFilter,
    QueueState,
    Report,
    ReportReply,
    Signal,
    Started,
    StoredBatch,
)
from services.executor.persistence.control import Control
from services.executor.persistence.database import Database, sqlite_path
from services.executor.persistence.depth import SqlDepth
from services.executor.persistence.filelock import FileLock
from services.executor.persistence.kept_secrets import KeptSecrets
from services.executor.persistence.looking import Looking
from services.executor.persistence.migrating import check_schema, migrate
from services.executor.persistence.operations import SqlOperations
from services.executor.persistence.reading import Reading
from services.executor.persistence.retention import SqlRetention
from services.executor.persistence.schedules import SqlSchedules
from services.executor.persistence.searching import Searching
from services.executor.persistence.secrets import secret
from services.executor.persistence.statistics import SqlStatistics
from services.executor.persistence.sweep import Sweep
from services.executor.persistence.tasks import TaskStore
from services.executor.persistence.tokens import SqlAuditLog, SqlTokenStore
from services.executor.persistence.usage import SqlUsage
from services.executor.persistence.webhooks import SqlWebhooks
from services.executor.persistence.workflows import SqlWorkflowStore

LEASE_SECONDS = 30.0
EXECUTOR_LEASE_SECONDS = 10.0


class SqlExecutionPersistence:
    """PostgreSQL or SQLite, by the URL.

    lease_seconds: of executions that workers claim. executor_lease_seconds: of immediate runs.
    now: SQL expression of the database's clock; for tests.
    `workflows` keeps stored definitions in the same database, `statistics` figures about what ended;
    `operations` tells operators what is there, `tokens` who may call, `audit_log` who changed what;
    `tasks` are those of `task.external` steps.
    """

    def __init__(
        self,
        url: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        executor_lease_seconds: float = EXECUTOR_LEASE_SECONDS,
        now: str = "",
    ) -> None:
        self._url = url
        self._lease_seconds = lease_seconds
        self._executor_lease_seconds = executor_lease_seconds
        self.database = Database(url, now=now)
        self._lock = FileLock(sqlite_path(self.database.url)) if self.database.is_sqlite else None
        self._appending = Appending(self.database, self._lease)
        self._answering = Answering(self.database)
        self._claims = Claims(self.database, self._lease)
        self._control = Control(self.database)
        self._sweep = Sweep(self.database)
        self._children = Children(self.database)
        self._reading = Reading(self.database)
        self._looking = Looking(self.database)
        self._depth = SqlDepth(self.database)
        self._searching = Searching(self.database)
        self._changes = Changes(self.database, self._reading.has_tag)
        self.workflows = SqlWorkflowStore(self.database)
        self.kept_secrets = KeptSecrets(self.database)
        self.operations = SqlOperations(self.database)
        self.schedules = SqlSchedules(self.database)
        self.webhooks = SqlWebhooks(self.database)
        self.admission = SqlAdmission(self.database)
        self.statistics = SqlStatistics(self.database)
        self.retention = SqlRetention(self.database)
        self.tokens = SqlTokenStore(self.database)
        self.audit_log = SqlAuditLog(self.database)
        self.usage = SqlUsage(self.database)
        self.tasks = TaskStore(self.database)

    async def start(self) -> None:
        """SQLite is migrated; PostgreSQL must be already.

        Raises DatabaseInUse, SchemaMismatch, Unavailable.
        """
        if self._lock is not None:
            self._lock.acquire()
        try:
            await asyncio.to_thread(migrate if self._lock is not None else check_schema, self._url)
        except BaseException:
            self._unlock()
            raise
        self.database.open()

    async def stop(self) -> None:
        await self._appending.stop()
        await self._answering.stop()
        await self._looking.stop()
        await self.database.close()
        self._unlock()

    async def ping(self) -> datetime:
        return await self.database.time()

    async def secret(self, name: str, namespace: str = DEFAULT_NAMESPACE) -> bytes:
        return await secret(self.database, name, namespace)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _lease(self, owner: str) -> timedelta:
        is_executor = owner.startswith("executor:")
        return timedelta(seconds=self._executor_lease_seconds if is_executor else self._lease_seconds)

    # Starting, running ------------------------------------------------------------------------

    async def create(self, new: NewExecution, run: ImmediateRun | None = None) -> Started:
        return await self._appending.create(new, run)

    async def find_start(
        self, request_id: str, request_hash: str, namespace: str = DEFAULT_NAMESPACE
    ) -> ExecutionId | None:
        return await self._reading.find_start(request_id, request_hash, namespace)

    async def report(self, report: Report) -> ReportReply:
        return await self._appending.report(report)

    async def claim_next(self, claim: Claim) -> list[ClaimedExecution]:
        return await self._claims.next(claim)

    async def renew_leases(self, owner: str, leases: Collection[tuple[ExecutionId, int]]) -> set[ExecutionId]:
        return await self._claims.renew(owner, leases)

    async def release(
        self, owner: str, leases: Collection[tuple[ExecutionId, int]], *, process_died: bool = False
    ) -> None:
        await self._claims.release(owner, leases, process_died=process_died)

    # Control ----------------------------------------------------------------------------------

    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str = DEFAULT_NAMESPACE) -> Move:
        return await self._control.pause(execution_id, reason, namespace)

    async def resume(self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE) -> Move:
        return await self._control.resume(execution_id, namespace)

    async def cancel(
        self, execution_id: ExecutionId, reason: str, namespace: str = DEFAULT_NAMESPACE
    ) -> Move:
        return await self._control.cancel(execution_id, reason, namespace)

    async def requeue(
        self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE, *, first: bool = False
    ) -> Move:
        return await self._control.requeue(execution_id, namespace, first=first)

    async def purge(self, where: PurgeFilter, limit: int, reason: str) -> list[ExecutionId]:
        return await self._control.purge(where, limit, reason)

    async def would_purge(self, where: PurgeFilter) -> list[ExecutionId]:
        return await self._control.would_purge(where)

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
        answer = Answer(
            execution_id, node_id, iteration, attempt, payload, expected_sequence, namespace, record
        )
        return await self._answering.signal(answer)

    # Background -------------------------------------------------------------------------------

    async def expire_leases(self, grace_seconds: float = 0.0) -> list[ExecutionId]:
        return await self._sweep.expire_leases(grace_seconds)

    async def expire_executor_leases(self, except_owner: str) -> int:
        if self._lock is None:
            return 0  # on PostgreSQL other executors may live
        return len(await self._sweep.expire_executor_leases(except_owner))

    async def wake_due(self, limit: int = 500) -> list[ExecutionId]:
        return await self._sweep.wake_due(limit)

    async def fail_overdue(self, limit: int = 500) -> list[ExecutionId]:
        return await self._sweep.fail_overdue(limit)

    async def take_bells(self, limit: int) -> list[Bell]:
        return await self._sweep.take_bells(limit)

    async def bells_rung(self, bells: Collection[Bell]) -> None:
        await self._sweep.bells_rung(bells)

    async def take_signals(self, limit: int) -> list[Signal]:
        return await self._children.take_signals(limit)

    async def due_starts(self, parent_id: ExecutionId) -> list[Signal]:
        return await self._children.due_starts(parent_id)

    async def forget_signals(self, signals: Collection[Signal]) -> None:
        await self._children.forget_signals(signals)

    async def finish_children(
        self, parent_id: ExecutionId, child_ids: Collection[ExecutionId]
    ) -> ExecutionRecord | None:
        return await self._children.finish(parent_id, child_ids)

    async def control_children(self, signal: Signal) -> list[ExecutionRecord]:
        return await self._children.control(signal)

    async def forget_requests(self) -> int:
        return await self._sweep.forget_requests()

    # Reading ----------------------------------------------------------------------------------

    async def get(self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE) -> ExecutionRecord:
        return await self._reading.get(execution_id, namespace)

    async def look(
        self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE
    ) -> tuple[ExecutionRecord, list[StoredBatch]]:
        return await self._looking.look(execution_id, namespace)

    async def lease_of(self, execution_id: ExecutionId) -> tuple[str, str]:
        return await self._reading.lease_of(execution_id)

    async def namespace_of(self, execution_id: ExecutionId) -> str:
        return await self._reading.namespace_of(execution_id)

    async def events(
        self,
        execution_id: ExecutionId,
        after_sequence: int,
        limit: int = 1000,
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[StoredBatch]:
        return await self._reading.events(execution_id, after_sequence, limit, namespace)

    async def last_sequences(self, ids: Collection[ExecutionId]) -> dict[ExecutionId, tuple[int, str]]:
        return await self._reading.last_sequences(ids)

    async def change_head(self, namespace: str = DEFAULT_NAMESPACE) -> Place:
        return await self._changes.head(namespace)

    async def changes(self, after: Place, where: ChangeFilter, limit: int) -> ChangePage:
        return await self._changes.after(after, where, limit)

    async def nudges(self, owners: Collection[str]) -> list[Nudged]:
        return await self._reading.nudges(owners)

    async def queue_state(self, most: int) -> QueueState:
        return await self._depth.state(most)

    async def queue_position(self, execution_id: ExecutionId, namespace: str = DEFAULT_NAMESPACE) -> int:
        return await self._depth.position(execution_id, namespace)

    async def definition(self, definition_hash: str, namespace: str = DEFAULT_NAMESPACE) -> bytes:
        return await self._reading.definition(definition_hash, namespace)

    async def payload(self, payload_hash: str, namespace: str = DEFAULT_NAMESPACE) -> bytes:
        return await self._reading.payload(payload_hash, namespace)

    async def list(
        self, where: ExecutionFilter, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[ExecutionRecord]:
        return await self._searching.find(where, limit, before)

    async def count(self, where: ExecutionFilter, most: int) -> int:
        return await self._searching.count(where, most)
