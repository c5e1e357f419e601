"""Keep which key a webhook's secret is encrypted with, so that a new key takes its place.

Revision: 0020
After: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("key_id", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("webhooks", "key_id")
