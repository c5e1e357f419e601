"""Parents and children: what one execution means for another is applied once, whenever it comes."""

from __future__ import annotations

import asyncio

import pytest

from flow_engine.interpreter.events import ChildFinished, ExecutionFailed, Failure, StepCancelled
from flow_engine.interpreter.journal import GiveUp
from flow_engine.payload import encode
from services.executor.persistence.contract import ExecutionFilter
from tests.integration.persistence.stage import Stage


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
