"""Tell how deep the queue is, and who waits for a rate, from indexes alone.

Revision: 0019
After: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLE = "workflow_executions"
READY = "status = 'pending' AND slot_wanted = '' AND rate_wanted = ''"
HELD = "(slot_wanted <> '' OR rate_wanted <> '')"
INDEXES = (
    ("ix_executions_ready_since", ["pending_since"], READY),
    ("ix_executions_held_since", ["pending_since"], HELD),
    ("ix_executions_rate_wanted", ["namespace", "rate_wanted", "queue_order", "id"], "rate_wanted <> ''"),
)


def upgrade() -> None:
    for name, columns, where in INDEXES:
        condition = sa.text(where)
        op.create_index(name, TABLE, columns, postgresql_where=condition, sqlite_where=condition)


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(name, table_name=TABLE)
