"""Find the live executions of a workflow, for its conflict policy.

Revision: 0002
After: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIVE = sa.text("completed_at IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_executions_live_of_workflow",
        "workflow_executions",
        ["namespace", "workflow_id"],
        unique=False,
        postgresql_where=LIVE,
        sqlite_where=LIVE,
    )


def downgrade() -> None:
    op.drop_index(
        "ix_executions_live_of_workflow",
        table_name="workflow_executions",
        postgresql_where=LIVE,
        sqlite_where=LIVE,
    )
