"""Distributed loops: items that are executions of their own, and the parent that gathers their outputs."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.interpreter import events as e
from flow_engine.payload import JsonValue
from tests.unit.interpreter.play import Play, node, played, workflow


def loop(items: JsonValue = "${ input }", **config: Any) -> dict[str, Any]:
    return node("each", "logic.foreach", items=items, distribute=True, **config)


def started(play: Play) -> list[e.ChildStarted]:
    return [event for event in play.history if isinstance(event, e.ChildStarted)]


async def item(play: Play, index: int) -> Play:
    """The execution of one item, at its end."""
    child = next(event for event in started(play) if event.index == index)
    within = e.Within(node_id=child.node_id, iteration=(*child.iteration, index), outer_ref=child.outer_ref)
    own = Play(play.graph, play.value(child.input, child.input_ref), within=within)
    own.execution.payloads.update(play.execution.payloads)
    await own.to_end()
    return own


WORK = node("work", "test.work", parentId="each", output="${ item }")


async def test_each_item_is_a_child_and_the_results_come_in_order() -> None:
    play = Play(workflow(loop(concurrency=2), WORK, node("last"), ways="each > last"), [5, 6, 7])
    assert (await play.run()).status == "waiting"
    children = started(play)
    assert [(child.index, child.input, child.at_once, child.wakes) for child in children] == [
        (0, 5, 2, "failed"),
        (1, 6, 2, "failed"),
        (2, 7, 2, "failed"),
    ]
    assert len({child.child_id for child in children}) == 3
    for index in (2, 0, 1):
        play.child_ended("each", output={"at": index}, index=index)
    await play.to_end()
    assert play.output == [{"at": 0}, {"at": 1}, {"at": 2}]
    assert play.world.calls == []


async def test_an_empty_list_starts_nothing() -> None:
    play = await played(workflow(loop([]), WORK))
    assert (play.output, started(play)) == ([], [])


async def test_an_item_sees_what_it_would_see_inside_the_loop() -> None:
    inner = node(
        "seen",
        "data.set",
        parentId="inner",
        values={
            "item": "${ item }",
            "outer": "${ loops.each.item }",
            "at": "${ loops.each.index }",
            "before": "${ nodes.before.output.b }",
            "input": "${ input.x }",
            "vars": "${ vars.v }",
        },
    )
    definition = workflow(
        node("before", "data.set", values={"b": 1}),
        loop("${ input.list }"),
        node("inner", "logic.foreach", items=[10, 20], parentId="each"),
        inner,
        ways="before > each",
        vars={"v": 3},
    )
    play = Play(definition, {"list": ["a", "b"], "x": 2})
    await play.run()
    one = await item(play, 1)
    seen = {"outer": "b", "at": 1, "before": 1, "input": 2, "vars": 3}
    assert one.output == [{"item": 10, **seen}, {"item": 20, **seen}]
    assert [line for line in one.trace if line.startswith("seen") and "completed" in line] == [
        "seen[1,0] completed",
        "seen[1,1] completed",
    ]


async def test_an_item_puts_out_what_its_iteration_would() -> None:
    nodes = [node("a", "data.set", parentId="each", values={"x": "${ item }"}), node("b", parentId="each")]
    play = Play(workflow(loop(), *nodes, ways="a > b"), [1])
    await play.run()
    assert (await item(play, 0)).output == {"x": 1}


async def test_a_loop_inside_a_sub_flow_gives_its_items_what_the_sub_flow_sees() -> None:
    inner = workflow(
        loop("${ input.list }"), node("x", "data.set", parentId="each", values={"i": "${ input.k }"})
    )
    sub = node("sub", "flow.subflow", workflow=inner, input={"list": [1], "k": "inside"})
    play = Play(workflow(sub), {"k": "outside"})
    await play.run()
    assert started(play)[0].node_id == "sub/each"
    assert (await item(play, 0)).output == {"i": "inside"}


async def test_a_return_ends_the_item() -> None:
    nodes = [
        node("out", "flow.return", parentId="each", output="early"),
        node("slow", "test.work", parentId="each", ms=9000),
    ]
    play = Play(workflow(loop(), *nodes), [1])
    await play.run()
    assert (await item(play, 0)).output == "early"


async def test_a_failed_item_fails_the_loop_and_stops_the_others() -> None:
    play = Play(workflow(loop(), WORK, node("last"), ways="each > last"), [1, 2, 3])
    await play.run()
    play.child_ended("each", "failed", index=1)
    await play.to_end()
    assert play.error.code == "BROKEN"
    (failed,) = [event for event in play.history if isinstance(event, e.StepFailed)]
    assert failed.stops_children


async def test_failed_items_are_collected() -> None:
    play = Play(workflow(loop(onItemError="collect"), WORK), [1, 2])
    await play.run()
    play.child_ended("each", "failed", index=0)
    play.child_ended("each", "cancelled", index=1)
    await play.to_end()
    assert [result["error"]["code"] for result in play.output] == ["BROKEN", "CHILD_CANCELLED"]
    assert {child.wakes for child in started(play)} == {"last"}


async def test_enough_items_end_the_loop_and_stop_the_others() -> None:
    play = Play(workflow(loop(stopAfter=1), WORK), [1, 2, 3])
    await play.run()
    play.child_ended("each", output="won", index=2)
    await play.to_end()
    assert play.output == ["won"]
    (done,) = [event for event in play.history if isinstance(event, e.StepCompleted)]
    assert done.stops_children


async def test_what_is_left_to_start_is_started_by_the_next_runner() -> None:
    items = list(range(700))
    whole = Play(workflow(loop(), WORK), items)
    await whole.run()
    assert [child.index for child in started(whole)] == items
    cut = whole.cut(300)
    await cut.run()
    assert sorted(child.index for child in started(cut) if child.index is not None) == items
    assert {child.child_id for child in started(cut)} == {child.child_id for child in started(whole)}


async def test_a_cancelled_loop_stops_its_children() -> None:
    play = Play(
        workflow(
            node("try", "flow.try"),
            {**loop(), "parentId": "try"},
            WORK,
            node("bad", "flow.fail", parentId="try"),
            node("wait", "logic.delay", durationMs=60_000, parentId="try"),
            ways="wait > bad",
        ),
        [1],
    )
    await play.run()
    play.sweep_timer()
    await play.to_end()
    cancelled = [event for event in play.history if isinstance(event, e.StepCancelled)]
    assert [(event.node_id, event.stops_children) for event in cancelled] == [("each", True)]


@pytest.mark.parametrize("count", [100, 1000])
async def test_the_work_of_an_item_does_not_grow_with_their_number(count: int) -> None:
    play = Play(workflow(loop(), WORK), list(range(count)))
    await play.run()
    for index in range(count):
        play.child_ended("each", output=index, index=index)
    await play.to_end()
    assert play.output == list(range(count))
    assert len(play.history) == 2 * count + 8
