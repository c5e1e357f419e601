"""How deep the queue is and who stands where in it: told exactly as far as it is counted."""

from __future__ import annotations

import pytest

from services.executor.persistence import depth
from services.executor.persistence.contract import RatePolicy, SlotPolicy
from tests.integration.persistence.stage import Stage

SLOT = SlotPolicy("orders/acme", 1)


def rate(name: str) -> RatePolicy:
    return RatePolicy(f"orders/{name}", 1, 60_000)


async def slot_place(stage: Stage, execution_id: str) -> int:
    return (await stage.store.admission.slot_standing(execution_id, "default", SLOT.key)).ahead


async def rate_place(stage: Stage, execution_id: str, name: str) -> int:
    standing = await stage.store.admission.rate_standing(
        execution_id, "default", rate(name).key, rate(name).limit, rate(name).period_ms
    )
    return standing.ahead


async def test_a_place_counts_whoever_comes_first_whatever_they_need(stage: Stage) -> None:
    last = await stage.queued(priority=9)
    special = await stage.queued(needs=("acme.crm",), priority=4)
    plain = await stage.queued(priority=3)
    await stage.queued(namespace="b", priority=0)
    await stage.queued(slot=SLOT, priority=0)
    places = [await stage.store.queue_position(each) for each in (plain, special, last)]
    assert places == [1, 2, 3]


async def test_a_place_in_the_line_of_a_slot_counts_those_that_wait_for_a_rate_too(stage: Stage) -> None:
    ids = [await stage.queued(slot=SLOT, rate=one) for one in (None, rate("a"), rate("b"), None)]
    assert [await slot_place(stage, each) for each in ids] == [1, 2, 3, 4]


async def test_a_place_in_the_line_of_a_rate_counts_those_that_wait_for_a_slot_too(stage: Stage) -> None:
    other = SlotPolicy("orders/other", 1)
    ids = [await stage.queued(rate=rate("a"), slot=one) for one in (None, SLOT, other)]
    await stage.queued(rate=rate("b"))
    assert [await rate_place(stage, each, "a") for each in ids] == [1, 2, 3]


async def test_places_beyond_the_bound_are_all_told_alike(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth, "MOST_AHEAD", 2)
    plain = [await stage.queued(needs=("a.b",) if n % 2 else ()) for n in range(5)]
    assert [await stage.store.queue_position(each) for each in plain] == [1, 2, 3, 3, 3]
    held = [await stage.queued(slot=SLOT, rate=rate("a")) for _ in range(4)]
    assert [await slot_place(stage, each) for each in held] == [1, 2, 3, 3]
    assert [await rate_place(stage, each, "a") for each in held] == [1, 2, 3, 3]


async def test_who_is_not_in_the_queue_has_no_place(stage: Stage) -> None:
    runner = await stage.claimed()
    assert await stage.store.queue_position(runner.id) == 0
    assert await slot_place(stage, runner.id) == 0


async def test_the_depth_tells_both_kinds_with_their_ages_and_counts_no_further_than_asked(
    stage: Stage,
) -> None:
    empty = await stage.store.queue_state(9)
    assert (empty.pending, empty.ready, empty.oldest_pending_seconds, empty.oldest_ready_seconds) == (
        0, 0, 0.0, 0.0,
    )  # fmt: skip
    for _ in range(3):
        await stage.queued(slot=SLOT)
    stage.pass_time(5)
    for _ in range(4):
        await stage.queued(namespace="b")
    stage.pass_time(2)
    state = await stage.store.queue_state(9)
    assert (state.pending, state.ready, state.oldest_pending_seconds, state.oldest_ready_seconds) == (
        7, 4, 7.0, 2.0,
    )  # fmt: skip
    state = await stage.store.queue_state(2)
    assert (state.pending, state.ready) == (2, 2)


async def test_every_rate_in_the_line_of_a_slot_is_found(stage: Stage) -> None:
    for one in (rate("b"), None, rate("a"), rate("b")):
        await stage.queued(slot=SLOT, rate=one)
    await stage.queued(slot=SlotPolicy("orders/other", 1), rate=rate("c"))
    lines = await stage.store.admission.lines_of("default", SLOT.key)
    assert [line.rate for line in lines] == ["", "orders/a", "orders/b"]
    assert await stage.store.admission.lines_of("b", SLOT.key) == []
