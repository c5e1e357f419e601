"""The database is brought to its schema by a child process, while this one imports what it serves with.

What migrates, Alembic and all that it makes of tables, is a tenth of an executor's memory, and goes with the
child. Nothing depends on the child: whatever it did not do the executor does, and whatever is wrong the
executor meets and tells.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flow_engine.tether import die_with_parent
from services.executor.settings import Settings

STOPS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def migrated_ahead(settings: Settings) -> Iterator[None]:
    """Left once the child has ended. Before anything that makes threads: those a child would not have."""
    if sys.platform == "win32" or not (settings.sqlite or settings.migrate):
        yield
        return
    from services.executor.persistence.migrating import migrate, prepare

    # A migration that has begun is let end, by whoever asks us to stop.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            die_with_parent(parent, signal.SIGKILL)
            (prepare if settings.sqlite else migrate)(settings.database_url)
        os._exit(0)
    try:
        yield
    finally:
        os.waitpid(child, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
