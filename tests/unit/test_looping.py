from __future__ import annotations

import asyncio

from flow_engine.errors import Unavailable
from flow_engine.looping import Looping


class Counting(Looping):
    def __init__(self) -> None:
        super().__init__(3600.0)
        self.turns = 0
        self.turned = asyncio.Event()
        self.broken = False

    async def turn(self) -> None:
        self.turns += 1
        self.turned.set()
        if self.broken:
            raise RuntimeError("broken")


async def next_turn(loop: Counting) -> None:
    loop.turned.clear()
    loop.hint()
    async with asyncio.timeout(5):
        await loop.turned.wait()


async def test_a_hint_brings_the_next_turn_at_once() -> None:
    loop = Counting()
    await loop.start()
    for _ in range(3):
        await next_turn(loop)
    await loop.stop()
    assert loop.turns >= 3


async def test_a_failed_turn_is_repeated() -> None:
    loop = Counting()
    loop.broken = True
    await loop.start()
    await next_turn(loop)
    await next_turn(loop)
    await loop.stop()


async def test_a_hint_and_a_stop_at_the_same_moment_stop_it() -> None:
    for _ in range(20):
        loop = Counting()
        await loop.start()
        await next_turn(loop)
        loop.hint()
        async with asyncio.timeout(5):
            await loop.stop()


async def test_a_stop_ends_it_even_when_its_turn_swallows_the_cancellation() -> None:
    class Deaf(Looping):
        def __init__(self) -> None:
            super().__init__(interval_seconds=60)
            self.listening = asyncio.Event()
            self.turns = 0

        async def turn(self) -> None:
            self.turns += 1
            self.listening.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise Unavailable("the connection broke at the same moment") from None

    loop = Deaf()
    await loop.start()
    await loop.listening.wait()
    await loop.stop()
    assert loop.turns == 1
