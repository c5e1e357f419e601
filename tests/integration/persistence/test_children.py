"""Parents and children: what one execution means for another is applied once, whenever it comes."""

from __future__ import annotations

import asyncio

import pytest

from flow_engine.interpreter.events import (
    ChildFinished,
    ExecutionFailed,
    ExecutionWaiting,
    Failure,
    StepCancelled,
)
from flow_engine.interpreter.journal import GiveUp
from flow_engine.payload import encode
from services.executor.persistence.contract import ExecutionFilter, NewExecution
from tests.integration.persistence.stage import Runner, Stage


async def test_the_end_of_a_child_wakes_its_parent_once(stage: Stage) -> None:
    parent, child = await stage.with_child()
    await stage.ended(child.id)
    await asyncio.gather(*(stage.store.finish_children(parent.id, [child.id]) for _ in range(3)))
    ends = [event for event in await stage.history(parent.id) if isinstance(event, ChildFinished)]
    assert [(event.node_id, event.child_id, event.status, event.output) for event in ends] == [
        ("child", child.id, "completed", 1)
    ]
    assert await stage.status(parent.id) == "pending"
    stage.audit()


async def test_a_child_starts_once_however_often_it_is_told_to(stage: Stage) -> None:
    parent, child = await stage.with_child(gives_up=False)
    await parent.report(stage.child_started(child))  # its runner was lost before it knew
    await asyncio.gather(*(stage.store.create(child) for _ in range(3)))
    assert await stage.types(child.id) == ["execution.created"]
    assert stage.signals() == set()
    stage.audit()


async def test_a_start_that_comes_after_its_parent_was_cancelled_is_dropped(stage: Stage) -> None:
    parent = await stage.claimed()
    child = stage.child(parent)
    await parent.report(stage.child_started(child))
    await stage.store.cancel(parent.id, "")
    assert not (await stage.store.create(child)).created
    assert stage.execute("SELECT count(*) FROM workflow_executions") == [(1,)]
    assert stage.signals() == {("control", "cancel")}


async def test_a_start_that_nobody_asked_for_any_more_is_dropped(stage: Stage) -> None:
    parent = await stage.claimed()
    child = stage.child(parent)
    await parent.report(stage.child_started(child))
    await parent.report(StepCancelled(time=stage.now, node_id="child", stops_children=True))
    await stage.relayed()
    assert not (await stage.store.create(child)).created
    assert stage.signals() == set()


async def test_a_child_that_is_not_waited_for_starts_though_its_parent_has_ended(stage: Stage) -> None:
    parent = await stage.claimed()
    child = stage.child(parent, waits="")
    await parent.report(stage.child_started(child))
    await parent.complete()
    assert (await stage.store.create(child)).created
    await stage.ended(child.id)
    assert stage.signals() == set()


async def test_a_child_of_a_paused_parent_starts_paused_and_is_resumed_with_it(stage: Stage) -> None:
    parent = await stage.claimed()
    child = stage.child(parent)
    await parent.report(stage.child_started(child))
    await stage.store.pause(parent.id, "")
    await stage.relayed()
    await stage.store.create(child)
    assert await stage.status(child.id) == "paused"
    await stage.store.resume(parent.id)
    await stage.relayed()
    assert await stage.status(child.id) == "pending"
    stage.audit()


async def test_the_later_of_two_controls_counts(stage: Stage) -> None:
    parent, child = await stage.with_child()
    await stage.store.pause(parent.id, "")
    (pause,) = await stage.store.take_signals(10)
    await stage.store.resume(parent.id)
    await stage.store.control_children(pause)  # by somebody who was slow
    assert await stage.status(child.id) == "pending"
    await stage.relayed()
    assert await stage.status(child.id) == "pending"
    assert stage.signals() == set()


async def test_control_reaches_hundreds_of_children(stage: Stage) -> None:
    parent = await stage.claimed()
    children = [stage.child(parent, f"n{number}") for number in range(230)]
    await parent.report(*map(stage.child_started, children))
    await asyncio.gather(*map(stage.store.create, children))
    await stage.store.cancel(parent.id, "")
    await stage.relayed()
    found = stage.execute("SELECT status, count(*) FROM workflow_executions GROUP BY 1 ORDER BY 1")
    assert found == [("cancelled", 230), ("running", 1)]
    stage.audit()


@pytest.mark.parametrize(("waits", "status"), [("each", "cancelled"), ("", "pending")])
async def test_a_parent_that_fails_takes_those_along_that_it_waits_for(
    stage: Stage, waits: str, status: str
) -> None:
    parent, child = await stage.with_child(waits=waits, gives_up=False)
    failure = Failure("BROKEN", "")
    await parent.give_up(
        GiveUp("failed", error=encode(failure)), ExecutionFailed(time=stage.now, error=failure)
    )
    await stage.relayed()
    assert await stage.status(child.id) == status


