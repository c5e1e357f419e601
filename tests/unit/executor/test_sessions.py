"""Who is told what, and when again."""

from __future__ import annotations

import pytest

from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import Nudged
from services.executor.persistence.operations import WorkerWord
from services.executor.sessions import REPEAT_SECONDS, Session, Sessions
from tests.unit.executor.stand_ins import HandClock


def news(sequence: int) -> Nudged:
    return Nudged(ExecutionId("e"), 1, "worker:1", sequence)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sessions(clock: HandClock) -> Sessions:
    return Sessions(clock)


async def pushed(session: Session) -> list[int]:
    """Sequences that were pushed since the last time."""
    session.end()
    found: list[int] = []
    while nudges := await session.next():
        found += [nudge.foreign_sequence for nudge in nudges]
    return found


async def test_each_news_is_pushed_once_and_again_when_nobody_acts(
    sessions: Sessions, clock: HandClock
) -> None:
    session = Session(WorkerWord("worker:1"))
    sessions.open(session)
    for sequence in (5, 5, 5, 6, 6):
        sessions.push({"worker:1": [news(sequence)]})
        clock.pass_(0.25)
    assert await pushed(session) == [5, 6]
    clock.pass_(REPEAT_SECONDS)
    sessions.push({"worker:1": [news(6)]})
    assert await pushed(session) == [6]


async def test_a_worker_that_comes_back_ends_its_old_session(sessions: Sessions) -> None:
    old, new = (Session(WorkerWord("worker:1", free_slots=free)) for free in (2, 3))
    sessions.open(old)
    sessions.open(new)
    assert await old.next() == ()
    sessions.close(old)
    assert (set(sessions.worker_ids), sessions.free_slots) == ({"worker:1"}, 3)
    sessions.close(new)
    assert not sessions.worker_ids


async def test_news_for_workers_elsewhere_are_nobodys(sessions: Sessions) -> None:
    sessions.push({"worker:2": [news(1)]})
    assert not sessions.worker_ids
