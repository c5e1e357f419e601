"""Keep API tokens, and who did what.

Revision: 0007
After: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.executor.persistence.tables import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROLES = "role IN ('viewer', 'operator', 'author', 'worker', 'admin')"


def upgrade() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
        sa.CheckConstraint(ROLES, name=op.f("ck_access_tokens_role")),
    )
    op.create_index("ix_access_tokens_newest", "access_tokens", ["namespace", "created_at"])
    names = ("subject", "role", "action", "target", "outcome", "peer", "client_address", "request_id")
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("time", Instant(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in names),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_newest", "audit_log", ["namespace", "time", "id"])
    for statement in REFUSE_CHANGES[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("audit_log")
    op.drop_table("access_tokens")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION flow_audit_is_append_only()")


REFUSE_CHANGES = {
    "sqlite": [
        """
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE ON audit_log
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """
    ],
    "postgresql": [
        """
        CREATE FUNCTION flow_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
        """,
        """
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION flow_audit_is_append_only()
        """,
    ],
}
