"""Keep labels of stored workflows.

Revision: 0011
After: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workflows", sa.Column("labels", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("workflows", "labels")
