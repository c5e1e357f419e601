"""Connections to the executor are cut, reset, slowed down and swallowed."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from tests.chaos.fault import Fault, Round, Void


class ExecutorCut(Fault):
    name = "executor-connections"
    summary = "connections of gateway and workers to the executor are cut, reset and delayed at random"
    between: ClassVar = frozenset({"executor"})

    async def inject(self, round_: Round) -> None:
        proxy, broken = round_.stage.proxies["executor"], 0
        for _ in round_.times(8, 40):
            await round_.pause(0.1, 0.6)
            round_.struck.append(time.time())
            match round_.chance.choice(("cut", "reset", "delay")):
                case "cut":
                    broken += proxy.cut()
                case "reset":
                    broken += proxy.reset()
                case _:
                    proxy.delay_seconds = round_.chance.uniform(0.01, 0.2)
                    await asyncio.sleep(0.3)
                    proxy.delay_seconds = 0.0
        round_.remarks.append(f"{broken} connections were broken")
        if not broken:
            raise Void("no connection was broken")


class ExecutorBlackholed(Fault):
    name = "executor-blackholed"
    summary = "nothing comes through between the executor and the others for longer than a lease"
    between: ClassVar = frozenset({"executor"})
    seconds = (8.0, 24.0)

    async def inject(self, round_: Round) -> None:
        proxy = round_.stage.proxies["executor"]
        for _ in round_.times(1, 3):
            await round_.pause(0.3, 1.0)
            await round_.busy_worker()
            round_.struck.append(time.time())
            proxy.blackhole()
            round_.say("the executor is in a black hole")
            try:
                await round_.pause(4.0, 6.0)
            finally:
                proxy.heal()
            round_.say("the executor is back")


FAULTS: tuple[Fault, ...] = (ExecutorCut(), ExecutorBlackholed())
