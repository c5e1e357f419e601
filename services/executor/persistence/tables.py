"""The schema, as SQLAlchemy Core tables. Its invariants are constraints.

JSON that users wrote is kept as the text they wrote: `jsonb` would change numbers. Every table
carries the namespace; rows of an execution are found by its id or by (namespace, created_at).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    and_,
    false,
    literal_column,
    or_,
    text,
)
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """UTC with microseconds: `timestamptz` on PostgreSQL, sortable text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _namespace() -> Column[str]:
    return Column("namespace", Text, nullable=False)


workflow_executions = Table(
    "workflow_executions",
    metadata,
    # What it is: never changes.
    Column("id", Text, nullable=False),
    _namespace(),
    Column("workflow_id", Text, nullable=False),
    Column("workflow_name", Text, nullable=False),
    Column("workflow_version", Integer, nullable=False),  # 0: the definition came with the call
    Column("definition_hash", Text, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("requested_mode", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list of strings
    Column("metadata", Text, nullable=False),  # JSON object: complexity
    Column("root_id", Text, nullable=False),
    Column("retry_of", Text, nullable=False),  # empty: a first run
    # Of a child execution; empty: it has no parent.
    Column("parent_id", Text, nullable=False, server_default=""),
    Column("parent_step", Text, nullable=False, server_default=""),  # JSON [node id, *iteration]
    Column("parent_index", Integer),  # which item of that step
    Column("parent_waits", Text, nullable=False, server_default=""),  # each, failed, last; empty: not at all
    Column("created_at", Instant, nullable=False),
    Column("deadline_at", Instant),
    # Where it stands.
    Column("status", Text, nullable=False),
    Column("execution_mode", Text, nullable=False),
    Column("pending_control", Text),
    Column("control_reason", Text, nullable=False),
    Column("started_at", Instant),
    Column("completed_at", Instant),
    Column("duration_class", Integer),  # of an ended execution that began: see duration_class()
    Column("result", Text),  # JSON {output, steps}
    Column("error", Text),  # JSON of a Failure
    # History: the newest event, the newest by other hands than the runner's, what the runner knows.
    Column("last_sequence", BigInteger, nullable=False),
    Column("foreign_sequence", BigInteger, nullable=False),
    Column("seen_sequence", BigInteger, nullable=False),
    Column("last_event_at", Instant, nullable=False),
    Column("finished_steps", Integer, nullable=False, server_default="0"),
    # The runner: fenced by epoch, numbered by report.
    Column("epoch", BigInteger, nullable=False),
    Column("report_no", BigInteger, nullable=False),
    Column("report_hash", Text, nullable=False),
    Column("report_first_sequence", BigInteger, nullable=False),
    Column("lease_owner", Text, nullable=False),  # empty: nobody
    Column("lease_expires_at", Instant),
    Column("claim_id", Text, nullable=False),
    Column("lost_leases", Integer, nullable=False),  # since the last step outcome
    Column("quarantined", Boolean, nullable=False),  # this claim runs alone
    # The queue.
    Column("pending_since", Instant),
    Column("queue_order", Instant, nullable=False),  # pending_since + priority × ageing
    Column("needs", Text, nullable=False),  # JSON list of what a worker must be able to; empty: nothing
    # Limits by key, never changing; an empty key: no limit.
    Column("concurrency_key", Text, nullable=False),
    Column("concurrency_limit", Integer, nullable=False),
    Column("keeps_slot", Boolean, nullable=False),  # over waits, until its end
    Column("rate_key", Text, nullable=False),
    Column("rate_limit", Integer, nullable=False),
    Column("rate_period_ms", BigInteger, nullable=False),
    # Where it stands with them.
    Column("slot_key", Text, nullable=False),  # concurrency_key while it holds a slot
    Column("slot_wanted", Text, nullable=False),  # concurrency_key while it waits for a slot
    Column("rate_wanted", Text, nullable=False),  # rate_key while it waits for the rate to allow it
    Column("rated_at", Instant),  # when it counted against the rate
    # Waiting and paused.
    Column("wake_at", Instant),
    Column("wake_timer", Text, nullable=False),
    Column("waits", Text),  # JSON list of what open steps wait for
    Column("all_waiting", Boolean, nullable=False),  # resuming leads back to waiting
    Column("has_children", Boolean, nullable=False, server_default=false()),
    Column("has_tasks", Boolean, nullable=False, server_default=false()),  # rows of `tasks` go along with it
    PrimaryKeyConstraint("id"),
    CheckConstraint(
        "status IN ('pending', 'running', 'paused', 'waiting', 'completed', 'failed', 'cancelled')",
        name="status",
    ),
    CheckConstraint(
        "(completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))",
        name="completed_exactly_when_terminal",
    ),
    CheckConstraint("(lease_owner <> '') = (status = 'running')", name="owned_exactly_when_running"),
    CheckConstraint(
        "(lease_expires_at IS NOT NULL) = (status = 'running')", name="leased_exactly_when_running"
    ),
    CheckConstraint("(pending_since IS NOT NULL) = (status = 'pending')", name="queued_exactly_when_pending"),
    CheckConstraint(
        "execution_mode = 'queued' OR "
        "(execution_mode = 'immediate' AND status IN ('running', 'completed', 'failed', 'cancelled'))",
        name="immediate_only_running_or_over",
    ),
    CheckConstraint("requested_mode IN ('auto', 'immediate', 'queued')", name="requested_mode"),
    CheckConstraint(
        "pending_control IS NULL OR (pending_control IN ('pause', 'cancel') AND status = 'running')",
        name="control_pends_only_while_running",
    ),
    CheckConstraint("wake_at IS NULL OR status IN ('waiting', 'paused')", name="wakes_only_from_rest"),
    CheckConstraint("error IS NULL OR status = 'failed'", name="error_only_when_failed"),
    CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
    CheckConstraint(
        "slot_key = '' OR (slot_key = concurrency_key AND completed_at IS NULL)", name="slot_of_its_key"
    ),
    CheckConstraint(
        "status <> 'running' OR (slot_key = concurrency_key AND (rate_key = '' OR rated_at IS NOT NULL))",
        name="running_within_its_limits",
    ),
    CheckConstraint(
        "(slot_wanted = '' AND rate_wanted = '') OR "
        "(status = 'pending' AND slot_wanted IN ('', concurrency_key) "
        "AND rate_wanted IN ('', rate_key) AND (slot_wanted = '' OR slot_key = ''))",
        name="wants_only_while_pending",
    ),
    CheckConstraint("epoch >= 0 AND report_no >= 0 AND lost_leases >= 0", name="counters"),
    CheckConstraint(
        "last_sequence >= 1 AND foreign_sequence BETWEEN 0 AND last_sequence "
        "AND seen_sequence BETWEEN 0 AND last_sequence",
        name="sequences",
    ),
    # Room on the page for new versions of a row: reports change no indexed column.
    postgresql_with={"fillfactor": 70},
)

_e = workflow_executions.c
Index("ix_executions_newest", _e.namespace, _e.created_at, _e.id)
# For searches, see searching.py. What they hold changes with the status, never by a report alone.
_PLACE = (_e.status, _e.execution_mode, _e.created_at, _e.id)
Index("ix_executions_by_status", _e.namespace, *_PLACE)
Index("ix_executions_of_workflow", _e.namespace, _e.workflow_id, *_PLACE)
_TIMED = text("duration_class IS NOT NULL")
Index(
    "ix_executions_by_duration",
    *(_e.namespace, _e.duration_class, _e.created_at, _e.id),
    postgresql_where=_TIMED,
    sqlite_where=_TIMED,
)
READY = "status = 'pending' AND slot_wanted = '' AND rate_wanted = ''"
HELD = "(slot_wanted <> '' OR rate_wanted <> '')"
Index(
    "ix_executions_ready",
    _e.namespace,
    _e.needs,
    _e.queue_order,
    _e.id,
    postgresql_where=text(READY),
    sqlite_where=text(READY),
)
Index(
    "ix_executions_held",
    _e.namespace,
    _e.slot_wanted,
    _e.rate_wanted,
    _e.queue_order,
    _e.id,
    postgresql_where=text(HELD),
    sqlite_where=text(HELD),
)
# Since when the oldest of both kinds has been there, and how many they are, from the index alone.
Index("ix_executions_ready_since", _e.pending_since, postgresql_where=text(READY), sqlite_where=text(READY))
Index("ix_executions_held_since", _e.pending_since, postgresql_where=text(HELD), sqlite_where=text(HELD))
_RATE_WANTED = text("rate_wanted <> ''")
Index(
    "ix_executions_rate_wanted",
    _e.namespace,
    _e.rate_wanted,
    _e.queue_order,
    _e.id,
    postgresql_where=_RATE_WANTED,
    sqlite_where=_RATE_WANTED,
)
_SLOT = text("slot_key <> ''")
Index("ix_executions_slots", _e.namespace, _e.slot_key, postgresql_where=_SLOT, sqlite_where=_SLOT)
_RATED = text("rated_at IS NOT NULL")
Index(
    "ix_executions_rated",
    _e.namespace,
    _e.rate_key,
    _e.rated_at,
    postgresql_where=_RATED,
    sqlite_where=_RATED,
)
Index(
    "ix_executions_running",
    _e.lease_owner,
    _e.namespace,
    postgresql_where=text("status = 'running'"),
    sqlite_where=text("status = 'running'"),
)
Index(
    "ix_executions_wake",
    _e.wake_at,
    postgresql_where=text("wake_at IS NOT NULL"),
    sqlite_where=text("wake_at IS NOT NULL"),
)
_WITH_DEADLINE = text("deadline_at IS NOT NULL AND completed_at IS NULL")
Index("ix_executions_deadline", _e.deadline_at, postgresql_where=_WITH_DEADLINE, sqlite_where=_WITH_DEADLINE)
_LIVE = text("completed_at IS NULL")
Index(
    "ix_executions_live_of_workflow",
    _e.namespace,
    _e.workflow_id,
    postgresql_where=_LIVE,
    sqlite_where=_LIVE,
)
_CHILD = text("parent_id <> ''")
Index(
    "ix_executions_of_parent",
    _e.namespace,
    _e.parent_id,
    _e.created_at,
    postgresql_where=_CHILD,
    sqlite_where=_CHILD,
)
_LIVE_CHILD = text("parent_id <> '' AND completed_at IS NULL")
Index(
    "ix_executions_live_of_parent",
    _e.parent_id,
    _e.id,
    postgresql_where=_LIVE_CHILD,
    sqlite_where=_LIVE_CHILD,
)
Index("ix_executions_live_of_root", _e.root_id, postgresql_where=_LIVE, sqlite_where=_LIVE)
_LIVE_RETRY = text("retry_of <> '' AND completed_at IS NULL")
Index(
    "uq_executions_live_retry",
    _e.namespace,
    _e.retry_of,
    unique=True,
    postgresql_where=_LIVE_RETRY,
    sqlite_where=_LIVE_RETRY,
)


def is_status(status: Literal["pending", "running"]) -> ColumnElement[bool]:
    """Written out: a partial index is of no use where the status is a parameter."""
    return _e.status == literal_column(f"'{status}'")


_NOTHING: ColumnElement[str] = literal_column("''", Text)


def is_ready() -> ColumnElement[bool]:
    """May be claimed. As the index says it, like the two below."""
    return and_(is_status("pending"), _e.slot_wanted == _NOTHING, _e.rate_wanted == _NOTHING)


def is_held() -> ColumnElement[bool]:
    """Pending, and waits for a slot or a rate."""
    return or_(_e.slot_wanted != _NOTHING, _e.rate_wanted != _NOTHING)


def wants_rate() -> ColumnElement[bool]:
    return _e.rate_wanted != _NOTHING


def holds_slot() -> ColumnElement[bool]:
    return _e.slot_key != _NOTHING


DURATION_CLASSES = 41


def duration_class(milliseconds: int) -> int:
    """0 below a millisecond, then one more for each doubling: spans that a search looks at together."""
    return min(milliseconds.bit_length(), DURATION_CLASSES - 1)


# What searches begin at. Written once, with the start and with the failure.
execution_tags = Table(
    "execution_tags",
    metadata,
    _namespace(),
    Column("tag", Text, nullable=False),
    Column("created_at", Instant, nullable=False),  # of the execution
    Column("execution_id", Text, nullable=False),
    PrimaryKeyConstraint("namespace", "tag", "created_at", "execution_id"),
)
Index("ix_execution_tags_execution", execution_tags.c.execution_id)

execution_errors = Table(
    "execution_errors",
    metadata,
    Column("execution_id", Text, nullable=False),
    _namespace(),
    Column("created_at", Instant, nullable=False),  # of the execution
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),  # its first thousand characters
    PrimaryKeyConstraint("execution_id"),
)
_x = execution_errors.c
Index("ix_execution_errors_newest", _x.namespace, _x.created_at, _x.execution_id)
Index("ix_execution_errors_code", _x.namespace, _x.code, _x.created_at, _x.execution_id)

execution_events = Table(
    "execution_events",
    metadata,
    Column("execution_id", Text, nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    _namespace(),
    Column("epoch", BigInteger, nullable=False),  # of the runner that wrote them; 0: written by an executor
    Column("report_no", BigInteger, nullable=False),  # 0: written by an executor
    Column("report_hash", Text, nullable=False),
    Column("format", Integer, nullable=False),
    Column("events", LargeBinary, nullable=False),  # JSON array without sequences
    # The stream of all changes: its order, and how the execution stands after these events.
    Column("position", BigInteger, nullable=False, server_default="0"),  # 0: from before there was a stream
    Column("status", Text, nullable=False, server_default=""),
    Column("execution_mode", Text, nullable=False, server_default=""),
    Column("finished_steps", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("execution_id", "first_sequence"),
    CheckConstraint("first_sequence >= 1 AND last_sequence >= first_sequence", name="sequences"),
    CheckConstraint("(epoch = 0) = (report_no = 0)", name="author"),
)
Index("ix_events_position", execution_events.c.namespace, execution_events.c.position)

snapshots = Table(
    "snapshots",
    metadata,
    Column("execution_id", Text, nullable=False),
    _namespace(),
    Column("sequence", BigInteger, nullable=False),  # folded up to this event
    Column("state", LargeBinary, nullable=False),
    PrimaryKeyConstraint("execution_id"),
)

definitions = Table(
    "definitions",
    metadata,
    _namespace(),
    Column("hash", Text, nullable=False),
    Column("definition", LargeBinary, nullable=False),
    # Seconds since 1970, to within two hours: when it was started last. Null: since before that was kept.
    Column("used_at", BigInteger),
    PrimaryKeyConstraint("namespace", "hash"),
)

payloads = Table(
    "payloads",
    metadata,
    _namespace(),
    Column("hash", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    # Seconds since 1970, to within an hour: when somebody last named it. Null: since before that was kept.
    Column("used_at", BigInteger),
    PrimaryKeyConstraint("namespace", "hash"),
)

# Which executions name which values: a value goes with the last of them.
payload_uses = Table(
    "payload_uses",
    metadata,
    Column("execution_id", Text, nullable=False),
    Column("hash", Text, nullable=False),
    _namespace(),
    PrimaryKeyConstraint("execution_id", "hash"),
)
Index("ix_payload_uses_value", payload_uses.c.namespace, payload_uses.c.hash)

outbox = Table(
    "outbox",
    metadata,
    Column("execution_id", Text, nullable=False),
    _namespace(),
    Column("kind", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("taken_until", Instant),  # a dispatcher is at it
    # One bell at most for each execution.
    PrimaryKeyConstraint("execution_id", "kind"),
    CheckConstraint("kind IN ('bell')", name="kind"),
)
Index("ix_outbox_oldest", outbox.c.created_at)

# What executions mean for their children and parents. Each is applied once.
outbox_signals = Table(
    "outbox_signals",
    metadata,
    Column("source", Text, nullable=False),  # the execution that caused it
    Column("target", Text, nullable=False),  # the one that it changes; of `control`, a step or empty for all
    Column("kind", Text, nullable=False),
    _namespace(),
    Column("step", Text, nullable=False),  # of `start`: the parent's
    Column("place", Integer, nullable=False),  # of `start`: in the order of the step's items
    Column(
        "at_once", Integer, nullable=False, server_default="0"
    ),  # children of the step that live at a time
    Column("held", Boolean, nullable=False),  # until another child of the step has ended
    Column("body", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("taken_until", Instant),  # an executor is at it
    PrimaryKeyConstraint("source", "target", "kind"),
    CheckConstraint("kind IN ('start', 'finished', 'control')", name="kind"),
)
_DUE = text("NOT held")
Index("ix_outbox_signals_oldest", outbox_signals.c.created_at, postgresql_where=_DUE, sqlite_where=_DUE)
Index(
    "ix_outbox_signals_step",
    outbox_signals.c.source,
    outbox_signals.c.step,
    outbox_signals.c.held,
    outbox_signals.c.place,
)
Index("ix_outbox_signals_target", outbox_signals.c.target, outbox_signals.c.kind)

secrets = Table(
    "secrets",
    metadata,
    _namespace(),
    Column("name", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("namespace", "name"),
)

kept_secrets = Table(
    "kept_secrets",
    metadata,
    _namespace(),
    Column("name", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # value and hosts, encrypted
    Column("key_id", Text, nullable=False),
    Column("hosts", Text, nullable=False),  # JSON list of strings, for lists
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    PrimaryKeyConstraint("namespace", "name"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _namespace(),
    Column("request_id", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("execution_id", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    PrimaryKeyConstraint("namespace", "request_id"),
)
Index("ix_idempotency_keys_expiry", idempotency_keys.c.expires_at)

signals = Table(
    "signals",
    metadata,
    Column("execution_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("iteration", Text, nullable=False),  # JSON list of integers
    Column("attempt", Integer, nullable=False),
    _namespace(),
    Column("payload_hash", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("execution_id", "node_id", "iteration", "attempt"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, nullable=False),
    _namespace(),
    Column("execution_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("iteration", Text, nullable=False),  # JSON list of integers
    Column("attempt", Integer, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("step_key", Text, nullable=False),
    Column("input", Text),  # JSON text; null: in `payloads`
    Column("input_hash", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    # Where it stands.
    Column("state", Text, nullable=False),
    Column("token_hash", Text, nullable=False),  # of the last lease; SHA-256
    Column("worker_id", Text, nullable=False),
    Column("offers", Integer, nullable=False),
    Column("lease_seconds", Float, nullable=False),
    Column("lease_expires_at", Instant),
    Column("answer_hash", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("state IN ('open', 'leased', 'settled', 'void')", name="state"),
    CheckConstraint("(lease_expires_at IS NOT NULL) = (state = 'leased')", name="leased_until"),
    CheckConstraint("(answer_hash <> '') = (state = 'settled')", name="answered_when_settled"),
    CheckConstraint("(input IS NULL) = (input_hash <> '')", name="input_here_or_there"),
)
_t = tasks.c
Index("ix_tasks_of_execution", _t.execution_id)
_OPEN, _LEASED = text("state = 'open'"), text("state = 'leased'")
_ENDED = text("state IN ('settled', 'void')")
Index(
    "ix_tasks_open",
    *(_t.namespace, _t.queue, _t.priority, _t.created_at),
    postgresql_where=_OPEN,
    sqlite_where=_OPEN,
)
Index("ix_tasks_leased", _t.lease_expires_at, postgresql_where=_LEASED, sqlite_where=_LEASED)
Index("ix_tasks_ended", _t.changed_at, postgresql_where=_ENDED, sqlite_where=_ENDED)

workflows = Table(
    "workflows",
    metadata,
    _namespace(),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),  # the newest; goes on counting over a deletion
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Column("labels", Text, nullable=False, server_default="{}"),  # JSON object of strings
    PrimaryKeyConstraint("namespace", "id"),
    CheckConstraint("version >= 1", name="version"),
)

workflow_versions = Table(
    "workflow_versions",
    metadata,
    _namespace(),
    Column("workflow_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("definition_hash", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("namespace", "workflow_id", "version"),
    ForeignKeyConstraint(["namespace", "workflow_id"], ["workflows.namespace", "workflows.id"]),
    ForeignKeyConstraint(
        ["namespace", "definition_hash"],
        ["definitions.namespace", "definitions.hash"],
        name="fk_workflow_versions_definition",
    ),
)

workers = Table(
    "workers",
    metadata,
    Column("worker_id", Text, nullable=False),
    _namespace(),  # workers serve all of them: it is always the default one
    Column("executor_id", Text, nullable=False),  # that holds its session, or did last
    Column("hostname", Text, nullable=False),
    Column("process_id", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("free_slots", Integer, nullable=False),
    Column("capabilities", Text, nullable=False),  # JSON list of strings
    Column("started_at", Instant, nullable=False),  # heard of first
    Column("seen_at", Instant, nullable=False),  # heard of last
    Column("connected", Boolean, nullable=False),
    Column("draining", Boolean, nullable=False),  # finishes what it has, gets nothing more
    PrimaryKeyConstraint("worker_id"),
)
Index("ix_workers_seen", workers.c.seen_at)
access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", Text, nullable=False),
    _namespace(),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("token_hash", Text, nullable=False),  # SHA-256 of the whole token
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    PrimaryKeyConstraint("id"),
    CheckConstraint("role IN ('viewer', 'operator', 'author', 'worker', 'admin')", name="role"),
)
Index("ix_access_tokens_newest", access_tokens.c.namespace, access_tokens.c.created_at)

# Append-only: a trigger refuses updates.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Text, nullable=False),  # UUIDv7
    _namespace(),
    Column("time", Instant, nullable=False),
    Column("subject", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("client_address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    PrimaryKeyConstraint("id"),
)
Index("ix_audit_log_newest", audit_log.c.namespace, audit_log.c.time, audit_log.c.id)

schedules = Table(
    "schedules",
    metadata,
    _namespace(),
    Column("id", Text, nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("workflow_version", Integer, nullable=False),  # 0: the latest
    Column("cron", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("input", Text, nullable=False),  # JSON text; empty: the schedule and its slot
    Column("mode", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list of strings
    Column("catch_up", Integer, nullable=False),  # how many missed slots are started
    Column("jitter_seconds", Integer, nullable=False),
    Column("overlap", Text, nullable=False),  # a conflict policy; empty: the definition's own
    Column("paused", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("decided_until", Instant, nullable=False),  # every slot up to here is recorded
    Column("next_at", Instant),  # the first slot after that
    PrimaryKeyConstraint("namespace", "id"),
    CheckConstraint("overlap IN ('', 'allow', 'reject', 'use_existing', 'cancel_existing')", name="overlap"),
    CheckConstraint("mode IN ('auto', 'immediate', 'queued')", name="mode"),
)
Index("ix_schedules_next", schedules.c.next_at)

schedule_slots = Table(
    "schedule_slots",
    metadata,
    _namespace(),
    Column("schedule_id", Text, nullable=False),
    Column("slot_at", Instant, nullable=False),
    Column("fire_at", Instant, nullable=False),  # slot_at and the jitter; later after a failed try
    Column("status", Text, nullable=False),
    Column("execution_id", Text, nullable=False),  # empty: none
    Column("reason", Text, nullable=False),  # why skipped or failed
    Column("manual", Boolean, nullable=False),  # somebody asked for it
    Column("taken_until", Instant),  # somebody is at it
    Column("tries", Integer, nullable=False),
    Column("decided_at", Instant, nullable=False),
    # A slot is decided once, whoever looks.
    PrimaryKeyConstraint("namespace", "schedule_id", "slot_at"),
    ForeignKeyConstraint(
        ["namespace", "schedule_id"], ["schedules.namespace", "schedules.id"], ondelete="CASCADE"
    ),
    CheckConstraint("status IN ('due', 'started', 'skipped', 'failed')", name="status"),
)
_DUE = text("status = 'due'")
Index("ix_schedule_slots_due", schedule_slots.c.fire_at, postgresql_where=_DUE, sqlite_where=_DUE)

webhooks = Table(
    "webhooks",
    metadata,
    Column("path", Text, nullable=False),  # of all namespaces: it is an address
    _namespace(),
    Column("workflow_id", Text, nullable=False),
    Column("workflow_version", Integer, nullable=False),  # 0: the latest
    Column("mode", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list of strings
    Column("wait_ms", Integer, nullable=False),
    Column("signed", Boolean, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # the key of signatures, encrypted
    Column("key_id", Text, nullable=False, server_default=""),  # of the key of encryption; empty: not known
    Column("paused", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    PrimaryKeyConstraint("path"),
    CheckConstraint("mode IN ('auto', 'immediate', 'queued')", name="mode"),
)
Index("ix_webhooks_of_namespace", webhooks.c.namespace, webhooks.c.path)


@cache
def names_of(table: Table) -> Sequence[str]:
    """The names of its columns, in order."""
    return [column.name for column in table.columns]
