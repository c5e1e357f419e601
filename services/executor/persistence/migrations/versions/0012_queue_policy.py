"""Limit executions by key, and say what each needs of a worker.

Revision: 0012
After: 0011
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = "workflow_executions"
COLUMNS: tuple[tuple[str, Any, str], ...] = (
    ("needs", sa.Text(), ""),
    ("concurrency_key", sa.Text(), ""),
    ("concurrency_limit", sa.Integer(), "0"),
    ("keeps_slot", sa.Boolean(), "false"),
    ("rate_key", sa.Text(), ""),
    ("rate_limit", sa.Integer(), "0"),
    ("rate_period_ms", sa.BigInteger(), "0"),
    ("slot_key", sa.Text(), ""),
    ("slot_wanted", sa.Text(), ""),
    ("rate_wanted", sa.Text(), ""),
)
CHECKS = {
    "slot_of_its_key": "slot_key = '' OR (slot_key = concurrency_key AND completed_at IS NULL)",
    "running_within_its_limits": "status <> 'running' OR "
    "(slot_key = concurrency_key AND (rate_key = '' OR rated_at IS NOT NULL))",
    "wants_only_while_pending": "(slot_wanted = '' AND rate_wanted = '') OR "
    "(status = 'pending' AND slot_wanted IN ('', concurrency_key) "
    "AND rate_wanted IN ('', rate_key) AND (slot_wanted = '' OR slot_key = ''))",
}
READY = "status = 'pending' AND slot_wanted = '' AND rate_wanted = ''"
HELD = "(slot_wanted <> '' OR rate_wanted <> '')"
PENDING = "status = 'pending'"
RUNNING = "status = 'running'"
INDEXES = (
    ("ix_executions_ready", ["namespace", "needs", "queue_order", "id"], READY),
    ("ix_executions_held", ["namespace", "slot_wanted", "rate_wanted", "queue_order", "id"], HELD),
    ("ix_executions_slots", ["namespace", "slot_key"], "slot_key <> ''"),
    ("ix_executions_rated", ["namespace", "rate_key", "rated_at"], "rated_at IS NOT NULL"),
    ("ix_executions_running", ["lease_owner", "namespace"], RUNNING),
)


def upgrade() -> None:
    # Constants change no row on disk.
    for name, kind, default in COLUMNS:
        constant = sa.text(default) if default == "false" else default
        op.add_column(TABLE, sa.Column(name, kind, nullable=False, server_default=constant))
    if op.get_bind().dialect.name == "sqlite":
        # It knows no constraint that comes later, but a column may bring some.
        brought = " ".join(f"CONSTRAINT ck_{TABLE}_{name} CHECK ({check})" for name, check in CHECKS.items())
        op.execute(f"ALTER TABLE {TABLE} ADD COLUMN rated_at DATETIME {brought}")
    else:
        op.add_column(TABLE, sa.Column("rated_at", sa.DateTime(timezone=True), nullable=True))
        for name, check in CHECKS.items():
            op.create_check_constraint(op.f(f"ck_{TABLE}_{name}"), TABLE, check)
    op.drop_index("ix_executions_pending", table_name=TABLE)
    op.drop_index("ix_executions_running", table_name=TABLE)
    for name, columns, where in INDEXES:
        _index(name, columns, where)


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(name, table_name=TABLE)
    _index("ix_executions_pending", ["queue_order", "id"], PENDING)
    _index("ix_executions_running", ["lease_owner"], RUNNING)
    with op.batch_alter_table(TABLE) as batch:
        for name in CHECKS:
            batch.drop_constraint(op.f(f"ck_{TABLE}_{name}"), type_="check")
        batch.drop_column("rated_at")
        for name, _, _ in reversed(COLUMNS):
            batch.drop_column(name)


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(
        name,
        TABLE,
        columns,
        unique=False,
        postgresql_where=sa.text(where),
        sqlite_where=sa.text(where),
    )
