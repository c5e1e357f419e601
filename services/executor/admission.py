"""Lets executions in from the lines of their keys: slots that came free, periods that went by.

Looks at a line as soon as a commit here may have made room, and when a rate allows the next. Every few
seconds it also goes through all lines, for what happened while the executor that should have looked died.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from flow_engine.clock import Clock
from flow_engine.looping import Looping
from services.executor.persistence.admission import Admitted
from services.executor.persistence.row import Line

INTERVAL_SECONDS = 2.0
NET_SECONDS = 4.0
"""Between two looks at lines that nobody told of."""
LINES_AT_ONCE = 500
LEAST_SECONDS = 0.005
FIRST_LINE = Line("", "", "")


class Lines(Protocol):
    async def admit(self, line: Line) -> Admitted: ...
    async def lines_of(self, namespace: str, slot: str) -> list[Line]: ...
    async def lines_with_room(self, after: Line, limit: int) -> tuple[list[Line], Line | None]: ...


class Admission(Looping):
    """admitted: called when executions may be claimed that could not before."""

    def __init__(self, lines: Lines, admitted: Callable[[], None], clock: Clock) -> None:
        super().__init__(INTERVAL_SECONDS)
        self._lines = lines
        self._admitted = admitted
        self._clock = clock
        self._open: dict[Line, None] = {}  # to be looked at, in the order of asking
        self._due: dict[Line, float] = {}  # when a rate allows the next, by the monotonic clock
        self._reached = FIRST_LINE
        self._net_at = clock.monotonic()

    def opened(self, lines: Collection[Line]) -> None:
        """Somebody may be admitted from these. Never blocks."""
        self._open.update(dict.fromkeys(lines))
        self.hint()

    async def turn(self) -> None:
        now = self._clock.monotonic()
        for line in [line for line, due in self._due.items() if due <= now]:
            del self._due[line]
            self._open[line] = None
        while self._open:
            line = next(iter(self._open))
            await self._look(line)
        if now >= self._net_at:
            self._net_at = now + NET_SECONDS
            await self._cast_net()
        self.interval_seconds = self._pause()

    async def _look(self, line: Line) -> None:
        # Before the look: what happens during it asks for another one.
        self._open.pop(line, None)
        try:
            if line.rate is None:
                self._open.update(dict.fromkeys(await self._lines.lines_of(line.namespace, line.slot)))
                return
            answer = await self._lines.admit(line)
        except BaseException:
            self._open[line] = None
            raise
        if answer.execution_ids:
            self._admitted()
        if answer.next_in_seconds is not None:
            self._due[line] = self._clock.monotonic() + answer.next_in_seconds

    async def _cast_net(self) -> None:
        lines, reached = await self._lines.lines_with_room(self._reached, LINES_AT_ONCE)
        self._reached = reached or FIRST_LINE
        for line in lines:
            await self._look(line)

    def _pause(self) -> float:
        left = min(self._due.values(), default=float("inf")) - self._clock.monotonic()
        return min(INTERVAL_SECONDS, max(left, LEAST_SECONDS))
