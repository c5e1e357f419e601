"""Keep schedules, what became of their slots, and webhooks.

Revision: 0017
After: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

DUE = sa.text("status = 'due'")


INSTANT = sa.DateTime(timezone=True)


def text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, INSTANT, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "schedules",
        *map(text, ("namespace", "id", "workflow_id")),
        whole("workflow_version"),
        *map(text, ("cron", "time_zone", "input", "mode")),
        whole("priority"),
        text("tags"),
        *map(whole, ("catch_up", "jitter_seconds")),
        text("overlap"),
        flag("paused"),
        *map(instant, ("created_at", "updated_at", "decided_until")),
        instant("next_at", nullable=True),
        sa.PrimaryKeyConstraint("namespace", "id", name=op.f("pk_schedules")),
        sa.CheckConstraint(
            "overlap IN ('', 'allow', 'reject', 'use_existing', 'cancel_existing')",
            name=op.f("ck_schedules_overlap"),
        ),
        sa.CheckConstraint("mode IN ('auto', 'immediate', 'queued')", name=op.f("ck_schedules_mode")),
    )
    op.create_index("ix_schedules_next", "schedules", ["next_at"], unique=False)
    op.create_table(
        "schedule_slots",
        *map(text, ("namespace", "schedule_id")),
        *map(instant, ("slot_at", "fire_at")),
        *map(text, ("status", "execution_id", "reason")),
        flag("manual"),
        instant("taken_until", nullable=True),
        whole("tries"),
        instant("decided_at"),
        sa.PrimaryKeyConstraint("namespace", "schedule_id", "slot_at", name=op.f("pk_schedule_slots")),
        sa.ForeignKeyConstraint(
            ["namespace", "schedule_id"],
            ["schedules.namespace", "schedules.id"],
            name=op.f("fk_schedule_slots"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "status IN ('due', 'started', 'skipped', 'failed')", name=op.f("ck_schedule_slots_status")
        ),
    )
    op.create_index(
        "ix_schedule_slots_due",
        "schedule_slots",
        ["fire_at"],
        unique=False,
        postgresql_where=DUE,
        sqlite_where=DUE,
    )
    op.create_table(
        "webhooks",
        *map(text, ("path", "namespace", "workflow_id")),
        whole("workflow_version"),
        text("mode"),
        whole("priority"),
        text("tags"),
        whole("wait_ms"),
        flag("signed"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        flag("paused"),
        *map(instant, ("created_at", "updated_at")),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_webhooks")),
        sa.CheckConstraint("mode IN ('auto', 'immediate', 'queued')", name=op.f("ck_webhooks_mode")),
    )
    op.create_index("ix_webhooks_of_namespace", "webhooks", ["namespace", "path"], unique=False)


def downgrade() -> None:
    for table in ("webhooks", "schedule_slots", "schedules"):
        op.drop_table(table)
