"""Time that tests move, and fakes where a whole persistence is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


class HandClock:
    """Stands still until `pass_`; a sleep passes its time at once."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds


def stand_in(fake: object) -> Any:
    """A fake that has what the test needs of a larger interface."""
    return fake
