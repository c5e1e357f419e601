"""Redis dies, forgets, or stops answering. It only rings the bell: nothing is refused, nothing repeated."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import ClassVar

from tests.chaos.fault import Fault, Round
from tests.chaos.stage import LONG_LEASES


class RedisFault(Fault):
    settings = LONG_LEASES
    repeats_allowed = False
    refusals_allowed = False


class RedisKilled(RedisFault):
    name = "redis-killed"
    summary = "kill -9 of Redis, back a moment later with its append-only file"

    async def inject(self, round_: Round) -> None:
        for _ in round_.times(2, 5):
            await round_.pause(0.3, 1.0)
            await self._kill(round_)
            await round_.pause(0.5, 2.0)
            await self._prepare(round_)
            await round_.stage.valkey.start()

    async def _kill(self, round_: Round) -> None:
        await round_.until_under_way()
        round_.struck.append(time.time())
        await asyncio.to_thread(round_.stage.valkey.kill)
        round_.say("killed Redis")

    async def _prepare(self, round_: Round) -> None:
        pass


class RedisForgets(RedisKilled):
    name = "redis-forgets"
    summary = "kill -9 of Redis, back a moment later with nothing"
    recovery_seconds = 20.0

    async def _prepare(self, round_: Round) -> None:
        await asyncio.to_thread(shutil.rmtree, round_.stage.valkey.data)
        round_.stage.valkey.data.mkdir()


class RedisBlackholed(RedisFault):
    name = "redis-blackholed"
    summary = "nothing comes through to Redis or from it for a minute (8 s in the short form)"
    between: ClassVar = frozenset({"redis"})
    seconds = (10.0, 60.0)

    async def inject(self, round_: Round) -> None:
        proxy = round_.stage.proxies["redis"]
        await round_.pause(0.5, 1.0)
        await round_.until_under_way()
        round_.struck.append(time.time())
        proxy.blackhole()
        round_.say("Redis is in a black hole")
        try:
            await asyncio.sleep(8.0 if round_.short else 60.0)
        finally:
            proxy.heal()
        round_.say("Redis is back")
        await round_.pause(0.5, 1.0)
        proxy.reset()


FAULTS: tuple[Fault, ...] = (RedisKilled(), RedisForgets(), RedisBlackholed())
