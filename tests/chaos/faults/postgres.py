"""PostgreSQL crashes, and answers of commits get lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import ClassVar

from tests.chaos.cases import slow_calls
from tests.chaos.fault import Fault, Round, Void
from tests.chaos.load import Shape
from tests.chaos.proxy import Action, Link
from tests.chaos.stage import until


class PostgresCrashes(Fault):
    name = "postgresql-crashes"
    summary = "PostgreSQL stopped with `immediate` and started again, every few seconds"
    databases = ("postgresql",)
    seconds = (8.0, 40.0)

    async def inject(self, round_: Round) -> None:
        cluster = round_.stage.cluster
        assert cluster is not None
        for _ in round_.times(2, 6):
            await round_.pause(1.0, 4.0)
            round_.struck.append(time.time())
            await asyncio.to_thread(cluster.crash)
            round_.say("PostgreSQL crashed")
            await round_.pause(0.2, 2.0)
            await asyncio.to_thread(cluster.start)
            round_.say("PostgreSQL is back")


class CommitUnanswered(Fault):
    name = "commit-unanswered"
    summary = "commits that succeed while their answer is lost with the connection"
    databases = ("postgresql",)
    between: ClassVar = frozenset({"postgresql"})
    one_in = 12

    async def inject(self, round_: Round) -> None:
        proxy = round_.stage.proxies["postgresql"]
        tap = LoseAnswers(Random(round_.chance.random()), self.one_in)
        await round_.pause(0.3, 0.8)
        proxy.tap = tap
        try:
            await round_.load.started()
            await round_.pause(1.0, 2.0)
        finally:
            proxy.tap = None
        round_.remarks.append(f"{tap.lost} commits succeeded without an answer")
        if tap.lost < 5:
            raise Void(f"only {tap.lost} answers were lost")


class LoseAnswers:
    """A tap on PostgreSQL connections: lets a COMMIT pass, and resets the connection before its answer."""

    def __init__(self, chance: Random, one_in: int) -> None:
        self.lost = 0
        self._chance = chance
        self._one_in = one_in

    def outgoing(self, link: Link, data: bytes) -> Action:
        if is_commit(data) and self._chance.randrange(self._one_in) == 0:
            link.memory["doomed"] = True
        return Action.PASS

    def incoming(self, link: Link, data: bytes) -> Action:
        if not link.memory.get("doomed"):
            return Action.PASS
        self.lost += b"COMMIT\0" in data  # the tag of CommandComplete: it has happened
        return Action.RESET


class PromotionKilled(Fault):
    """Immediate runs overrun their budget together; the executor dies at one statement after the other."""

    name = "promotion-killed"
    summary = "kill -9 of the executor before and after each statement of a promotion"
    databases = ("postgresql",)
    between: ClassVar = frozenset({"postgresql"})
    seconds = (10.0, 100.0)
    budget_ms = 250
    statements = 9  # of a promotion and of giving up, COMMIT included

    def shape(self, count: int, short: bool) -> Shape:
        return Shape(
            count,
            self.seconds[0 if short else 1],
            modes=("immediate",),
            case=slow_calls,
            budget_ms=self.budget_ms,
        )

    async def inject(self, round_: Round) -> None:
        points = [(at, after) for at in range(self.statements) for after in (False, True)]
        round_.chance.shuffle(points)
        seen: set[str] = set()
        for at, after in points[: len(round_.times(3, len(points)))]:
            if round_.load.all_started:
                break
            tap = KillAtStatement(at, after=after, kill=self._killing(round_))
            seen |= await self._die_at(round_, tap)
        round_.remarks.append(f"killed at {len(round_.struck)} points: {', '.join(sorted(seen))}")
        if len(round_.struck) < 3:
            raise Void("the executor was killed less than three times")

    async def _die_at(self, round_: Round, tap: KillAtStatement) -> set[str]:
        stage = round_.stage
        proxy = stage.proxies["postgresql"]
        proxy.tap = tap
        try:
            await until(lambda: tap.fired or round_.load.all_started, 60.0)
        finally:
            proxy.tap = None
        if not tap.fired:
            return set()
        await asyncio.to_thread(stage.executor.wait)
        when = "after" if tap.after else "before"
        round_.say(f"killed the executor {when} statement {tap.at} of a promotion: {tap.what}")
        await stage.restart(stage.executor)
        return {f"{when} {tap.what}"}

    def _killing(self, round_: Round) -> Callable[[], None]:
        pid = round_.stage.executor.pid

        def kill() -> None:
            round_.struck.append(time.time())
            os.kill(pid, signal.SIGKILL)

        return kill


class KillAtStatement:
    """A tap on PostgreSQL connections: kills at the n-th statement from the first that speaks of a promotion.

    A row's new mode is the first sign, in the UPDATE that precedes the events. Counts on one connection,
    across its transactions.
    """

    def __init__(self, at: int, *, after: bool, kill: Callable[[], None]) -> None:
        self.at = at
        self.after = after
        self.fired = False
        self.what = ""
        self._kill = kill
        self._link: Link | None = None
        self._count = 0
        self._due = False

    def outgoing(self, link: Link, data: bytes) -> Action:
        if self._link is None and promotes(data):
            self._link = link
        if link is not self._link or self.fired:
            return Action.PASS
        number, self._count = self._count, self._count + 1
        if number != self.at:
            return Action.PASS
        self.what = statement_kind(data)
        if self.after:
            self._due = True
            return Action.PASS
        return self._fire()

    def incoming(self, link: Link, data: bytes) -> Action:
        return self._fire() if self._due and link is self._link and not self.fired else Action.PASS

    def _fire(self) -> Action:
        self.fired = True
        self._kill()
        return Action.RESET


def is_commit(data: bytes) -> bool:
    return data.endswith(b"COMMIT\0")


def promotes(data: bytes) -> bool:
    """Whether the statement writes a queued mode over an immediate one: arguments travel as they are.

    Statistics have a column of that name, and go over connections that are seldom used.
    """
    return b"queued" in data and b"execution.created" not in data and b"queued_short" not in data


def statement_kind(data: bytes) -> str:
    """What a statement does, by what is in it."""
    for sign, kind in (
        (b"COMMIT\0", "COMMIT"),
        (b"BEGIN\0", "BEGIN"),
        (b"execution.", "INSERT of events"),
        (b"step.", "INSERT of events"),
        (b"bell", "INSERT into the outbox"),
        (b"queued", "UPDATE of the row"),
        (b"immediate", "UPDATE of the row"),
    ):
        if sign in data:
            return kind
    return "lock or other"


FAULTS: tuple[Fault, ...] = (PostgresCrashes(), CommitUnanswered(), PromotionKilled())
