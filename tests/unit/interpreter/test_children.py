"""Steps that start child executions: what they record, how they wait, what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.interpreter import events as e
from flow_engine.payload import JsonValue
from services.executor.fork import fork
from tests.unit.interpreter.play import EXECUTION_ID, Play, node, played, workflow
from tests.unit.interpreter.virtual_time import database_now

INNER = workflow(node("work", "test.work", output=1), inputSchema={"type": ["object", "integer"]})


def detached(
    node_id: str = "child",
    *,
    input: JsonValue = 1,  # noqa: A002
    waits: bool = True,
    **fields: Any,
) -> dict[str, Any]:
    return node(
        node_id, "flow.subflow", workflow=INNER, input=input, detached=True, waitForCompletion=waits, **fields
    )


def started(play: Play) -> list[e.ChildStarted]:
    return [event for event in play.history if isinstance(event, e.ChildStarted)]


async def test_a_child_is_started_and_waited_for_without_a_slot() -> None:
    play = Play(workflow(detached(input={"n": "${ input }"}), node("last"), ways="child > last"), 7)
    assert (await play.run()).status == "waiting"
    (child,) = started(play)
    assert (child.input, child.waits) == ({"n": 7}, True)
    assert play.execution.given_up is not None
    assert play.execution.given_up.waits == [
        {"nodeId": "child", "iteration": [], "kind": "child", "executionId": child.child_id}
    ]
    play.child_ended("child", output={"sum": 8})
    assert (await play.run()).status == "completed"
    assert play.output == {"sum": 8}
    assert "work" not in str(play.trace)
    assert play.view.get("child").child_id == child.child_id  # type: ignore[union-attr]


async def test_a_child_that_is_not_waited_for_is_told_by_its_id() -> None:
    play = await played(workflow(detached(waits=False)))
    (child,) = started(play)
    assert play.output == {"executionId": child.child_id}
    assert not child.waits


@pytest.mark.parametrize(("status", "code"), [("failed", "BROKEN"), ("cancelled", "CHILD_CANCELLED")])
async def test_what_ends_a_child_badly_is_the_failure_of_its_step(status: str, code: str) -> None:
    play = Play(workflow(detached(onError="continue"), node("last"), ways="child > last"))
    await play.run()
    play.child_ended("child", status)
    await play.run()
    failure = play.error_of("child")
    assert failure.code == code
    assert failure.details["executionId"] == started(play)[0].child_id
    assert play.outcomes["last"] == "completed"


async def test_ids_of_children_differ_by_step_and_are_the_same_for_every_runner() -> None:
    loop = node("each", "logic.foreach", items=[1, 2], concurrency=2)
    definition = workflow(loop, detached("a", parentId="each"), detached("b", parentId="each"))
    first, second = Play(definition), Play(definition)
    await first.run()
    await second.run()
    ids = [child.child_id for child in started(first)]
    assert len(set(ids)) == 4
    assert EXECUTION_ID not in ids
    assert ids == [child.child_id for child in started(second)]


async def test_a_child_that_ended_before_its_step_waited_is_not_missed() -> None:
    play = Play(workflow(detached(), node("slow", "test.work", ms=50)))
    play.begin()
    await play.until(lambda: bool(started(play)))
    play.child_ended("child", output=5)
    end = await play.finish()
    assert end.status == "completed"
    assert play.output_of("child") == 5


async def test_a_second_end_of_a_child_changes_nothing() -> None:
    play = Play(workflow(detached()))
    await play.run()
    play.child_ended("child", output=5)
    play.child_ended("child", "failed")
    await play.run()
    assert play.output == 5


async def test_the_input_of_a_child_is_checked_before_it_is_started() -> None:
    play = await played(workflow(detached(input="text")))
    assert play.error.code == "INPUT_INVALID"
    assert started(play) == []


async def test_a_step_whose_time_is_over_stops_its_child() -> None:
    play = Play(workflow(detached(timeoutMs=60_000), retry={"maxAttempts": 3}))
    await play.run()
    play.sweep_timer()
    await play.run()
    assert play.error.code == "TIMEOUT"
    (failed,) = [event for event in play.history if isinstance(event, e.StepFailed)]
    assert failed.stops_children
    assert len(started(play)) == 1


async def test_a_step_that_is_cancelled_stops_its_child_unless_that_is_over() -> None:
    ended = detached("ended")
    play = Play(
        workflow(
            ended,
            detached("live"),
            node("bad", "flow.fail"),
            node("wait", "logic.delay", durationMs=60_000),
            ways="wait > bad",
        )
    )
    await play.run()
    play.child_ended("ended", output=1)
    await play.run()
    play.sweep_timer()
    await play.run()
    cancelled = {
        event.node_id: event.stops_children for event in play.history if isinstance(event, e.StepCancelled)
    }
    assert cancelled == {"live": True}


async def test_a_retry_starts_a_child_of_another_id() -> None:
    definition = workflow(detached(), node("bad", "flow.fail"), ways="child > bad")
    play = Play(definition)
    await play.run()
    play.child_ended("child", "failed")
    await play.run()
    again = Play(definition, forked=fork(play.graph, play.view, "", database_now()))
    await again.run()
    assert started(again)[0].child_id != started(play)[0].child_id


async def test_a_retry_keeps_a_child_that_completed() -> None:
    definition = workflow(detached(), node("bad", "flow.fail"), ways="child > bad")
    play = Play(definition)
    await play.run()
    play.child_ended("child", output=3)
    await play.run()
    again = Play(definition, forked=fork(play.graph, play.view, "", database_now()))
    await again.run()
    assert started(again) == []
