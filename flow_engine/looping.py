"""A component that does the same small thing again and again beside the calls."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Any

import structlog

from flow_engine.errors import Unavailable

log = structlog.get_logger()

CANCEL_AGAIN_SECONDS = 0.5
LAST_TURN_SECONDS = 1.0
"""A turn that is under way has so long to end by itself: a database driver that is cancelled in the middle of
a statement may never come back."""


class Looping(ABC):
    """Calls `turn` every `interval_seconds`, and at once after `hint`. A failed turn is told and repeated."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._hinted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._stopping = asyncio.Event()

    @abstractmethod
    async def turn(self) -> None: ...

    async def start(self) -> None:
        if self._task is None:
            self._stopping.clear()
            self._task = asyncio.create_task(self._loop(), name=type(self).__name__)

    async def stop(self) -> None:
        """Safe to repeat. A turn that is under way is cancelled unless it ends soon."""
        task, self._task = self._task, None
        if task:
            self._stopping.set()
            self._hinted.set()
            await asyncio.wait([task], timeout=LAST_TURN_SECONDS)
            await put_down(task)

    def hint(self) -> None:
        """Take the next turn now. From the event loop's thread."""
        self._hinted.set()

    async def _loop(self) -> None:
        while not self._stopping.is_set():
            self._hinted.clear()
            await self._turn()
            if self._stopping.is_set():
                return
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`: on Python 3.11 that loses a cancellation that comes together with a hint.
                async with asyncio.timeout(self.interval_seconds):
                    await self._hinted.wait()

    async def _turn(self) -> None:
        try:
            await self.turn()
        except Exception as error:
            if not self._failing:  # once an outage, not once a turn
                known = isinstance(error, Unavailable)
                event = "loop.unavailable" if known else "loop.failed"
                log.error(
                    event, loop=type(self).__name__, error=str(error), exc_info=None if known else error
                )
            self._failing = True
            self.failed(error)
        else:
            self._failing = False

    def failed(self, error: Exception) -> None:  # noqa: B027 - most have nothing more to do
        """Told of each failed turn."""


async def put_down(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended.

    Drivers swallow a cancellation when an error comes at the same moment, so it is repeated.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)
