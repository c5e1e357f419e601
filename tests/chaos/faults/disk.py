"""The disk under SQLite is full for a while."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Callable

from tests.chaos.fault import Fault, Round, Void
from tests.chaos.stage import Stage


class DiskFull(Fault):
    """On a tmpfs of 16 MiB that a file of ours fills; where no file system may be mounted, a limit on the
    size of the executor's files takes its place: SQLite then cannot write behind the file's present end."""

    name = "disk-full"
    summary = "no room for SQLite to write: starts are refused, nothing is half written, and it heals"
    databases = ("sqlite",)
    small_disk = True
    seconds = (8.0, 25.0)

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        limited = "RLIMIT_FSIZE, since no file system can be mounted here"
        round_.remarks.append(f"by {'a full tmpfs of 16 MiB' if stage.disk_is_mounted else limited}")
        for _ in round_.times(1, 3):
            await round_.pause(1.0, 2.0)
            await round_.until_under_way()
            round_.struck.append(time.time())
            heal = await asyncio.to_thread(fill if stage.disk_is_mounted else limit, stage)
            round_.say("the disk is full")
            try:
                await asyncio.sleep(3.0 if round_.short else 5.0)
            finally:
                heal()
            round_.say("there is room again")

    async def check(self, round_: Round) -> None:
        log = round_.stage.log(round_.stage.executor)
        if "database or disk is full" not in log and "disk I/O error" not in log:
            raise Void("SQLite never noticed")


def fill(stage: Stage) -> Callable[[], None]:
    """Write until nothing more fits; the function returned makes room again."""
    ballast = stage.disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return ballast.unlink


def limit(stage: Stage) -> Callable[[], None]:
    """No file of the executor may grow beyond the size of its database's files now."""
    pid = stage.executor.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in stage.disk.iterdir())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def lift() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    return lift


FAULTS: tuple[Fault, ...] = (DiskFull(),)
