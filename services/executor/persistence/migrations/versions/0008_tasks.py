"""Tasks of `task.external` steps.

Revision: 0008
After: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OPEN, LEASED = sa.text("state = 'open'"), sa.text("state = 'leased'")
ENDED = sa.text("state IN ('settled', 'void')")


def upgrade() -> None:
    op.add_column(
        "workflow_executions",
        sa.Column("has_tasks", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("iteration", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("step_key", sa.Text(), nullable=False),
        sa.Column("input", sa.Text()),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("lease_seconds", sa.Float(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
        sa.Column("answer_hash", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.CheckConstraint("state IN ('open', 'leased', 'settled', 'void')", name=op.f("ck_tasks_state")),
        sa.CheckConstraint(
            "(lease_expires_at IS NOT NULL) = (state = 'leased')", name=op.f("ck_tasks_leased_until")
        ),
        sa.CheckConstraint(
            "(answer_hash <> '') = (state = 'settled')", name=op.f("ck_tasks_answered_when_settled")
        ),
        sa.CheckConstraint("(input IS NULL) = (input_hash <> '')", name=op.f("ck_tasks_input_here_or_there")),
    )
    op.create_index("ix_tasks_of_execution", "tasks", ["execution_id"])
    open_ = ["namespace", "queue", "priority", "created_at"]
    op.create_index("ix_tasks_open", "tasks", open_, postgresql_where=OPEN, sqlite_where=OPEN)
    op.create_index(
        "ix_tasks_leased", "tasks", ["lease_expires_at"], postgresql_where=LEASED, sqlite_where=LEASED
    )
    op.create_index("ix_tasks_ended", "tasks", ["changed_at"], postgresql_where=ENDED, sqlite_where=ENDED)


def downgrade() -> None:
    op.drop_table("tasks")
    op.drop_column("workflow_executions", "has_tasks")
