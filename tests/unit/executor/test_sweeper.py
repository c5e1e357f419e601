"""The sweeper's patience, and how often it rings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from flow_engine.errors import Unavailable
from services.executor.dispatcher import Dispatcher
from services.executor.persistence.contract import QueueState
from services.executor.sweeper import Sweeper
from tests.unit.executor.stand_ins import HandClock, stand_in


class Database:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.is_down = False
        self.queue = QueueState(0, 0.0)

    async def ping(self) -> None:
        if self.is_down:
            raise Unavailable("down")

    async def expire_leases(self, grace_seconds: float = 0.0) -> list[str]:
        self.did.append("expire")
        return []

    async def wake_due(self) -> list[str]:
        self.did.append("wake")
        return []

    async def fail_overdue(self) -> list[str]:
        self.did.append("fail")
        return []

    async def queue_state(self, most: int) -> QueueState:
        return replace(self.queue, ready=min(most, self.queue.ready))


class Bells:
    def __init__(self) -> None:
        self.rung: list[tuple[str, int]] = []
        self.is_down = False

    async def ring(self, bells: Sequence[tuple[str, int]]) -> None:
        if self.is_down:
            raise Unavailable("down")
        self.rung.extend(bells)


class Bench:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.database = stand_in(Database())
        self.bells = stand_in(Bells())
        self.free_slots = 0
        dispatcher = Dispatcher(self.database, self.bells, 1.0)
        self.sweeper = Sweeper(self.database, dispatcher, lambda: self.free_slots, 2.0, 30.0, self.clock)

    async def turn(self, seconds: float = 2.0) -> list[str]:
        """What the next turn does, `seconds` from now."""
        self.clock.pass_(seconds)
        self.database.did.clear()
        await self.sweeper.turn()
        return [did for did in self.database.did if did != "forget"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_leases_are_left_alone_for_a_third_after_its_own_start(bench: Bench) -> None:
    for _ in range(4):
        assert await bench.turn() == ["wake", "fail"]
    assert await bench.turn() == ["expire", "wake", "fail"]


async def test_an_outage_postpones_expiry_by_its_length(bench: Bench) -> None:
    await bench.turn(20)
    await bench.turn()
    bench.database.is_down = True
    with pytest.raises(Unavailable):
        await bench.turn()
    with pytest.raises(Unavailable):
        await bench.turn()
    bench.database.is_down = False
    assert await bench.turn() == ["wake", "fail"]
    assert await bench.turn(4) == ["expire", "wake", "fail"]


async def test_a_long_outage_postpones_expiry_by_a_third_of_a_lease_only(bench: Bench) -> None:
    await bench.turn(20)
    assert await bench.turn(600) == ["wake", "fail"]
    assert await bench.turn(4) == ["wake", "fail"]
    assert await bench.turn(4) == ["wake", "fail"]
    assert await bench.turn(2) == ["expire", "wake", "fail"]


async def test_it_rings_no_more_than_can_be_answered(bench: Bench) -> None:
    bench.database.queue = QueueState(100, 9.0, ready=100, oldest_ready_seconds=9.0)
    await bench.turn()
    assert bench.bells.rung == []
    bench.free_slots = 3
    await bench.turn()
    assert len(bench.bells.rung) == 6
    bench.bells.rung.clear()
    bench.database.queue = QueueState(2, 9.0, ready=2, oldest_ready_seconds=9.0)
    await bench.turn()
    assert len(bench.bells.rung) == 2


async def test_executions_that_just_came_have_bells_of_their_own(bench: Bench) -> None:
    bench.free_slots = 3
    bench.database.queue = QueueState(5, 99.0, ready=3, oldest_ready_seconds=0.5)
    await bench.turn()
    assert bench.bells.rung == []
