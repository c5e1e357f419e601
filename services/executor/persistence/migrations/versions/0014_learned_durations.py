"""Keep what history teaches about durations.

Revision: 0014
After: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "learned_durations",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("learned", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "definition_hash", name="pk_learned_durations"),
    )


def downgrade() -> None:
    op.drop_table("learned_durations")
