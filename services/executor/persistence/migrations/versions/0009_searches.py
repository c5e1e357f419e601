"""Give every condition of a search an index that ends in creation time and id.

Revision: 0009
After: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.executor.persistence.tables import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PLACE = ["status", "execution_mode", "created_at", "id"]
TIMED = sa.text("duration_class IS NOT NULL")


def upgrade() -> None:
    op.add_column("workflow_executions", sa.Column("duration_class", sa.Integer()))
    op.create_table(
        "execution_tags",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "tag", "created_at", "execution_id", name="pk_execution_tags"),
    )
    op.create_table(
        "execution_errors",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", name="pk_execution_errors"),
    )
    _fill()
    op.create_index("ix_execution_tags_execution", "execution_tags", ["execution_id"])
    op.create_index(
        "ix_execution_errors_newest", "execution_errors", ["namespace", "created_at", "execution_id"]
    )
    op.create_index(
        "ix_execution_errors_code", "execution_errors", ["namespace", "code", "created_at", "execution_id"]
    )
    op.drop_index("ix_executions_of_workflow", table_name="workflow_executions")
    op.create_index("ix_executions_of_workflow", "workflow_executions", ["namespace", "workflow_id", *PLACE])
    op.create_index("ix_executions_by_status", "workflow_executions", ["namespace", *PLACE])
    op.create_index(
        "ix_executions_by_duration",
        "workflow_executions",
        ["namespace", "duration_class", "created_at", "id"],
        postgresql_where=TIMED,
        sqlite_where=TIMED,
    )


def _fill() -> None:
    """What is there already can be searched too."""
    if op.get_bind().dialect.name == "postgresql":
        took = "EXTRACT(EPOCH FROM completed_at - started_at) * 1000"
        tags = "jsonb_array_elements_text(e.tags::jsonb) AS t (tag)"
        code, message = "error::jsonb ->> 'code'", "error::jsonb ->> 'message'"
        tag = "t.tag"
    else:
        took = "(julianday(completed_at) - julianday(started_at)) * 86400000"
        tags, tag = "json_each(e.tags) AS t", "t.value"
        code, message = "json_extract(error, '$.code')", "json_extract(error, '$.message')"
    doublings = " ".join(f"WHEN {took} < {2**n} THEN {n}" for n in range(40))
    op.execute(
        f"UPDATE workflow_executions SET duration_class = CASE {doublings} ELSE 40 END "  # noqa: S608
        "WHERE completed_at IS NOT NULL AND started_at IS NOT NULL"
    )
    op.execute(
        "INSERT INTO execution_tags (namespace, tag, created_at, execution_id) "  # noqa: S608
        f"SELECT DISTINCT e.namespace, {tag}, e.created_at, e.id FROM workflow_executions AS e, {tags} "
        "WHERE e.tags <> '[]'"
    )
    op.execute(
        "INSERT INTO execution_errors (execution_id, namespace, created_at, code, message) "  # noqa: S608
        f"SELECT id, namespace, created_at, COALESCE({code}, ''), SUBSTR(COALESCE({message}, ''), 1, 1000) "
        "FROM workflow_executions WHERE error IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_index(
        "ix_executions_by_duration",
        table_name="workflow_executions",
        postgresql_where=TIMED,
        sqlite_where=TIMED,
    )
    op.drop_index("ix_executions_by_status", table_name="workflow_executions")
    op.drop_index("ix_executions_of_workflow", table_name="workflow_executions")
    op.create_index(
        "ix_executions_of_workflow", "workflow_executions", ["namespace", "workflow_id", "created_at"]
    )
    op.drop_table("execution_errors")
    op.drop_table("execution_tags")
    op.drop_column("workflow_executions", "duration_class")
