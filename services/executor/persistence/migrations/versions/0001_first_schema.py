"""The first schema.

Revision: 0001
After: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "definitions",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("definition", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "hash", name=op.f("pk_definitions")),
    )
    op.create_table(
        "execution_events",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("report_no", sa.BigInteger(), nullable=False),
        sa.Column("report_hash", sa.Text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("events", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("(epoch = 0) = (report_no = 0)", name=op.f("ck_execution_events_author")),
        sa.CheckConstraint(
            "first_sequence >= 1 AND last_sequence >= first_sequence",
            name=op.f("ck_execution_events_sequences"),
        ),
        sa.PrimaryKeyConstraint("execution_id", "first_sequence", name=op.f("pk_execution_events")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "request_id", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_expiry", "idempotency_keys", ["expires_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('bell')", name=op.f("ck_outbox_kind")),
        sa.PrimaryKeyConstraint("execution_id", "kind", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_oldest", "outbox", ["created_at"], unique=False)
    op.create_table(
        "payloads",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "hash", name=op.f("pk_payloads")),
    )
    op.create_table(
        "signals",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("iteration", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "node_id", "iteration", "attempt", name=op.f("pk_signals")),
    )
    op.create_table(
        "snapshots",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "workflow_executions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("workflow_name", sa.Text(), nullable=False),
        sa.Column("workflow_version", sa.Integer(), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("requested_mode", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("retry_of", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("execution_mode", sa.Text(), nullable=False),
        sa.Column("pending_control", sa.Text(), nullable=True),
        sa.Column("control_reason", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("foreign_sequence", sa.BigInteger(), nullable=False),
        sa.Column("seen_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("report_no", sa.BigInteger(), nullable=False),
        sa.Column("report_hash", sa.Text(), nullable=False),
        sa.Column("report_first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_id", sa.Text(), nullable=False),
        sa.Column("lost_leases", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Boolean(), nullable=False),
        sa.Column("pending_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queue_order", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wake_timer", sa.Text(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=True),
        sa.Column("all_waiting", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "(completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))",
            name=op.f("ck_workflow_executions_completed_exactly_when_terminal"),
        ),
        sa.CheckConstraint(
            "(lease_expires_at IS NOT NULL) = (status = 'running')",
            name=op.f("ck_workflow_executions_leased_exactly_when_running"),
        ),
        sa.CheckConstraint(
            "(lease_owner <> '') = (status = 'running')",
            name=op.f("ck_workflow_executions_owned_exactly_when_running"),
        ),
        sa.CheckConstraint(
            "(pending_since IS NOT NULL) = (status = 'pending')",
            name=op.f("ck_workflow_executions_queued_exactly_when_pending"),
        ),
        sa.CheckConstraint(
            "error IS NULL OR status = 'failed'", name=op.f("ck_workflow_executions_error_only_when_failed")
        ),
        sa.CheckConstraint(
            "execution_mode = 'queued' OR "
            "(execution_mode = 'immediate' AND status IN ('running', 'completed', 'failed', 'cancelled'))",
            name=op.f("ck_workflow_executions_immediate_only_running_or_over"),
        ),
        sa.CheckConstraint(
            "pending_control IS NULL OR (pending_control IN ('pause', 'cancel') AND status = 'running')",
            name=op.f("ck_workflow_executions_control_pends_only_while_running"),
        ),
        sa.CheckConstraint(
            "requested_mode IN ('auto', 'immediate', 'queued')",
            name=op.f("ck_workflow_executions_requested_mode"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'paused', 'waiting', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_workflow_executions_status"),
        ),
        sa.CheckConstraint(
            "wake_at IS NULL OR status IN ('waiting', 'paused')",
            name=op.f("ck_workflow_executions_wakes_only_from_rest"),
        ),
        sa.CheckConstraint(
            "epoch >= 0 AND report_no >= 0 AND lost_leases >= 0", name=op.f("ck_workflow_executions_counters")
        ),
        sa.CheckConstraint(
            "last_sequence >= 1 AND foreign_sequence BETWEEN 0 AND last_sequence "
            "AND seen_sequence BETWEEN 0 AND last_sequence",
            name=op.f("ck_workflow_executions_sequences"),
        ),
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name=op.f("ck_workflow_executions_priority")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_executions")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_executions_deadline",
        "workflow_executions",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("deadline_at IS NOT NULL AND completed_at IS NULL"),
        sqlite_where=sa.text("deadline_at IS NOT NULL AND completed_at IS NULL"),
    )
    op.create_index(
        "ix_executions_newest", "workflow_executions", ["namespace", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_executions_of_workflow",
        "workflow_executions",
        ["namespace", "workflow_id", "created_at"],
        unique=False,
    )
    op.create_index(
        "ix_executions_pending",
        "workflow_executions",
        ["queue_order", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_executions_running",
        "workflow_executions",
        ["lease_owner"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
        sqlite_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "ix_executions_wake",
        "workflow_executions",
        ["wake_at"],
        unique=False,
        postgresql_where=sa.text("wake_at IS NOT NULL"),
        sqlite_where=sa.text("wake_at IS NOT NULL"),
    )
    op.create_index(
        "uq_executions_live_retry",
        "workflow_executions",
        ["namespace", "retry_of"],
        unique=True,
        postgresql_where=sa.text("retry_of <> '' AND completed_at IS NULL"),
        sqlite_where=sa.text("retry_of <> '' AND completed_at IS NULL"),
    )
    op.create_table(
        "workflows",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("version >= 1", name=op.f("ck_workflows_version")),
        sa.PrimaryKeyConstraint("namespace", "id", name=op.f("pk_workflows")),
    )
    op.create_table(
        "workflow_versions",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace", "definition_hash"],
            ["definitions.namespace", "definitions.hash"],
            name="fk_workflow_versions_definition",
        ),
        sa.ForeignKeyConstraint(
            ["namespace", "workflow_id"],
            ["workflows.namespace", "workflows.id"],
            name=op.f("fk_workflow_versions"),
        ),
        sa.PrimaryKeyConstraint("namespace", "workflow_id", "version", name=op.f("pk_workflow_versions")),
    )


def downgrade() -> None:
    op.drop_table("workflow_versions")
    op.drop_table("workflows")
    op.drop_index(
        "uq_executions_live_retry",
        table_name="workflow_executions",
        postgresql_where=sa.text("retry_of <> '' AND completed_at IS NULL"),
        sqlite_where=sa.text("retry_of <> '' AND completed_at IS NULL"),
    )
    op.drop_index(
        "ix_executions_wake",
        table_name="workflow_executions",
        postgresql_where=sa.text("wake_at IS NOT NULL"),
        sqlite_where=sa.text("wake_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_executions_running",
        table_name="workflow_executions",
        postgresql_where=sa.text("status = 'running'"),
        sqlite_where=sa.text("status = 'running'"),
    )
    op.drop_index(
        "ix_executions_pending",
        table_name="workflow_executions",
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.drop_index("ix_executions_of_workflow", table_name="workflow_executions")
    op.drop_index("ix_executions_newest", table_name="workflow_executions")
    op.drop_index(
        "ix_executions_deadline",
        table_name="workflow_executions",
        postgresql_where=sa.text("deadline_at IS NOT NULL AND completed_at IS NULL"),
        sqlite_where=sa.text("deadline_at IS NOT NULL AND completed_at IS NULL"),
    )
    op.drop_table("workflow_executions")
    op.drop_table("snapshots")
    op.drop_table("signals")
    op.drop_table("payloads")
    op.drop_index("ix_outbox_oldest", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("ix_idempotency_keys_expiry", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("execution_events")
    op.drop_table("definitions")
