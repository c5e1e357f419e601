"""Keep which executions name which values, so that values go with the last of them.

Revision: 0016
After: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

LIVE = sa.text("completed_at IS NULL")


def upgrade() -> None:
    # Of values that are there already it is not known who names them: they stay.
    op.add_column("payloads", sa.Column("used_at", sa.BigInteger()))
    op.create_table(
        "payload_uses",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "hash", name="pk_payload_uses"),
    )
    op.create_index("ix_payload_uses_value", "payload_uses", ["namespace", "hash"])
    op.create_index(
        "ix_executions_live_of_root",
        "workflow_executions",
        ["root_id"],
        postgresql_where=LIVE,
        sqlite_where=LIVE,
    )


def downgrade() -> None:
    op.drop_index(
        "ix_executions_live_of_root",
        table_name="workflow_executions",
        postgresql_where=LIVE,
        sqlite_where=LIVE,
    )
    op.drop_table("payload_uses")
    op.drop_column("payloads", "used_at")
