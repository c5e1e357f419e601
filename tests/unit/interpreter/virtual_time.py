"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import Any

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
"""What the database's clock shows when a loop begins."""


class Stuck(Exception):
    """Nothing is scheduled and nothing can ever happen: what is being tested hangs."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that does no I/O. `run` raises Stuck where a real loop would sleep for ever."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass while nothing runs."""
        self._now += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise Stuck("every task waits for another one")
            self._loop.advance(timeout)
        return found


class LoopTime:
    """Stands in for the `time` module where code reads the monotonic clock."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


def database_now() -> datetime:
    """The database's clock, which keeps pace with the loop's."""
    return BIRTH + timedelta(seconds=asyncio.get_running_loop().time())


def advance(seconds: float) -> None:
    """Let time pass for the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.advance(seconds)
