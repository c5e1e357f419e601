"""Log files of child processes: kept small, quoted on failure, followed on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

MOST_BYTES = 16 << 20
TAIL_LINES = 12
TAIL_BYTES = 64 << 10
FOLLOW_SECONDS = 0.1


def opened_at(log: Path) -> int:
    """Where the next line will stand. A log that has grown too large is moved over the one before it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if size_of(log) > MOST_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return size_of(log)


def size_of(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def tail(log: Path, since: int = 0) -> list[str]:
    """The last lines written after byte `since`."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(since, size_of(log) - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-TAIL_LINES:]


async def follow(log: Path, show: Callable[[str], None]) -> None:
    """Show every line from now on, until cancelled."""
    position, rest = size_of(log), b""
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        size = size_of(log)
        position = position if size >= position else 0  # it was moved aside
        if size == position:
            continue
        with log.open("rb") as file:
            file.seek(position)
            data = file.read()
        position += len(data)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            show(line.decode(errors="replace"))
