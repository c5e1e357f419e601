"""Sub-flows in the history of their parent: what they see, how they end, what becomes of their failures."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.payload import JsonValue
from services.executor.fork import fork
from tests.unit.interpreter.play import Play, node, played, workflow
from tests.unit.interpreter.virtual_time import database_now


def data(node_id: str, /, parentId: str | None = None, **values: Any) -> dict[str, Any]:  # noqa: N803
    return node(node_id, "data.set", values=values, **({"parentId": parentId} if parentId else {}))


def subflow(node_id: str, *nodes: dict[str, Any], input: JsonValue = None, **fields: Any) -> dict[str, Any]:  # noqa: A002
    own = {key: fields.pop(key) for key in ("parentId", "onError", "timeoutMs", "join") if key in fields}
    return node(node_id, "flow.subflow", workflow=workflow(*nodes, **fields), input=input, **own)


DOUBLE = data("double", n="${ input.n * 2 }")


async def test_a_subflow_runs_in_the_place_of_its_node() -> None:
    play = await played(workflow(subflow("sub", DOUBLE, input={"n": "${ input }"})), 21)
    assert play.output == {"n": 42}
    assert play.trace == [
        "sub started",
        "sub/double[0] started",
        "sub/double[0] completed",
        "sub completed",
        "completed",
    ]


async def test_a_subflow_sees_its_own_input_nodes_and_vars_only() -> None:
    inner = [
        data("same", seen="${ input.given }", v="${ vars.v }"),
        data("all", nodes="${ nodes }", vars="${ vars }"),
    ]
    outer = [
        data("same", mine="${ vars.v }"),
        subflow(
            "sub", *inner, input={"given": "${ nodes.same.output.mine }"}, ways="same > all", vars={"v": 2}
        ),
    ]
    play = await played(workflow(*outer, ways="same > sub", vars={"v": 1, "w": 0}), {"given": "outside"})
    same = {"seen": 1, "v": 2}
    assert play.output["nodes"]["same"] == {"status": "completed", "output": same}
    assert set(play.output["nodes"]) == {"same", "all"}
    assert play.output["vars"] == {"v": 2}


async def test_the_output_of_a_subflow_is_what_its_definition_says() -> None:
    inner = [data("a", x=1), data("b", x=2)]
    output = {"sum": "${ nodes.a.output.x + nodes.b.output.x + vars.c + input }"}
    play = await played(workflow(subflow("sub", *inner, input=10, vars={"c": 100}, output=output)))
    assert play.output == {"sum": 113}


async def test_an_output_that_fails_fails_the_node() -> None:
    sub = subflow(
        "sub", data("a", x="${ input }"), input=0, output="${ 1 / nodes.a.output.x }", onError="continue"
    )
    play = await played(workflow(sub, data("then", code="${ nodes.sub.error.code }"), ways="sub > then"))
    assert play.output == {"code": "OUTPUT_FAILED"}


async def test_return_ends_the_nearest_subflow_only() -> None:
    inner = [
        node("each", "logic.foreach", items=[1, 2, 3]),
        node("out", "flow.return", output="${ item }", parentId="each"),
        node("slow", "test.work", ms=5000),
    ]
    play = await played(
        workflow(subflow("sub", *inner), data("after", got="${ nodes.sub.output }"), ways="sub > after")
    )
    assert play.output == {"got": 1}
    assert "sub/slow[0] cancelled returned" in play.trace
    assert not any("out[0,1]" in line for line in play.trace)


async def test_a_return_outranks_the_output_of_the_definition() -> None:
    sub = subflow("sub", node("out", "flow.return", output="early"), output="late")
    assert (await played(workflow(sub))).output == "early"


async def test_a_failure_inside_is_the_failure_of_the_node() -> None:
    play = await played(workflow(subflow("sub", node("bad", "flow.fail", code="BROKEN"))))
    assert play.trace[-2:] == ["sub failed BROKEN", "failed BROKEN"]
    assert (play.error.node_id, play.error.iteration) == ("sub/bad", (0,))


@pytest.mark.parametrize(
    ("on_error", "ways", "ran"),
    [("continue", "sub > then", "completed"), ("branch", "sub:error > then", "completed")],
)
async def test_its_on_error_decides(on_error: str, ways: str, ran: str) -> None:
    sub = subflow("sub", node("bad", "flow.fail", code="BROKEN"), onError=on_error)
    play = await played(workflow(sub, node("then", "flow.noop"), ways=ways))
    assert play.outcomes["then"] == ran


async def test_the_input_is_checked_against_its_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    sub = subflow("sub", DOUBLE, input={"n": "${ input }"}, inputSchema=schema)
    play = await played(workflow(sub), "many")
    assert play.error.code == "INPUT_INVALID"
    assert play.error.message.startswith("input/n: ")
    assert "sub/double[0]" not in play.outcomes


async def test_subflows_inside_subflows_and_loops_have_paths_of_their_own() -> None:
    inner = subflow("in", data("leaf", n="${ input.n }"), input={"n": "${ input.n + 1 }"})
    middle = subflow("mid", inner, input={"n": "${ item }"}, parentId="each")
    loop = node("each", "logic.foreach", items=[1, 2])
    play = await played(workflow(loop, middle))
    assert play.output == [{"n": 2}, {"n": 3}]
    assert [line for line in play.trace if "leaf" in line and "completed" in line] == [
        "mid/in/leaf[0,0,0] completed",
        "mid/in/leaf[1,0,0] completed",
    ]


async def test_loops_inside_a_subflow_are_named_as_its_definition_names_them() -> None:
    inner = [
        node("each", "logic.foreach", items="${ input }"),
        data("leaf", parentId="each", at="${ loops.each.index }", item="${ item }"),
    ]
    loop = node("outer", "logic.foreach", items=[["a"], ["b", "c"]])
    play = await played(workflow(loop, subflow("sub", *inner, input="${ item }", parentId="outer")))
    assert play.output == [
        [{"at": 0, "item": "a"}],
        [{"at": 0, "item": "b"}, {"at": 1, "item": "c"}],
    ]


async def test_a_node_without_predecessors_passes_on_the_input_of_its_subflow() -> None:
    assert (await played(workflow(subflow("sub", node("pass"), input=[1])), "outside")).output == [1]


async def test_its_nodes_retry_as_its_definition_says() -> None:
    retry = {"maxAttempts": 3, "initialIntervalMs": 1}
    sub = subflow("sub", node("work", "test.work", failFirst=2, output=1), retry=retry)
    play = await played(workflow(sub))
    assert play.output == 1
    assert play.world.ran("sub/work") == 3


async def test_the_time_of_its_definition_bounds_it() -> None:
    sub = subflow("sub", node("work", "test.work", ms=10_000), timeoutMs=None)
    sub["config"]["workflow"]["timeoutMs"] = 100
    del sub["timeoutMs"]
    play = await played(workflow(sub))
    assert play.trace[-3:] == ["sub/work[0] cancelled timeout", "sub failed TIMEOUT", "failed TIMEOUT"]


async def test_a_wait_inside_lets_go_of_the_execution_and_is_answered() -> None:
    play = Play(workflow(subflow("sub", node("ask", "human.approval", title="?"))), None)
    assert (await play.run()).status == "waiting"
    play.answer("sub/ask", {"approved": True}, (0,))
    assert (await play.run()).status == "completed"


async def test_a_pause_holds_it_between_its_nodes() -> None:
    sub = subflow("sub", node("a", "test.work", ms=50), node("b", "test.work", output=1), ways="a > b")
    play = Play(workflow(sub))
    play.begin()
    await play.until_running("sub/a")
    play.pause()
    assert (await play.finish()).status == "paused"
    play.resume()
    assert (await play.run()).status == "completed"
    assert [call[0] for call in play.world.calls] == ["sub/a", "sub/b"]


async def test_a_retry_keeps_what_was_done_inside() -> None:
    first = [node("a", "test.work", output=1), node("b", "flow.fail", code="BROKEN")]
    definition = workflow(subflow("sub", *first, ways="a > b"))
    play = await played(definition)
    forked = fork(play.graph, play.view, "", database_now())
    assert [(kept.node_id, kept.iteration) for kept in forked.kept] == [("sub/a", (0,))]
    again = Play(definition, forked=forked)
    await again.to_end()
    assert again.world.calls == []
    assert again.outcomes["sub/b[0]"] == "failed BROKEN"


async def test_a_retry_from_a_node_inside_runs_it_again() -> None:
    sub = subflow("sub", node("a", "test.work", output=1), node("b", "test.work", output=2), ways="a > b")
    definition = workflow(sub, node("bad", "flow.fail", code="BROKEN"), ways="sub > bad")
    play = await played(definition)
    forked = fork(play.graph, play.view, "sub/b", database_now())
    again = Play(definition, forked=forked)
    await again.to_end()
    assert [call[0] for call in again.world.calls] == ["sub/b"]


async def test_a_return_of_a_subflow_that_was_cancelled_returns_again() -> None:
    once = node("once", "test.work", ms=10_000, atMostOnce=True)
    inner = [once, node("before", "test.work", ms=1), node("out", "flow.return", output=1)]
    definition = workflow(subflow("sub", *inner, ways="before > out"))
    play = Play(definition)
    play.begin()
    await play.until(lambda: "sub/out[0]" in play.outcomes)
    play.cancel()
    assert (await play.finish()).status == "cancelled"
    forked = fork(play.graph, play.view, "", database_now())
    assert "sub/out" not in {kept.node_id for kept in forked.kept}
