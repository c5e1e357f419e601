from __future__ import annotations

import asyncio

import pytest

from services.gateway.sharing import Shared


async def test_who_asks_while_an_answer_is_under_way_gets_the_same_one() -> None:
    shared: Shared[int] = Shared()
    asked = []
    come = asyncio.Event()

    async def ask() -> int:
        asked.append(1)
        await come.wait()
        return len(asked)

    first, gone, other = (asyncio.create_task(shared.ask(key, ask)) for key in ("a", "a", "b"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    come.set()
    assert [await first, await other, len(asked)] == [2, 2, 2]
    assert await shared.ask("a", ask) == 3, "an answer is not kept"


async def test_all_hear_of_a_failure_and_the_next_one_asks_again() -> None:
    shared: Shared[int] = Shared()

    async def fail() -> int:
        raise LookupError

    async def answer() -> int:
        return 1

    for waiting in [asyncio.create_task(shared.ask("a", fail)) for _ in range(2)]:
        with pytest.raises(LookupError):
            await waiting
    assert await shared.ask("a", answer) == 1
