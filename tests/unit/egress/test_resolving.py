from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from flow_engine.egress import resolving
from flow_engine.egress.resolving import MOST_AT_ONCE, resolve


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("2130706433", ["127.0.0.1"]),
        ("0x7f.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("::ffff:1.2.3.4", ["::ffff:1.2.3.4"]),
    ],
)
async def test_addresses_ask_nobody(host: str, addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_threads(*_: Any, **__: Any) -> None:
        raise AssertionError("a name server is asked")

    monkeypatch.setattr(threading.Thread, "start", no_threads)
    assert await resolve(host, 80) == addresses


@pytest.mark.parametrize(
    "name", ["", "a\0b", "x" * 64 + ".example", ".", "a..b", "xn--\u00e9", "nowhere.invalid"]
)
async def test_what_is_no_name_is_an_unknown_one(name: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - of many kinds and texts
        await resolve(name, 80)


class SlowNames:
    """A name server that answers when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = threading.Semaphore(0)
        self.answer = threading.Event()
        self._real = resolving._looked_up
        monkeypatch.setattr(resolving, "_looked_up", self._look_up)

    def _look_up(self, host: str, port: int, flags: int) -> list[str]:
        if flags:
            raise socket.gaierror
        self.asked.release()
        self.answer.wait(20)
        return ["1.1.1.1"]


async def test_slow_names_hold_up_neither_the_loop_nor_more_than_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = SlowNames(monkeypatch)
    waiting = [asyncio.create_task(resolve(f"slow{n}.example", 80)) for n in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many names"):
        await resolve("one-more.example", 80)
    for _ in waiting:
        assert await asyncio.to_thread(names.asked.acquire, timeout=20)
    names.answer.set()
    assert await asyncio.gather(*waiting) == [["1.1.1.1"]] * MOST_AT_ONCE


async def test_who_gives_up_waits_for_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    names = SlowNames(monkeypatch)
    waiting = asyncio.create_task(resolve("slow.example", 80))
    assert await asyncio.to_thread(names.asked.acquire, timeout=20)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    names.answer.set()  # the answer that comes now is nobody's
