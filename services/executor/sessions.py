"""The workers that hold a session with this executor, and what is pushed to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from flow_engine.clock import Clock
from services.executor.persistence.contract import Nudged
from services.executor.persistence.operations import WorkerWord

REPEAT_SECONDS = 2.0
"""A nudge that the runner has not acted on is pushed again after this long."""


@dataclass(slots=True, eq=False)
class Session:
    """One worker process. `word` is what it said of itself last."""

    word: WorkerWord
    _pushed: dict[str, tuple[int, float]] = field(default_factory=dict)
    _queue: asyncio.Queue[tuple[Nudged, ...]] = field(default_factory=asyncio.Queue)

    @property
    def worker_id(self) -> str:
        return self.word.worker_id

    def push(self, nudges: Iterable[Nudged], now: float) -> None:
        """Each news of an execution once, and again while the worker does not act."""
        fresh = tuple(nudge for nudge in nudges if self._is_fresh(nudge, now))
        if fresh:
            self._pushed = {
                **{id_: seen for id_, seen in self._pushed.items() if now - seen[1] < REPEAT_SECONDS},
                **{nudge.execution_id: (nudge.foreign_sequence, now) for nudge in fresh},
            }
            self._queue.put_nowait(fresh)

    def _is_fresh(self, nudge: Nudged, now: float) -> bool:
        sequence, at = self._pushed.get(nudge.execution_id, (0, now))
        return nudge.foreign_sequence > sequence or now - at >= REPEAT_SECONDS

    async def next(self) -> tuple[Nudged, ...]:
        """The next nudges; empty when the session is to end."""
        return await self._queue.get()

    def end(self) -> None:
        self._queue.put_nowait(())


class Sessions:
    """Live sessions by worker id. A worker that comes back replaces its old session."""

    def __init__(self, clock: Clock) -> None:
        self.changed: Callable[[], None] = lambda: None  # called when a worker has come or gone
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def open(self, session: Session) -> None:
        old = self._sessions.get(session.worker_id)
        if old is not None:
            old.end()
        self._sessions[session.worker_id] = session
        self.changed()

    def close(self, session: Session) -> None:
        if self._sessions.get(session.worker_id) is session:
            del self._sessions[session.worker_id]
            self.changed()

    def push(self, nudges: Mapping[str, Iterable[Nudged]]) -> None:
        """nudges: by worker id."""
        now = self._clock.monotonic()
        for worker_id, items in nudges.items():
            session = self._sessions.get(worker_id)
            if session is not None:
                session.push(items, now)

    def end_all(self) -> None:
        for session in self._sessions.values():
            session.end()

    @property
    def worker_ids(self) -> frozenset[str]:
        return frozenset(self._sessions)

    @property
    def free_slots(self) -> int:
        return sum(session.word.free_slots for session in self._sessions.values())

    @property
    def least_room(self) -> int:
        """Free slots of the worker that has fewest, of those that have some; 0 where none has."""
        free = (session.word.free_slots for session in self._sessions.values())
        return min(filter(None, free), default=0)

    def words(self) -> list[WorkerWord]:
        return [session.word for session in self._sessions.values()]
