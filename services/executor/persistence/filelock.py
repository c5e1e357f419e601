"""One executor per SQLite file: a lock beside it that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class DatabaseInUse(Exception):
    """Another executor has this SQLite database open."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another executor uses {path}; SQLite serves one at a time, PostgreSQL (DATABASE_URL) any number"
        )
        self.path = path


class FileLock:
    """Held from `acquire` to `release`. The file stays: removing it would let two hold two."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises DatabaseInUse."""
        if self._descriptor is not None:
            return
        self._database.parent.mkdir(parents=True, exist_ok=True)
        path = self._database.with_name(self._database.name + ".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DatabaseInUse(self._database) from None
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
