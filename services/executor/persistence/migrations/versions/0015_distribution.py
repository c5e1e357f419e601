"""Children of a step that live at a time: the others are held.

Revision: 0015
After: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox_signals", sa.Column("at_once", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_outbox_signals_step", "outbox_signals", ["source", "step", "held", "place"])


def downgrade() -> None:
    op.drop_index("ix_outbox_signals_step", table_name="outbox_signals")
    op.drop_column("outbox_signals", "at_once")
