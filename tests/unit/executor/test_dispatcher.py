"""Bells: rung in order, kept when Redis is down."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from flow_engine.errors import Unavailable
from flow_engine.ids import ExecutionId
from flow_engine.queue import STREAMS, priority_class, stream_of
from services.executor.dispatcher import BATCH, MOST_OF_A_BELL, Dispatcher
from services.executor.persistence.contract import Bell
from tests.unit.executor.stand_ins import stand_in
from tests.unit.executor.test_sweeper import Bells


def bell(number: int) -> Bell:
    return Bell(ExecutionId(f"e{number}"), number % 10, datetime(2026, 1, 1, tzinfo=UTC))


class Outbox:
    def __init__(self, bells: int) -> None:
        self.bells = [bell(number) for number in range(bells)]

    async def take_bells(self, limit: int) -> list[Bell]:
        return self.bells[:limit]

    async def bells_rung(self, bells: Collection[Bell]) -> None:
        self.bells = [left for left in self.bells if left not in bells]


async def test_every_due_bell_rings_and_leaves_the_outbox() -> None:
    outbox = stand_in(Outbox(2 * BATCH + 1))
    bells = stand_in(Bells())
    await Dispatcher(outbox, bells, 1.0).turn()
    assert bells.rung == [(f"e{number}", number % 10) for number in range(2 * BATCH + 1)]
    assert outbox.bells == []


@pytest.mark.parametrize(("room", "called"), [(0, 1), (1, 1), (4, 4), (500, MOST_OF_A_BELL)])
async def test_one_bell_calls_for_as_many_as_whoever_hears_it_has_room_for(room: int, called: int) -> None:
    outbox, bells = stand_in(Outbox(100)), stand_in(Bells())
    await Dispatcher(outbox, bells, 1.0, lambda: room).turn()
    by_class = Counter(priority_class(number % 10) for number in range(100))
    assert outbox.bells == []
    rung = Counter(priority_class(priority) for _, priority in bells.rung)
    assert rung == {name: math.ceil(number / called) for name, number in by_class.items()}


async def test_what_is_committed_here_rings_without_a_look_and_goes_with_the_next() -> None:
    outbox = stand_in(Outbox(0))
    bells = stand_in(Bells())
    dispatcher = Dispatcher(outbox, bells, 1000.0)
    await dispatcher.turn()
    outbox.bells = [bell(number) for number in range(5)]
    dispatcher.ring_soon([bell(1), bell(2)])
    await dispatcher.turn()
    assert bells.rung == [("e1", 1), ("e2", 2)]
    assert len(outbox.bells) == 5
    del outbox.bells[3:]
    await dispatcher.turn()
    assert bells.rung == [("e1", 1), ("e2", 2), ("e0", 0)]
    assert outbox.bells == []


async def test_what_could_not_ring_stays() -> None:
    outbox = stand_in(Outbox(3))
    bells = stand_in(Bells())
    bells.is_down = True
    dispatcher = Dispatcher(outbox, bells, 1.0)
    with pytest.raises(Unavailable):
        await dispatcher.turn()
    assert len(outbox.bells) == 3
    bells.is_down = False
    await dispatcher.turn()
    assert outbox.bells == []


def test_each_priority_has_its_stream() -> None:
    assert [stream_of(priority) for priority in (0, 3, 4, 6, 7, 9)] == [
        *[STREAMS[0]] * 2,
        *[STREAMS[1]] * 2,
        *[STREAMS[2]] * 2,
    ]
