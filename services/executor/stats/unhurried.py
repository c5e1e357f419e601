"""Work on many things that must not keep others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

TURN_SECONDS = 0.002
PAUSE_SECONDS = 0.008
"""Long enough for a call to get through all that it does in the event loop, turn by turn."""


async def unhurried(items: Iterable[T]) -> AsyncIterator[T]:
    """All of them, with a pause after each few milliseconds: nobody waits for longer than one more takes."""
    pause_at = perf_counter() + TURN_SECONDS
    for item in items:
        yield item
        if perf_counter() >= pause_at:
            await asyncio.sleep(PAUSE_SECONDS)
            pause_at = perf_counter() + TURN_SECONDS
