"""Give every batch of events a place in one order over all executions.

Revision: 0004
After: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = (
    ("position", sa.BigInteger(), "0"),
    ("status", sa.Text(), ""),
    ("execution_mode", sa.Text(), ""),
    ("finished_steps", sa.Integer(), "0"),
)


def upgrade() -> None:
    # What is there already stays out of the stream: constants change no row on disk.
    for name, kind, default in COLUMNS:
        op.add_column("execution_events", sa.Column(name, kind, nullable=False, server_default=default))
    op.add_column(
        "workflow_executions", sa.Column("finished_steps", sa.Integer(), nullable=False, server_default="0")
    )
    op.create_index("ix_events_position", "execution_events", ["namespace", "position"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_events_position", table_name="execution_events")
    op.drop_column("workflow_executions", "finished_steps")
    for name, _, _ in reversed(COLUMNS):
        op.drop_column("execution_events", name)
