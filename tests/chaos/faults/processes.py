"""Processes are killed, frozen, or told to stop."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import ClassVar

from tests.chaos.cases import Case, deadly, held_call, some_case
from tests.chaos.fault import Fault, Round, Void
from tests.chaos.load import Shape
from tests.chaos.stage import LONG_LEASES
from tests.infra.stack import ServiceProcess


class WorkerKilled(Fault):
    name = "worker-killed"
    summary = "kill -9 of the busiest worker while it is in the middle of steps, again and again"
    recovery_seconds = 5.0

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        for _ in round_.times(2, 5):
            await round_.pause(0.5, 1.5)
            victim = await round_.busy_worker()
            round_.struck.append(await stage.kill(victim))
            round_.say(f"killed {victim.name}")
            await stage.restart(victim)

    async def check(self, round_: Round) -> None:
        if not round_.struck:
            raise Void("nobody was killed")


class WorkerKilledAtDefaults(WorkerKilled):
    name = "worker-killed-at-defaults"
    summary = "the same with the leases that are the default"
    settings: ClassVar = {}
    recovery_seconds = 35.0
    long_only = True
    databases = ("postgresql",)
    share = 0.5
    quiet_seconds = 90.0

    async def inject(self, round_: Round) -> None:
        await round_.pause(1.0, 2.0)
        victim = await round_.busy_worker()
        round_.struck.append(await round_.stage.kill(victim))
        round_.say(f"killed {victim.name}")
        await round_.stage.restart(victim)


class ExecutorKilled(Fault):
    name = "executor-killed"
    summary = "kill -9 of the executor with starts and streams open, again and again"

    def shape(self, count: int, short: bool) -> Shape:
        return Shape(count, self.seconds[0 if short else 1], watched=0.7)

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        for _ in round_.times(2, 5):
            await round_.pause(0.3, 1.5)
            await round_.until_under_way()
            round_.struck.append(await stage.kill(stage.executor))
            round_.say("killed the executor")
            await round_.pause(0.0, 0.5)
            await stage.restart(stage.executor)


class GatewayKilled(Fault):
    name = "gateway-killed"
    summary = "kill -9 of the gateway in the middle of POSTs that are repeated with the same key"
    settings = LONG_LEASES
    repeats_allowed = False

    def shape(self, count: int, short: bool) -> Shape:
        return Shape(count, self.seconds[0 if short else 1], watched=0.5, modes=("auto", "immediate"))

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        for _ in round_.times(2, 6):
            await round_.pause(0.3, 1.0)
            await round_.until_under_way()
            round_.struck.append(await stage.kill(stage.gateway))
            round_.say("killed the gateway")
            await stage.restart(stage.gateway)

    async def check(self, round_: Round) -> None:
        if not any(reason.startswith("no answer") for reason in round_.load.refusals):
            raise Void("no POST was under way when the gateway was killed")


class ReplicaKilled(Fault):
    name = "replica-killed"
    summary = "kill -9 of one of two executors, three workers and two gateways in turn, behind round robin"
    databases = ("postgresql",)
    executors, workers, gateways = 2, 3, 2

    def shape(self, count: int, short: bool) -> Shape:
        return Shape(count, self.seconds[0 if short else 1], watched=0.5)

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        for number in round_.times(1, 4):
            restarts = []
            try:
                for replicas in (stage.executors, stage.workers, stage.gateways):
                    await round_.pause(0.3, 1.0)
                    victim = await self._chosen(round_, replicas, number)
                    round_.struck.append(await stage.kill(victim))
                    round_.say(f"killed {victim.name}")
                    # The others carry on meanwhile.
                    restarts.append(asyncio.create_task(stage.restart(victim)))
            finally:
                await asyncio.gather(*restarts)

    async def _chosen(self, round_: Round, replicas: list[ServiceProcess], number: int) -> ServiceProcess:
        if replicas is round_.stage.workers:
            return await round_.busy_worker()
        await round_.until_under_way()
        return replicas[number % len(replicas)]

    async def check(self, round_: Round) -> None:
        stage = round_.stage
        for balancer in stage.balancers:
            if not all(balancer.connections):
                raise Void("a replica was never connected to")
        records = await asyncio.to_thread(stage.records.of_tag, round_.load.tag)
        runners = {
            event["workerId"]
            for record in records.values()
            for event in record.events
            if event["type"] == "execution.claimed"
        }
        if len(runners) < len(stage.workers):
            raise Void("a worker never had anything to do")


class WorkerFrozen(Fault):
    name = "worker-frozen"
    summary = "SIGSTOP of a worker until others have taken its executions, then SIGCONT"
    seconds = (8.0, 20.0)

    def shape(self, count: int, short: bool) -> Shape:
        def make(chance: Random, witness_url: str, path: str) -> Case:
            """Every third runs long enough for a zombie to come back while another runs it."""
            maker = held_call if int(path.rpartition("/")[2]) % 3 == 0 else some_case
            return maker(chance, witness_url, path)

        return Shape(count, self.seconds[0 if short else 1], case=make)

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        for _ in round_.times(2, 3):
            await round_.pause(0.5, 1.5)
            victim = await round_.busy_worker()
            round_.struck.append(stage.freeze(victim))
            round_.say(f"froze {victim.name}")
            try:
                await self._until_it_lost_everything(round_, victim)
            finally:
                stage.thaw(victim)
            round_.say(f"thawed {victim.name}")

    async def _until_it_lost_everything(self, round_: Round, victim: ServiceProcess) -> None:
        held = 0
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            owners = await asyncio.to_thread(round_.stage.records.owners)
            held = max(held, owners.get(victim.address, 0))
            if held and victim.address not in owners:
                return
            await asyncio.sleep(0.05)
        raise Void("the frozen worker " + ("kept its leases" if held else "had nothing to lose"))

    async def check(self, round_: Round) -> None:
        if not any(
            "lease.lost" in round_.stage.log(worker) or "execution.dropped" in round_.stage.log(worker)
            for worker in round_.stage.workers
        ):
            raise Void("no worker noticed that it had lost a lease")


class SigtermUnderLoad(Fault):
    name = "sigterm-under-load"
    summary = "SIGTERM to worker, executor and gateway in turn: each exits 0 in time, and no step runs twice"
    settings: ClassVar = {**LONG_LEASES, "FLOW_SHUTDOWN_GRACE_SECONDS": "10"}
    repeats_allowed = False
    grace_seconds = 10.0

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        for _ in round_.times(1, 2):
            for process in (stage.workers[0], stage.executor, stage.gateway, stage.workers[1]):
                await round_.pause(0.3, 0.8)
                if process in stage.workers:
                    await round_.until_under_way()
                await self._ask_to_stop(round_, process)
                await stage.restart(process)

    async def _ask_to_stop(self, round_: Round, process: ServiceProcess) -> None:
        asked = time.monotonic()
        round_.struck.append(time.time())
        try:
            code = await asyncio.to_thread(process.stop, 3 * self.grace_seconds)
        except AssertionError:
            round_.violated("history", f"{process.name} did not stop within {3 * self.grace_seconds:g} s")
            return
        took = time.monotonic() - asked
        round_.say(f"{process.name} exited {code} after {took:.1f} s")
        if code != 0:
            round_.violated("history", f"{process.name} exited {code} on SIGTERM")
        if took > self.grace_seconds + 2.0:
            round_.violated("history", f"{process.name} took {took:.1f} s to stop")


class PoisonWorkflow(Fault):
    name = "poison-workflow"
    summary = "workflows that kill their worker each time fail with WORKER_LOST, and all others complete"
    seconds = (6.0, 15.0)
    deaths = 3  # that one of them may cost

    def shape(self, count: int, short: bool) -> Shape:
        def make(chance: Random, witness_url: str, path: str) -> Case:
            number = int(path.rpartition("/")[2])
            return (deadly if number in (5, 25) else some_case)(chance, witness_url, path)

        return Shape(count, self.seconds[0 if short else 1], case=make)

    async def inject(self, round_: Round) -> None:
        stage, died = round_.stage, 0
        quiet_since = time.monotonic()
        while not round_.load.all_started or time.monotonic() - quiet_since < 8.0:
            for worker in stage.workers:
                moment = time.time()
                if await stage.revive(worker):
                    died += 1
                    quiet_since = time.monotonic()
                    round_.struck.append(moment)
                    round_.say(f"{worker.name} was killed by what it ran")
            await asyncio.sleep(0.05)
        poison = sum(start.case.kind == "deadly" for start in round_.load.acknowledged)
        round_.remarks.append(f"{poison} poison workflows killed {died} workers, then a process of their own")
        if not poison or not died:
            raise Void("no poison was taken")
        if died > self.deaths * poison:
            round_.violated("history", f"{poison} poison workflows killed {died} workers")


FAULTS: tuple[Fault, ...] = (
    WorkerKilled(),
    WorkerKilledAtDefaults(),
    ExecutorKilled(),
    GatewayKilled(),
    ReplicaKilled(),
    WorkerFrozen(),
    SigtermUnderLoad(),
    PoisonWorkflow(),
)
