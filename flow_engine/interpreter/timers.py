"""What a run waits for by the clock: remaining spans on the monotonic clock, since wall clocks jump."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from itertools import count
from math import inf

from flow_engine.interpreter.commands import StepId


@dataclass(frozen=True, slots=True)
class Timer:
    """One time that may come. It is nobody's business any more when the step is at another attempt then."""

    kind: str  # waiting, retrying, container, deadline
    step: StepId = ("", ())
    attempt: int = 0


@dataclass(slots=True)
class Timers:
    _heap: list[tuple[float, int, Timer]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def hold(self, seconds: float, timer: Timer) -> None:
        """It is due in so many seconds from now; at once if that is negative."""
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), timer))

    def seconds_left(self) -> float:
        """Until the earliest; infinite if there is none."""
        return self._heap[0][0] - time.monotonic() if self._heap else inf

    def take_due(self) -> Timer | None:
        """The earliest, if its time has come."""
        return heapq.heappop(self._heap)[2] if self.seconds_left() <= 0 else None
