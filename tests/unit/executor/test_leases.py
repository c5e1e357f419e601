"""Leases: renewed together, and given up before the database takes them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from flow_engine.errors import Unavailable
from flow_engine.ids import ExecutionId
from services.executor.leases import LeaseKeeper
from tests.unit.executor.stand_ins import HandClock, stand_in

A, B = ExecutionId("a"), ExecutionId("b")


class Database:
    def __init__(self) -> None:
        self.lost: set[ExecutionId] = set()
        self.asked: list[list[tuple[ExecutionId, int]]] = []
        self.is_down = False

    async def renew_leases(self, owner: str, leases: Collection[tuple[ExecutionId, int]]) -> set[ExecutionId]:
        if self.is_down:
            raise Unavailable("down")
        self.asked.append(list(leases))
        return self.lost


class Bench:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.database = stand_in(Database())
        self.keeper = LeaseKeeper(self.database, "executor:1", 10.0, self.clock)
        self.dropped: list[str] = []

    def hold(self, execution_id: ExecutionId) -> Any:
        return self.keeper.hold(
            execution_id, 1, self.clock.monotonic(), lambda: self.dropped.append(execution_id)
        )

    async def turn(self) -> None:
        """As the loop does it."""
        try:
            await self.keeper.turn()
        except Unavailable as error:
            self.keeper.failed(error)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_one_question_renews_all_leases(bench: Bench) -> None:
    lease = bench.hold(A)
    bench.hold(B)
    bench.clock.pass_(3)
    await bench.turn()
    assert bench.database.asked == [[(A, 1), (B, 1)]]
    bench.clock.pass_(7)
    assert bench.keeper.sure(lease)
    bench.clock.pass_(1)
    assert not bench.keeper.sure(lease)


async def test_who_holds_nothing_asks_nothing(bench: Bench) -> None:
    await bench.turn()
    assert bench.database.asked == []


async def test_a_lease_that_another_took_is_dropped_once(bench: Bench) -> None:
    bench.hold(A)
    bench.hold(B)
    bench.database.lost = {A}
    await bench.turn()
    await bench.turn()
    assert bench.dropped == ["a"]
    assert bench.keeper.held == 1


async def test_a_lease_that_cannot_be_renewed_is_dropped_before_it_is_over(bench: Bench) -> None:
    bench.hold(A)
    bench.database.is_down = True
    bench.clock.pass_(7.9)
    await bench.turn()
    assert bench.dropped == []
    assert bench.keeper.interval_seconds < 1
    bench.clock.pass_(0.2)
    await bench.turn()
    assert bench.dropped == ["a"]


async def test_after_an_outage_renewals_go_on_at_their_pace(bench: Bench) -> None:
    bench.hold(A)
    bench.database.is_down = True
    await bench.turn()
    bench.database.is_down = False
    await bench.turn()
    assert bench.keeper.interval_seconds == pytest.approx(10 / 3)


async def test_an_execution_that_ended_is_not_lost(bench: Bench) -> None:
    bench.hold(A)
    bench.keeper.drop(A)
    bench.database.lost = {A}
    await bench.turn()
    assert bench.dropped == []
