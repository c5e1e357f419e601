"""What attempts use is theirs alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx

from flow_engine.egress.metered import MeteredTransport
from flow_engine.metering import Meter, Usage, called, metered, tokens


def burn(milliseconds: float) -> None:
    until = time.thread_time() + milliseconds / 1000
    while time.thread_time() < until:
        pass


async def test_attempts_side_by_side_do_not_count_for_one_another() -> None:
    async def work(milliseconds: float, calls: int) -> int:
        for _ in range(3):
            burn(milliseconds)
            called(calls=calls, bytes_out=10 * calls)
            await asyncio.sleep(0)
        return calls

    busy, idle = Meter(), Meter()
    done = await asyncio.gather(metered(work(10, 1), busy), metered(work(0, 2), idle))
    assert list(done) == [1, 2]
    assert (busy.outside_calls, idle.outside_calls, idle.bytes_out) == (3, 6, 60)
    assert busy.cpu_ns >= 30_000_000
    assert idle.cpu_ns < busy.cpu_ns / 2


async def test_failures_and_cancellations_pass_through() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it is")

    cleaned_up = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # cleaning up may await
            cleaned_up.append(True)

    results = await asyncio.gather(metered(fails(), Meter()), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError]
    task = asyncio.create_task(metered(waits(), Meter()))
    await asyncio.sleep(0)
    task.cancel()
    assert [type(result) for result in await asyncio.gather(task, return_exceptions=True)] == [
        asyncio.CancelledError
    ]
    assert cleaned_up


async def test_a_time_out_inside_ends_what_it_bounds() -> None:
    async def bounded() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        return "late"

    assert await metered(bounded(), Meter()) == "in time"


class Body(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x" * 1000


async def test_requests_are_counted_with_what_goes_out_and_comes_in() -> None:
    transport = MeteredTransport(httpx.MockTransport(lambda request: httpx.Response(200, stream=Body())))

    async def work() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            await client.post("http://a.example/", content=b"y" * 500)
        tokens(7, 5)

    meter = Meter()
    await metered(work(), meter)
    used = meter.usage()
    assert used is not None
    assert used.outside_calls == 1
    assert 500 < used.bytes_out < 1000
    assert used.bytes_in >= 1000
    assert (used.input_tokens, used.output_tokens) == (7, 5)
    assert used.peak_memory > 1 << 20


def test_what_is_not_worth_telling_is_not_told() -> None:
    assert Meter().usage() is None


def test_usages_add_up_and_memory_is_a_maximum() -> None:
    one, other = Usage(1, 100, 2, 3, 4, 5, 6), Usage(10, 50, 20, 30, 40, 50, 60)
    assert one.plus(other) == Usage(11, 100, 22, 33, 44, 55, 66)
