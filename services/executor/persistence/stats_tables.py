"""Tables of figures about ended executions: what is still to be counted, and the counts.

Periods are seconds since 1970; a subject's number comes from what it names, so that counts need no look-up.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from services.executor.persistence.tables import metadata
from services.executor.stats.tally import COUNTERS


def _key() -> list[Column[str] | Column[int]]:
    return [
        Column("namespace", Text, nullable=False),
        Column("grain", Integer, nullable=False),  # seconds: 300, 3600, 86400
        Column("subject", BigInteger, nullable=False),
        Column("period", BigInteger, nullable=False),  # its begin
    ]


# Written in the transaction that ends an execution, removed in the one that counts it: neither can be
# repeated or lost without the other.
ended_executions = Table(
    "ended_executions",
    metadata,
    Column("execution_id", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    PrimaryKeyConstraint("execution_id"),
)

stats_subjects = Table(
    "stats_subjects",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("scope", Text, nullable=False),  # all, workflow, type, node
    Column("subject", BigInteger, nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("node_type", Text, nullable=False),
    PrimaryKeyConstraint("namespace", "scope", "workflow_id", "node_id", "node_type"),
)

stats_counts = Table(
    "stats_counts",
    metadata,
    *_key(),
    *(Column(name, BigInteger, nullable=False) for name in COUNTERS),
    Column("peak_memory", BigInteger, nullable=False),
    Column("histograms", Text, nullable=False, server_default="{}"),  # JSON {measure: {bucket: count}}
    PrimaryKeyConstraint("namespace", "grain", "subject", "period"),
    postgresql_with={"fillfactor": 70},
)
Index("ix_stats_counts_age", stats_counts.c.grain, stats_counts.c.period)

stats_errors = Table(
    "stats_errors",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("grain", Integer, nullable=False),
    Column("period", BigInteger, nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("execution_id", Text, nullable=False),  # the newest of them
    Column("message", Text, nullable=False),  # of that one
    PrimaryKeyConstraint("namespace", "grain", "period", "workflow_id", "code"),
)

# What estimates are made with: written by whoever counts, in the same transaction.
learned_durations = Table(
    "learned_durations",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("definition_hash", Text, nullable=False),  # empty: the node types of the namespace
    Column("learned", Text, nullable=False),  # JSON
    PrimaryKeyConstraint("namespace", "definition_hash"),
)
