"""What a fault is, and what it may do while the load runs."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from tests.chaos.load import Load, Shape
from tests.chaos.oracle import Stream, Violation
from tests.chaos.stage import SHORT_LEASES, Plan, Stage, settings, until
from tests.infra.stack import ServiceProcess


class Void(Exception):
    """The fault did not happen as it should have: the round proves nothing."""


@dataclass(slots=True)
class Round:
    """A fault on a stage, under way."""

    stage: Stage
    load: Load
    chance: Random
    short: bool
    say: Callable[[str], None]
    struck: list[float] = field(default_factory=list)  # when, in seconds since 1970
    violations: list[Violation] = field(default_factory=list)  # that the fault found by itself
    streams: list[Stream] = field(default_factory=list)  # of clients of the fault's own
    remarks: list[str] = field(default_factory=list)  # for the table

    def times(self, short: int, long: int) -> range:
        return range(short if self.short else long)

    def violated(self, kind: str, what: str, execution_id: str = "") -> None:
        self.violations.append(Violation(kind, execution_id, what))

    async def pause(self, least: float, most: float) -> None:
        """A random moment within the load."""
        await asyncio.sleep(self.chance.uniform(least, most))

    async def until_under_way(self, seconds: float = 20.0) -> None:
        """Returns when another call has reached the witness: some step is under way. Raises Void."""
        calls = self.stage.witness.calls
        before = len(calls(f"/{self.load.tag}/"))
        if not await until(lambda: len(calls(f"/{self.load.tag}/")) > before, seconds, every=0.005):
            raise Void("no step got under way")

    async def busy_worker(self) -> ServiceProcess:
        """A worker that has executions. Raises Void."""
        worker = await self.stage.busiest_worker()
        if worker is None:
            raise Void("no worker had anything to do")
        return worker


class Fault(ABC):
    """One row of the table. Instances hold nothing between rounds.

    share: of the executions of a run, against 1.0 of others. repeats_allowed: whether it can put a step
    in doubt at all. refusals_allowed: whether starts may be refused meanwhile. recovery_seconds: the
    longest that any execution may take to move on after a blow; None where nothing is promised.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    databases: ClassVar[tuple[str, ...]] = ("sqlite", "postgresql")
    settings: ClassVar[Mapping[str, str]] = SHORT_LEASES
    between: ClassVar[frozenset[str]] = frozenset()
    executors: ClassVar[int] = 1
    workers: ClassVar[int] = 2
    gateways: ClassVar[int] = 1
    small_disk: ClassVar[bool] = False
    share: ClassVar[float] = 1.0
    seconds: ClassVar[tuple[float, float]] = (6.0, 20.0)  # of load: short form, long form
    long_only: ClassVar[bool] = False
    repeats_allowed: ClassVar[bool] = True
    refusals_allowed: ClassVar[bool] = True
    recovery_seconds: ClassVar[float | None] = None
    quiet_seconds: ClassVar[float] = 60.0

    def plan(self, database: str) -> Plan:
        return Plan(
            database,
            settings(self.settings),
            self.between,
            self.workers,
            self.small_disk,
            self.executors,
            self.gateways,
        )

    def shape(self, count: int, short: bool) -> Shape:
        return Shape(count, self.seconds[0 if short else 1])

    @abstractmethod
    async def inject(self, round_: Round) -> None:
        """Do it, with the load running, and leave the stage whole. Raises Void."""

    async def check(self, round_: Round) -> None:  # noqa: B027 (most have nothing to add)
        """After quiet: what the oracle cannot see. Adds violations to the round."""
