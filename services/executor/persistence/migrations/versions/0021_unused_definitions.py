"""Keep when a definition was started last, so that those that nothing refers to any more can go.

Revision: 0021
After: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of those that are there already it is not known: they stay until they are started again.
    op.add_column("definitions", sa.Column("used_at", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("definitions", "used_at")
