"""Who in this process waits for news of which execution, or of any. Told after commits only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flow_engine.ids import ExecutionId


@dataclass(slots=True, eq=False)
class Listener:
    """Wakes when its execution has news; missing a wake-up is impossible, waking for nothing is not."""

    execution_id: ExecutionId
    cursor: int = 0  # the newest event that its owner has seen
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, timeout_seconds: float) -> bool:
        """Until there is news, or the time is over (False)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._news.wait()
        woken = self._news.is_set()
        self._news.clear()
        return woken

    def wake(self) -> None:
        self._news.set()


class Notifications:
    def __init__(self) -> None:
        self._listeners: dict[ExecutionId, set[Listener]] = {}
        self._to_all: set[Listener] = set()

    @contextmanager
    def listening(self, execution_id: ExecutionId, cursor: int = 0) -> Iterator[Listener]:
        """Begin before the first read: news between the two is then not lost."""
        listener = Listener(execution_id, cursor)
        self._listeners.setdefault(execution_id, set()).add(listener)
        try:
            yield listener
        finally:
            listeners = self._listeners[execution_id]
            listeners.discard(listener)
            if not listeners:
                del self._listeners[execution_id]

    @contextmanager
    def listening_to_all(self) -> Iterator[Listener]:
        """News of any execution."""
        listener = Listener(ExecutionId(""))
        self._to_all.add(listener)
        try:
            yield listener
        finally:
            self._to_all.discard(listener)

    def notify(self, execution_ids: Collection[ExecutionId]) -> None:
        for execution_id in execution_ids:
            for listener in self._listeners.get(execution_id, ()):
                listener.wake()
        if execution_ids:
            for listener in self._to_all:
                listener.wake()

    def wake_behind(self, sequences: dict[ExecutionId, int]) -> None:
        """Wake those who have not seen the newest event of their execution."""
        for execution_id, sequence in sequences.items():
            for listener in self._listeners.get(execution_id, ()):
                if listener.cursor < sequence:
                    listener.wake()

    def wake_all(self) -> None:
        for listeners in (*self._listeners.values(), self._to_all):
            for listener in listeners:
                listener.wake()

    @property
    def watched(self) -> frozenset[ExecutionId]:
        return frozenset(self._listeners)
