"""Work on many things lets others go on."""

from __future__ import annotations

import asyncio

import pytest

from services.executor.stats import unhurried as module
from services.executor.stats.unhurried import unhurried


async def test_others_go_on_between_any_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    told: list[str] = []

    async def others() -> None:
        while True:
            told.append("others")
            await asyncio.sleep(0)

    going = asyncio.create_task(others())
    async for item in unhurried("abc"):
        told.append(item)
    going.cancel()
    a, b, c = (told.index(item) for item in "abc")
    assert "others" in told[a:b]
    assert "others" in told[b:c]


async def test_little_is_done_at_once() -> None:
    assert not [item async for item in unhurried("")]
    assert [item async for item in unhurried([1, 2, 3])] == [1, 2, 3]
