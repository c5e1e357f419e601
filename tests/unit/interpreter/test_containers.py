"""while, try, return, early ends: what is run, what is cancelled, what comes out."""

from __future__ import annotations

from typing import Any

from tests.unit.interpreter.play import node, played, workflow


def work(node_id: str, **fields: Any) -> dict[str, Any]:
    return node(node_id, "test.work", **fields)


def counting(node_id: str = "count", **fields: Any) -> dict[str, Any]:
    values = {"n": "${ previous == null ? 1 : previous.n + 1 }"}
    return node(node_id, "data.set", values=values, **fields)


async def test_a_while_runs_as_long_as_its_condition_holds_and_puts_out_its_last() -> None:
    condition = "${ previous == null || previous.n < input }"
    play = await played(
        workflow(node("loop", "logic.while", condition=condition), counting(parentId="loop")), 3
    )
    assert play.output == {"n": 3}
    assert [line for line in play.trace if "count" in line and "completed" in line] == [
        "count[0] completed",
        "count[1] completed",
        "count[2] completed",
    ]


async def test_a_while_whose_condition_never_held_puts_out_null() -> None:
    play = await played(
        workflow(node("loop", "logic.while", condition=False), counting(parentId="loop")), None
    )
    assert play.output is None
    assert play.outcomes == {"loop": "completed"}


async def test_a_while_that_checks_after_runs_at_least_once() -> None:
    play = await played(
        workflow(node("loop", "logic.while", condition=False, check="after"), counting(parentId="loop")), None
    )
    assert play.output == {"n": 1}


async def test_a_while_is_bounded() -> None:
    play = await played(
        workflow(node("loop", "logic.while", condition=True, maxIterations=4), counting(parentId="loop")),
        None,
    )
    assert play.trace[-1] == "failed ITERATION_LIMIT"
    assert len([line for line in play.trace if line.startswith("count") and "completed" in line]) == 4


async def test_a_condition_that_fails_fails_its_loop() -> None:
    play = await played(
        workflow(node("loop", "logic.while", condition="${ input.x > 1 }"), counting(parentId="loop")), {}
    )
    assert play.trace[-1] == "failed EXPRESSION_FAILED"


async def test_a_try_goes_on_with_what_succeeded() -> None:
    play = await played(
        workflow(
            node("try", "flow.try"),
            work("x", parentId="try", output="fine"),
            node("well", "flow.noop"),
            node("badly", "flow.noop"),
            ways="try:success > well; try:caught > badly",
        )
    )
    assert play.output == "fine"
    assert play.outcomes["badly"] == "skipped"


async def test_a_try_catches_by_code_and_goes_on_finally() -> None:
    catch = [{"codes": ["OTHER"], "handle": "other"}, {"codes": ["BROKEN"], "handle": "broken"}]
    play = await played(
        workflow(
            node("try", "flow.try", catch=catch),
            node("x", "flow.fail", parentId="try", code="BROKEN", message="no"),
            node("mend", "data.set", values={"code": "${ nodes.try.output.error.code }"}),
            node("last", "data.set", values={"done": True}),
            ways="try:broken > mend; try > last",
        )
    )
    assert play.output == {"mend": {"code": "BROKEN"}, "last": {"done": True}}


async def test_an_error_that_no_catch_names_fails_the_try() -> None:
    play = await played(
        workflow(
            node("try", "flow.try", catch=[{"codes": ["OTHER"]}]),
            node("x", "flow.fail", parentId="try", code="BROKEN", message="no"),
        )
    )
    assert play.trace[-1] == "failed BROKEN"


async def test_a_try_inside_a_loop_sees_the_item() -> None:
    play = await played(
        workflow(
            node("each", "logic.foreach", items="${ input }"),
            node("try", "flow.try", parentId="each"),
            node(
                "x", "data.set", parentId="try", values={"item": "${ item }", "of": "${ loops.each.index }"}
            ),
        ),
        ["a", "b"],
    )
    assert play.output == [{"item": "a", "of": 0}, {"item": "b", "of": 1}]


async def test_return_ends_the_execution_from_inside_a_loop_and_cancels_the_rest() -> None:
    play = await played(
        workflow(
            work("slow", ms=3000),
            node("each", "logic.foreach", items="${ input }"),
            node("is", "logic.if", parentId="each", condition="${ item == 2 }"),
            node("found", "flow.return", parentId="each", output={"found": "${ item }"}),
            ways="is:true > found",
        ),
        [1, 2, 3],
    )
    assert play.output == {"found": 2}
    assert "slow cancelled returned" in play.trace
    assert not any(line.startswith("is[2] started") for line in play.trace)


async def test_return_outranks_the_output_of_the_definition() -> None:
    play = await played(workflow(node("r", "flow.return", output=1), output="${ 2 }"))
    assert play.output == 1


async def test_a_join_cancels_what_leads_only_to_it_and_nothing_else() -> None:
    play = await played(
        workflow(
            work("quick", ms=10, output="quick"),
            work("slow", ms=3000),
            work("behind"),
            work("kept", ms=50, output="kept"),
            node("join", "logic.join", join="any", cancelRest=True),
            node("other", "flow.noop"),
            ways="quick > join; slow > behind; behind > join; kept > join; kept > other",
        )
    )
    assert play.output == {"join": "quick", "other": "kept"}
    assert {"slow cancelled joinSatisfied", "behind cancelled joinSatisfied"} <= set(play.trace)
    assert play.outcomes["kept"] == "completed"


async def test_a_loop_that_has_enough_cancels_the_rest() -> None:
    play = await played(
        workflow(
            node("each", "logic.foreach", items="${ input }", concurrency=4, stopAfter=2),
            work("x", parentId="each", ms="${ item }", output="${ item }"),
        ),
        [300, 10, 3000, 20],
    )
    assert play.output == [10, 20]
    assert {"x[0] cancelled enough", "x[2] cancelled enough"} <= set(play.trace)
