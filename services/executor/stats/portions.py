"""Work on many things that must not keep others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")

PORTION = 20
PAUSE_SECONDS = 0.005
"""Long enough for a call to get through all that it does in the event loop, turn by turn."""


async def in_portions(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """All of them, a few at a time, with a pause after each few: nobody waits for more than one portion."""
    for first in range(0, len(items), PORTION):
        if first:
            await asyncio.sleep(PAUSE_SECONDS)
        yield items[first : first + PORTION]