async def test_an_end_that_comes_after_its_parent_is_over_is_forgotten(stage: Stage) -> None:
    parent, child = await stage.with_child()
    await stage.ended(child.id)
    await stage.store.cancel(parent.id, "")
    before = await stage.types(parent.id)
    await stage.relayed()
    assert await stage.types(parent.id) == before
    assert stage.signals() == set()


async def test_an_end_that_comes_in_a_pause_acts_on_resume(stage: Stage) -> None:
    parent, child = await stage.with_child()
    await stage.store.pause(parent.id, "")
    await stage.relayed()
    await stage.store.resume(child.id)
    await stage.ended(child.id)
    await stage.relayed()
    assert await stage.status(parent.id) == "paused"
    await stage.store.resume(parent.id)
    assert await stage.status(parent.id) == "pending"


async def test_a_signal_that_was_taken_and_not_applied_is_taken_by_others_later(stage: Stage) -> None:
    _, child = await stage.with_child()
    await stage.ended(child.id)
    assert len(await stage.store.take_signals(10)) == 1
    assert await stage.store.take_signals(10) == []
    stage.pass_time(11)
    assert len(await stage.store.take_signals(10)) == 1


async def test_children_are_listed_by_parent(stage: Stage) -> None:
    parent, child = await stage.with_child()
    await stage.queued()
    (found,) = await stage.store.list(ExecutionFilter(parent_id=parent.id), 10)
    assert (found.id, found.parent_id, found.root_id) == (child.id, parent.id, parent.id)
    assert await stage.store.list(ExecutionFilter(parent_id=child.id), 10) == []


# Items of a distributed loop


async def items(
    stage: Stage, count: int, at_once: int, wakes: str = "failed"
) -> tuple[Runner, list[NewExecution]]:
    """A parent that waits for the items of its loop, none of which has started."""
    parent = await stage.claimed()
    children = [stage.item(parent, index, wakes) for index in range(count)]
    await parent.report(*(stage.item_started(child, at_once, wakes) for child in children))
    await parent.give_up(GiveUp("waiting", all_waiting=True), ExecutionWaiting(time=stage.now))
    return parent, children


def due(stage: Stage) -> list[int]:
    rows = stage.execute("SELECT place FROM outbox_signals WHERE kind = 'start' AND NOT held ORDER BY place")
    return [row[0] for row in rows]


async def test_so_many_items_live_at_a_time_and_the_next_begin_as_they_end(stage: Stage) -> None:
    parent, children = await items(stage, 5, at_once=2)
    assert due(stage) == []
    await stage.relayed()
    assert due(stage) == [0, 1]
    for index, left in ((0, [1, 2]), (1, [2, 3]), (2, [3, 4]), (3, [4]), (4, [])):
        assert (await stage.store.create(children[index])).created
        await stage.ended(children[index].id)
        await stage.relayed()
        assert due(stage) == left
        assert await stage.status(parent.id) == ("pending" if index == 4 else "waiting")
    assert stage.signals() == set()
    assert (await stage.types(parent.id)).count("child.finished") == 5
    stage.audit()


async def test_letting_items_go_twice_lets_no_more_go(stage: Stage) -> None:
    _, children = await items(stage, 5, at_once=2)
    (release,) = await stage.store.take_signals(10)
    await asyncio.gather(*(stage.store.control_children(release) for _ in range(3)))
    await stage.store.create(children[0])
    await stage.store.control_children(release)
    assert due(stage) == [1]


@pytest.mark.parametrize(
    ("wakes", "status"), [("failed", "pending"), ("last", "waiting"), ("each", "pending")]
)
async def test_an_item_that_was_cancelled_wakes_whom_it_should(stage: Stage, wakes: str, status: str) -> None:
    parent, children = await items(stage, 3, at_once=3, wakes=wakes)
    await stage.relayed()
    await stage.store.create(children[0])
    await stage.store.cancel(children[0].id, "")
    await stage.relayed()
    assert await stage.status(parent.id) == status


async def test_a_loop_that_has_ended_starts_no_more_items(stage: Stage) -> None:
    parent = await stage.claimed()
    children = [stage.item(parent, index, "failed") for index in range(4)]
    await parent.report(*(stage.item_started(child, 2, "failed") for child in children))
    await stage.relayed()
    await stage.store.create(children[0])
    await parent.report(StepCancelled(time=stage.now, node_id="each", stops_children=True))
    await stage.relayed()
    assert await stage.status(children[0].id) == "cancelled"
    await stage.relayed()
    assert stage.signals() == set()
