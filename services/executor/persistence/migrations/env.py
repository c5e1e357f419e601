"""Run by Alembic. The connection comes from `migrating`, which also holds the lock."""

from __future__ import annotations

from alembic import context

from services.executor.persistence.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes tables by copying them.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
