"""The data folder: one stack at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.cli.errors import BadConfiguration

PATIENCE_SECONDS = 3.0  # the children of a stack that was killed need a moment to end
POLL_SECONDS = 0.05


@contextmanager
def held(data_dir: Path) -> Iterator[int]:
    """Hold the folder, and give the descriptor that holds it: whoever inherits it holds on as well.

    Raises BadConfiguration when the folder is held already or cannot be made.
    """
    try:
        (data_dir / "run").mkdir(parents=True, exist_ok=True)
        (data_dir / "run").chmod(0o700)
        lock = (data_dir / "run" / "flow.lock").open("a+")
    except OSError as error:
        raise BadConfiguration(f"cannot use the data folder {data_dir}: {error.strerror}") from error
    with lock:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                raise BadConfiguration(
                    f"another `flow up` (process {owner}) runs on {data_dir}; stop that one, "
                    "or choose another folder with --data or FLOW_DATA_DIR"
                )
            time.sleep(POLL_SECONDS)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
