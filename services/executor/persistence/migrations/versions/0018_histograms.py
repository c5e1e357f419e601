# ruff: noqa: S608 - the names of tables and columns are ours
"""Keep the histograms of a count in its own row: one row is written where there were ten.

Revision: 0018
After: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

KEY = ("namespace", "grain", "subject", "period")


def upgrade() -> None:
    op.add_column("stats_counts", sa.Column("histograms", sa.Text(), nullable=False, server_default="{}"))
    sqlite = op.get_bind().dialect.name == "sqlite"
    objects = "json_group_object" if sqlite else "json_object_agg"
    inner = "json(histogram)" if sqlite else "histogram"
    key = ", ".join(KEY)
    same = " AND ".join(f"stats_counts.{name} = kept.{name}" for name in KEY)
    op.execute(
        f"UPDATE stats_counts SET histograms = kept.histograms FROM ("
        f" SELECT {key}, CAST({objects}(measure, {inner}) AS text) AS histograms FROM ("
        f"  SELECT {key}, measure, {objects}(CAST(bucket AS text), count) AS histogram"
        f"  FROM stats_buckets GROUP BY {key}, measure) AS measured"
        f" GROUP BY {key}) AS kept WHERE {same}"
    )
    op.drop_index("ix_stats_buckets_age", table_name="stats_buckets")
    op.drop_table("stats_buckets")


def downgrade() -> None:
    op.create_table(
        "stats_buckets",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("grain", sa.Integer(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*KEY, "measure", "bucket", name="pk_stats_buckets"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_stats_buckets_age", "stats_buckets", ["grain", "period"])
    histograms = "histograms" if op.get_bind().dialect.name == "sqlite" else "CAST(histograms AS json)"
    key = ", ".join(KEY)
    op.execute(
        f"INSERT INTO stats_buckets ({key}, measure, bucket, count)"
        f" SELECT {key}, measured.key, CAST(counted.key AS integer),"
        f" CAST(CAST(counted.value AS text) AS bigint)"
        f" FROM stats_counts, json_each({histograms}) AS measured, json_each(measured.value) AS counted"
    )
    op.drop_column("stats_counts", "histograms")
