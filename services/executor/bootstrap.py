"""Puts the executor together: the one place that names concrete parts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from importlib.metadata import version

import structlog
from grpc_health.v1.health import aio as health

from flow_engine.clock import Clock, SystemClock
from flow_engine.egress.guard import EgressGuard
from flow_engine.environment import joined
from flow_engine.errors import Unavailable
from flow_engine.ids import ExecutionId
from flow_engine.metrics import MetricsServer
from flow_engine.nodes.registry import NodeRegistry, load_registry
from flow_engine.nodes.services import SharedServices
from services.executor.access.audit import Audit
from services.executor.access.authenticator import Authenticator, Verifier
from services.executor.access.interceptor import AccessInterceptor
from services.executor.access.live_calls import LiveCalls
from services.executor.access.oidc_settings import OidcSettings
from services.executor.admission import Admission
from services.executor.analyzer import ComplexityAnalyzer, Thresholds
from services.executor.announcing import AnnouncingPersistence
from services.executor.callbacks import CallbackKeys
from services.executor.database_clock import DatabaseClock
from services.executor.definitions import Definitions
from services.executor.diagnosis import Diagnosis
from services.executor.dispatcher import Dispatcher, TaskiqQueue
from services.executor.durations.memory import Durations
from services.executor.feed import Feed
from services.executor.figures import figures
from services.executor.hints import RedisHints
from services.executor.leases import LeaseKeeper
from services.executor.manager import ExecutionManager
from services.executor.notifications import Notifications
from services.executor.nudger import Nudger
from services.executor.persistence.contract import ExecutionFilter
from services.executor.persistence.migrating import migrate, needed_revision
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.queue_gauge import QueueGauge
from services.executor.queue_view import QueueView
from services.executor.quotas import QuotaKeeper
from services.executor.relay import Relay
from services.executor.retention import RetentionSweeper
from services.executor.roster import Roster
from services.executor.secrets.keyring import Keyring
from services.executor.secrets.providers import (
    EnvironmentSecrets,
    FileSecrets,
    SecretProvider,
    installed_providers,
)
from services.executor.secrets.vault import SecretVault
from services.executor.server import Readiness, listen, make_server
from services.executor.servicers.access_servicer import AccessServicer
from services.executor.servicers.execution_servicer import ExecutionServicer
from services.executor.servicers.keda_servicer import KedaServicer
from services.executor.servicers.operations_servicer import OperationsServicer
from services.executor.servicers.secret_servicer import SecretResolutionServicer, SecretServicer
from services.executor.servicers.task_servicer import TaskServicer
from services.executor.servicers.trigger_servicer import TriggerServicer
from services.executor.servicers.worker_servicer import WorkerServicer
from services.executor.servicers.workflow_servicer import WorkflowServicer
from services.executor.sessions import Sessions
from services.executor.settings import Settings
from services.executor.starts import StartRequest, Starts
from services.executor.stats.counting import Counting
from services.executor.strategies.immediate import ImmediateExecutionStrategy, Means
from services.executor.strategies.queued import QueuedExecutionStrategy
from services.executor.sweeper import Sweeper
from services.executor.tasks import Tasks
from services.executor.triggers.scheduler import Scheduler
from services.executor.triggers.webhooks import Webhooks
from services.executor.watch import Watches

log = structlog.get_logger()

DATABASE_PATIENCE_SECONDS = 60.0
"""How long a start waits for a database that does not answer yet."""
STOP_SECONDS = 2.0
"""How long calls that are being answered have when the executor stops."""


class Executor:
    """One executor process. `start` it, `stop` it; both are safe to repeat."""

    def __init__(
        self, settings: Settings, registry: NodeRegistry | None = None, clock: Clock | None = None
    ) -> None:
        clock = clock or SystemClock()
        registry = registry or load_registry()
        if not settings.code_python:
            registry.turn_off("FLOW_CODE_PYTHON")
        for plugin in registry.broken:
            log.warning("node_type.broken", message=str(plugin))
        self.owner = f"executor:{uuid.uuid4()}"
        self.address = ""  # once it listens
        self._settings = settings
        self._store = SqlExecutionPersistence(
            settings.database_url,
            lease_seconds=settings.lease_seconds,
            executor_lease_seconds=settings.immediate_lease_seconds,
        )
        self._notifications = Notifications()
        self._sessions = Sessions(clock)
        self._roster = Roster(self._store.operations, self._sessions, self.owner)
        self._hints: RedisHints | None = None
        if not settings.sqlite:  # there, no other executor could be told
            self._hints = RedisHints(
                settings.redis_url, self.owner, self._notifications, self._workers_here, clock
            )
        self.persistence = persistence = AnnouncingPersistence(self._store, self._committed)
        self._services = SharedServices(EgressGuard(settings.egress), runs_code=settings.code_python)
        self._database_clock = DatabaseClock(persistence, clock)
        self._leases = LeaseKeeper(persistence, self.owner, settings.immediate_lease_seconds, clock)
        prefix = f"{settings.public_url}/api/workflow/callback/"
        quotas = QuotaKeeper(self._store.usage, settings.quotas, clock)
        self._callbacks = CallbackKeys(persistence, prefix, settings.callback_secret)
        keyring = Keyring(settings.secrets_keys, settings.data_dir, may_make=settings.sqlite)
        self._vault = vault = SecretVault(
            self._store.kept_secrets,
            keyring,
            secret_providers(settings),
        )
        means = Means(
            persistence,
            self._leases,
            self._database_clock,
            self._services,
            clock,
            self._callbacks,
            vault,
        )
        self._immediate = ImmediateExecutionStrategy(means, self._told, settings.immediate_concurrency)
        self.queue_gauge = QueueGauge(persistence, settings.queue_max_pending)
        queued = QueuedExecutionStrategy(persistence, self._told, self.queue_gauge.admit)
        self._nudger = Nudger(persistence, self._immediate, self._sessions, settings.nudge_interval_seconds)
        self._queue = TaskiqQueue(settings.redis_url)
        self._dispatcher = Dispatcher(
            persistence,
            self._queue,
            settings.dispatch_interval_seconds,
            lambda: self._sessions.least_room,
        )
        self._store.database.due = self._dispatcher.ring_soon
        self._sweeper = Sweeper(
            persistence,
            self._dispatcher,
            lambda: self._sessions.free_slots,
            settings.sweep_interval_seconds,
            settings.lease_seconds,
            clock,
        )
        self.tasks = Tasks(
            self._store.tasks,
            persistence,
            self._committed,
            self._told,
            clock,
            interval_seconds=settings.sweep_interval_seconds,
            patience_seconds=settings.lease_seconds / 3,
        )
        self._store.database.offered = self.tasks.offered
        self._admission = Admission(self._store.admission, self._dispatcher.hint, clock)
        self._store.database.opened = self._admission.opened
        self._watches = Watches(
            persistence, self._notifications, settings.watch_poll_seconds, settings.watch_heartbeat_seconds
        )
        self._feed = Feed(
            persistence, self._notifications, settings.watch_poll_seconds, settings.watch_heartbeat_seconds
        )
        definitions = Definitions(
            registry, persistence, self._store.workflows, settings.definition_cache_size
        )
        self.durations = Durations(self._store.statistics, clock)
        self.counting = Counting(
            self._store.statistics, persistence, definitions, settings.count_interval_seconds, clock
        )
        thresholds = Thresholds(settings.queue_max_nodes, settings.queue_min_estimate_ms)
        self._relay = Relay(
            persistence, definitions, self._database_clock, self._told, settings.dispatch_interval_seconds
        )
        self._store.database.signalled = self._relay.hint
        persistence.spawned = self._relay.start_children
        starts = Starts(
            definitions,
            self._store.workflows,
            ComplexityAnalyzer(thresholds),
            self._immediate,
            self._database_clock,
            settings.immediate_budget_ms,
            self.durations,
        )
        self.manager = ExecutionManager(
            persistence,
            definitions,
            starts,
            self._immediate,
            queued,
            self._notifications,
            self._watches,
            self._feed,
            self._database_clock,
            QueueView(persistence, self._store.admission, self.queue_gauge, self._roster, self._workers),
            self._callbacks,
            self.durations,
            told=self._told,
            quotas=quotas,
        )
        self.scheduler = Scheduler(
            self._store.schedules,
            self._start_scheduled,
            self._find_newest,
            settings.schedule_interval_seconds,
        )
        self._webhooks = webhooks = Webhooks(
            self._store.webhooks, keyring, self.manager, persistence, self._database_clock
        )
        self.authenticator = authenticator = Authenticator(
            self._store.tokens,
            self._database_clock,
            clock,
            required=settings.authentication_required,
            static_token=settings.token,
            verifier=verifier_of(settings.oidc, clock) if settings.oidc else None,
        )
        self.audit = Audit(self._store.audit_log, self._database_clock)
        live_calls = LiveCalls(authenticator, clock, settings.message_seconds)
        health_servicer = health.HealthServicer()
        self._readiness = Readiness(persistence, health_servicer)
        self._server = make_server(
            ExecutionServicer(self.manager, registry, self._store.statistics, self._database_clock),
            WorkflowServicer(self._store.workflows, definitions),
            WorkerServicer(persistence, self._sessions, self._callbacks, quotas),
            OperationsServicer(
                self._store.operations,
                self.manager,
                self._roster,
                self._diagnosis(clock),
                self.owner,
                version("flow-execution-engine"),
            ),
            SecretServicer(vault),
            SecretResolutionServicer(vault, persistence, definitions),
            AccessServicer(self._store.tokens, self._store.audit_log, authenticator),
            AccessInterceptor(
                authenticator,
                self.audit,
                live_calls,
                most_calls=settings.max_concurrent_rpcs,
                certificates=bool(settings.tls and settings.tls.client_authority),
            ),
            TaskServicer(self.tasks),
            TriggerServicer(
                self._store.schedules,
                self.scheduler,
                self._store.webhooks,
                webhooks,
                self._store.workflows,
                f"{settings.public_url}/hooks/",
            ),
            KedaServicer(self._store.operations, self._roster),
            health_servicer,
            max_message_bytes=settings.max_message_bytes,
            max_concurrent_rpcs=settings.max_concurrent_rpcs,
        )
        self.metrics = MetricsServer(
            settings.metrics, figures(self.queue_gauge, self._roster, self._immediate)
        )
        self._loops = [
            self._database_clock,
            self._leases,
            self._dispatcher,
            self._relay,
            self.queue_gauge,
            self._sweeper,
            self._nudger,
            self._watches,
            self._roster,
            self._admission,
            self.counting,
            RetentionSweeper(
                settings.retention, self._store.retention, persistence, settings.retention_interval_seconds
            ),
            live_calls,
            self.audit,
            quotas,
            self.tasks,
            self.scheduler,
        ]

    async def start(self) -> str:
        """Serve, and return the address.

        Raises DatabaseInUse, SchemaMismatch, AddressInUse, Unavailable.
        """
        if self.address:
            return self.address
        await self._open_database()
        await self._callbacks.start()
        await self._vault.start()
        await self._webhooks.start()
        await self._queue.start()
        if self._hints:
            await self._hints.start()
        for loop in self._loops:
            await loop.start()
        port = listen(self._server, self._settings.grpc_address, self._settings.tls)
        await self._server.start()
        await self._readiness.turn()
        await self._readiness.start()
        self.metrics.start()
        self.address = joined(self._settings.grpc_host, port)
        log.info("executor.started", address=self.address, owner=self.owner)
        return self.address

    async def stop(self) -> None:
        """Say so, take nothing new, hand the immediate runs on, and close in reverse order."""
        await self._readiness.close()
        self.manager.close()
        self._watches.close()
        self._feed.close()
        self.tasks.close()
        self._sessions.end_all()
        await self._immediate.drain(self._settings.shutdown_grace_seconds)
        await self._server.stop(STOP_SECONDS)
        await self.audit.flush()
        for loop in reversed(self._loops):
            await loop.stop()
        if self._hints:
            await self._hints.stop()
        await self._queue.stop()
        await self._services.close()
        await self._store.stop()
        self.metrics.stop()
        if self.address:
            log.info("executor.stopped")

    async def _open_database(self) -> None:
        deadline = asyncio.get_running_loop().time() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                if self._settings.migrate and not self._settings.sqlite:
                    await asyncio.to_thread(migrate, self._settings.database_url)
                await self._store.start()
                break
            except Unavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                log.warning("database.unavailable", error=str(error))
            await asyncio.sleep(1.0)
        if self._settings.sqlite:
            # The file is locked by us, so whoever held these leases is dead.
            await self.persistence.expire_executor_leases(self.owner)

    async def _start_scheduled(self, request: StartRequest) -> ExecutionId:
        return (await self.manager.start(request, at_once=True)).run.execution_id

    async def _find_newest(self, where: ExecutionFilter) -> ExecutionId | None:
        found = await self.persistence.list(where, 1)
        return found[0].id if found else None

    def _committed(self, execution_ids: Collection[ExecutionId]) -> None:
        self._notifications.notify(execution_ids)
        if self._hints:
            self._hints.tell(execution_ids)

    def _diagnosis(self, clock: Clock) -> Diagnosis:
        return Diagnosis(
            self.persistence,
            self._store.operations,
            self._queue.ping,
            needed_revision,
            "SQLite" if self._settings.sqlite else "PostgreSQL",
            self._settings.data_dir.absolute(),
            self._settings.queue_max_pending,
            clock,
        )

    def _workers_here(self) -> int:
        return len(self._sessions.worker_ids)

    def _workers(self) -> int:
        return self._workers_here() + (self._hints.workers_elsewhere if self._hints else 0)

    def _told(self, execution_id: ExecutionId) -> None:
        run = self._immediate.find(execution_id)
        if run is not None:
            run.nudge()
        else:
            self._nudger.hint()


def verifier_of(oidc: OidcSettings, clock: Clock) -> Verifier:
    from services.executor.access.oidc import JwtVerifier, Keys

    return JwtVerifier(oidc, Keys(oidc, clock))


def secret_providers(settings: Settings) -> list[SecretProvider]:
    """In the order in which they are asked."""
    environment = EnvironmentSecrets(settings.secrets_environment, settings.secrets_hosts)
    files = [FileSecrets(settings.secrets_dir, settings.secrets_hosts)] if settings.secrets_dir else []
    return [environment, *files, *installed_providers()]
