"""Child executions: who started them, and what executions mean for one another.

Revision: 0013
After: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CHILD = sa.text("parent_id <> ''")
LIVE_CHILD = sa.text("parent_id <> '' AND completed_at IS NULL")
DUE = sa.text("NOT held")
COLUMNS = ("parent_id", "parent_step", "parent_waits")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("workflow_executions", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column("workflow_executions", sa.Column("parent_index", sa.Integer(), nullable=True))
    op.add_column(
        "workflow_executions",
        sa.Column("has_children", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "ix_executions_of_parent",
        "workflow_executions",
        ["namespace", "parent_id", "created_at"],
        postgresql_where=CHILD,
        sqlite_where=CHILD,
    )
    op.create_index(
        "ix_executions_live_of_parent",
        "workflow_executions",
        ["parent_id", "id"],
        postgresql_where=LIVE_CHILD,
        sqlite_where=LIVE_CHILD,
    )
    op.create_table(
        "outbox_signals",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", "target", "kind", name=op.f("pk_outbox_signals")),
        sa.CheckConstraint("kind IN ('start', 'finished', 'control')", name=op.f("ck_outbox_signals_kind")),
    )
    op.create_index(
        "ix_outbox_signals_oldest",
        "outbox_signals",
        ["created_at"],
        postgresql_where=DUE,
        sqlite_where=DUE,
    )
    op.create_index("ix_outbox_signals_target", "outbox_signals", ["target", "kind"])


def downgrade() -> None:
    op.drop_table("outbox_signals")
    op.drop_index("ix_executions_live_of_parent", table_name="workflow_executions")
    op.drop_index("ix_executions_of_parent", table_name="workflow_executions")
    for name in ("has_children", "parent_index", *reversed(COLUMNS)):
        op.drop_column("workflow_executions", name)
