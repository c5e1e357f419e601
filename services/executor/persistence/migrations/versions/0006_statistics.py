"""Count what ended: a list of what is still to be counted, and counts by subject and period.

Revision: 0006
After: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SUMS = (
    *("runs", "completed", "failed", "cancelled", "immediate", "retries", "step_retries", "promotions"),
    *("queued_short", "estimates", "estimates_close", "timed", "duration_us", "waited", "wait_us"),
    *("cpu_us", "bytes_in", "bytes_out", "outside_calls", "input_tokens", "output_tokens", "peak_memory"),
)


def _key() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("grain", sa.Integer(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "ended_executions",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", name="pk_ended_executions"),
    )
    op.create_table(
        "stats_subjects",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("node_type", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("namespace", "scope", "workflow_id", "node_id", "node_type"), name="pk_stats_subjects"
        ),
    )
    op.create_table(
        "stats_counts",
        *_key(),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint("namespace", "grain", "subject", "period", name="pk_stats_counts"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "stats_buckets",
        *_key(),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("namespace", "grain", "subject", "period", "measure", "bucket"), name="pk_stats_buckets"
        ),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_stats_counts_age", "stats_counts", ["grain", "period"])
    op.create_index("ix_stats_buckets_age", "stats_buckets", ["grain", "period"])
    op.create_table(
        "stats_errors",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("grain", sa.Integer(), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("namespace", "grain", "period", "workflow_id", "code"), name="pk_stats_errors"
        ),
    )
    op.execute(
        "INSERT INTO ended_executions (execution_id, namespace) "
        "SELECT id, namespace FROM workflow_executions WHERE completed_at IS NOT NULL"
    )


def downgrade() -> None:
    for table in ("stats_errors", "stats_buckets", "stats_counts", "stats_subjects", "ended_executions"):
        op.drop_table(table)
