"""foreach: scopes within scopes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.interpreter.play import Play, node, played, workflow


def work(node_id: str, **fields: Any) -> dict[str, Any]:
    return node(node_id, "test.work", **fields)


def loop(node_id: str = "each", items: Any = "${ input }", **fields: Any) -> dict[str, Any]:
    return node(node_id, "logic.foreach", items=items, **fields)


def doubled(parent: str = "each") -> dict[str, Any]:
    return node("x", "data.set", parentId=parent, values={"twice": "${ item * 2 }", "at": "${ index }"})


async def test_the_output_is_a_list_in_the_order_of_the_items() -> None:
    play = await played(
        workflow(loop(concurrency=3), work("x", parentId="each", ms="${ item }", output="${ item }")),
        [30, 10, 20],
    )
    assert play.output == [30, 10, 20]
    ends = [line for line in play.trace if "completed" in line]
    assert ends == ["x[1] completed", "x[2] completed", "x[0] completed", "each completed", "completed"]


async def test_iterations_run_one_after_another_by_default() -> None:
    play = await played(workflow(loop(), work("x", parentId="each")), [1, 2, 3])
    assert play.world.most_running == 1
    assert [line for line in play.trace if "started" in line] == [
        "each started",
        "x[0] started",
        "x[1] started",
        "x[2] started",
    ]


async def test_at_most_so_many_at_once() -> None:
    play = await played(workflow(loop(concurrency=4), work("x", parentId="each")), list(range(13)))
    assert play.world.most_running == 4
    assert play.world.ran("x") == 13


async def test_max_parallel_counts_over_all_scopes() -> None:
    play = await played(
        workflow(loop(concurrency=10), work("x", parentId="each"), work("y"), maxParallel=3), list(range(9))
    )
    assert play.world.most_running == 3


async def test_an_empty_list_gives_an_empty_list() -> None:
    play = await played(workflow(loop(), work("x", parentId="each")), [])
    assert play.output == []
    assert play.outcomes == {"each": "completed"}


async def test_a_loop_without_nodes_gives_a_null_for_each_item() -> None:
    play = await played(workflow(loop()), [1, 2, 3])
    assert play.output == [None, None, None]


async def test_items_see_item_index_and_iteration() -> None:
    values = {"item": "${ item }", "index": "${ index }", "iteration": "${ iteration }"}
    play = await played(workflow(loop(), node("x", "data.set", parentId="each", values=values)), ["a", "b"])
    assert play.output == [
        {"item": "a", "index": 0, "iteration": 0},
        {"item": "b", "index": 1, "iteration": 1},
    ]


async def test_loops_nest_and_see_one_another() -> None:
    values = {"pair": "${ [loops.outer.item, loops.inner.item, loops.outer.index, index] }"}
    play = await played(
        workflow(
            loop("outer", items=["a", "b"]),
            loop("inner", items=[1, 2], parentId="outer"),
            node("x", "data.set", parentId="inner", values=values),
        )
    )
    assert play.output == [
        [{"pair": ["a", 1, 0, 0]}, {"pair": ["a", 2, 0, 1]}],
        [{"pair": ["b", 1, 1, 0]}, {"pair": ["b", 2, 1, 1]}],
    ]
    assert "x[1,0] completed" in play.trace


async def test_nodes_inside_see_those_before_the_loop() -> None:
    play = await played(
        workflow(
            node("before", "data.set", values={"n": 10}),
            loop(),
            node("x", "data.set", parentId="each", values={"n": "${ nodes.before.output.n + item }"}),
            ways="before > each",
        ),
        [1, 2],
    )
    assert play.output == [{"n": 11}, {"n": 12}]


async def test_a_noop_that_begins_an_iteration_passes_on_the_item() -> None:
    play = await played(workflow(loop(), node("x", parentId="each")), ["a", {"b": 1}])
    assert play.output == ["a", {"b": 1}]


async def test_an_iteration_with_several_ends_gives_an_object() -> None:
    play = await played(
        workflow(
            loop(),
            node("if", "logic.if", parentId="each", condition="${ item > 1 }"),
            node("big", "data.set", parentId="each", values={"big": "${ item }"}),
            node("also", "data.set", parentId="each", values={"also": "${ item }"}),
            ways="if:true > big; if:true > also",
        ),
        [1, 2],
    )
    assert play.output == [False, {"big": {"big": 2}, "also": {"also": 2}}]


async def test_branches_are_skipped_within_their_iteration() -> None:
    play = await played(
        workflow(
            loop(),
            node("if", "logic.if", parentId="each", condition="${ item > 1 }"),
            node("t", parentId="each"),
            node("f", parentId="each"),
            ways="if:true > t; if:false > f",
        ),
        [1, 2],
    )
    assert play.outcomes == {
        "if[0]": "completed false",
        "t[0]": "skipped",
        "f[0]": "completed",
        "if[1]": "completed true",
        "t[1]": "completed",
        "f[1]": "skipped",
        "each": "completed",
    }


async def test_the_first_failed_item_fails_the_loop() -> None:
    play = await played(
        workflow(
            loop(concurrency=2),
            work("x", parentId="each", ms="${ item.ms }", failFirst="${ item.fail }"),
            node("after", parentId="each"),
            ways="x > after",
        ),
        [{"ms": 60_000, "fail": 0}, {"ms": 5, "fail": 9}, {"ms": 1, "fail": 0}],
    )
    assert play.outcomes == {
        "x[1]": "failed BROKEN",
        "after[1]": "cancelled siblingFailed",
        "x[0]": "cancelled siblingFailed",
        "after[0]": "cancelled siblingFailed",
        "each": "failed BROKEN",
    }
    assert (play.error.code, play.error.node_id, play.error.iteration) == ("BROKEN", "x", (1,))
    assert play.world.ran("x") == 2


async def test_collect_puts_an_error_in_the_place_of_a_failed_item() -> None:
    play = await played(
        workflow(
            loop(onItemError="collect", concurrency=2),
            work("x", parentId="each", failFirst="${ item }", output="fine"),
        ),
        [0, 9, 0],
    )
    assert play.output == ["fine", {"error": {"code": "BROKEN", "message": "it did not work"}}, "fine"]


async def test_a_failed_loop_can_be_handled() -> None:
    play = await played(
        workflow(
            loop(),
            node("x", "flow.fail", parentId="each", code="NO"),
            node("saved", "data.set", values={"code": "${ nodes.each.error.code }"}),
            ways="each:error > saved",
        ),
        [1, 2],
    )
    assert play.output == {"code": "NO"}


async def test_a_failure_inside_can_be_handled_inside() -> None:
    play = await played(
        workflow(
            loop(),
            node("x", "flow.fail", parentId="each"),
            node("saved", "data.set", parentId="each", values={"i": "${ index }"}),
            ways="x:error > saved",
        ),
        [7, 8],
    )
    assert play.output == [{"i": 0}, {"i": 1}]


@pytest.mark.parametrize(
    ("items", "code"),
    [
        pytest.param({"a": 1}, "CONFIG_INVALID", id="an object is no list"),
        pytest.param("text", "CONFIG_INVALID", id="a string is no list"),
        pytest.param(None, "CONFIG_INVALID", id="null is no list"),
        pytest.param([1, 2, 3, 4], "ITERATION_LIMIT", id="too many items"),
    ],
)
async def test_a_loop_fails_before_its_first_item(items: Any, code: str) -> None:
    play = await played(workflow(loop(maxIterations=3), work("x", parentId="each")), items)
    assert play.trace == ["each started", f"each failed {code}", f"failed {code}"]
    assert play.world.calls == []


async def test_items_are_evaluated_once_and_stored() -> None:
    items = [{"n": n, "text": "x" * 1000} for n in range(20)]
    play = Play(
        workflow(
            loop(items="${ input }"),
            work("x", parentId="each", ms=1000, output="${ item.n }"),
        ),
        items,
    )
    play.begin()
    await play.until(lambda: play.world.ran("x") == 3)
    await play.die()
    await play.run()
    assert play.output == list(range(20))
    assert sum(line == "each started" for line in play.trace) == 1
    assert play.world.ran("x") == 21


async def test_the_time_of_a_loop_is_for_the_whole() -> None:
    play = await played(
        workflow(
            loop(timeoutMs=2500, onError="continue"),
            work("x", parentId="each", ms=1000),
            node("after"),
            ways="each > after",
        ),
        [1, 2, 3, 4],
    )
    assert play.outcomes == {
        "x[0]": "completed",
        "x[1]": "completed",
        "x[2]": "cancelled timeout",
        "each": "failed TIMEOUT",
        "after": "completed",
    }
    assert play.error_of("each").node_id == "each"


async def test_the_time_of_a_loop_goes_on_while_everything_in_it_waits() -> None:
    play = await played(
        workflow(loop(timeoutMs=60_000), node("ask", "human.approval", parentId="each", title="?")), [1]
    )
    assert play.outcomes == {"ask[0]": "cancelled timeout", "each": "failed TIMEOUT"}
    assert play.seconds_between("each started", "each failed TIMEOUT") == pytest.approx(60, abs=0.1)


async def test_a_time_out_is_not_forgotten_when_the_runner_is_lost_after_it() -> None:
    """The cancelled steps are committed, the failure of the loop is not: nobody may take them for decided."""
    definition = workflow(
        loop(timeoutMs=1500, onError="continue"),
        work("x", parentId="each", ms=1000),
        work("y", parentId="each", ms=1000),
        ways="x > y",
    )
    whole = await played(definition, [1])
    cancelled = whole.trace.index("y[0] cancelled timeout")
    assert whole.trace[cancelled + 1 :] == ["each failed TIMEOUT", "completed"]
    play = whole.cut(len(whole.history) - 2)
    await play.to_end()
    assert play.trace == whole.trace


async def test_answers_find_their_iteration() -> None:
    play = Play(
        workflow(loop(concurrency=2), node("ask", "human.approval", parentId="each", title="${ item }")),
        ["a", "b"],
    )
    assert (await play.run()).status == "waiting"
    play.answer("ask", {"approved": False}, [1])
    assert (await play.run()).status == "waiting"
    play.answer("ask", {"approved": True}, [0])
    assert (await play.run()).status == "completed"
    assert play.output == [{"approved": True, "comment": None}, {"approved": False, "comment": None}]


async def test_step_keys_differ_by_iteration() -> None:
    play = await played(workflow(loop(concurrency=2), work("x", parentId="each")), [1, 2, 3])
    assert len({key for *_, key in play.world.calls}) == 3
