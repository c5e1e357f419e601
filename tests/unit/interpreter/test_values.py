"""What flows: outputs, references, large values, numbers that keep their value."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.interpreter import events as e
from flow_engine.payload import INLINE_BYTES, encode
from tests.unit.interpreter.play import Play, node, played, workflow


def data(node_id: str, **values: Any) -> dict[str, Any]:
    return node(node_id, "data.set", values=values)


# The output of an execution


@pytest.mark.parametrize(
    ("definition", "output"),
    [
        pytest.param(workflow(data("a", n=1)), {"n": 1}, id="the only sink's output"),
        pytest.param(
            workflow(data("a", n=1), data("b", n=2), ways="a > b"),
            {"n": 2},
            id="a node with successors is no sink",
        ),
        pytest.param(
            workflow(data("a", n=1), data("b", n=2)),
            {"a": {"n": 1}, "b": {"n": 2}},
            id="several sinks: by node id",
        ),
        pytest.param(
            workflow(
                node("if", "logic.if", condition=True),
                data("t", n=1),
                data("f", n=2),
                ways="if:true > t; if:false > f",
            ),
            {"n": 1},
            id="skipped nodes are none",
        ),
        pytest.param(
            workflow(node("if", "logic.if", condition=True), node("f"), ways="if:false > f"),
            True,
            id="a node whose edges were not taken is a sink",
        ),
        pytest.param(
            workflow({**node("a", "flow.fail"), "onError": "continue"}), None, id="none completed: null"
        ),
        pytest.param(workflow(data("a", n=1), output="${ nodes.a.output.n + 1 }"), 2, id="an expression"),
        pytest.param(
            workflow(
                data("a", n=1), output={"is": "${ nodes.a.output }", "text": "n = ${ nodes.a.output.n }"}
            ),
            {"is": {"n": 1}, "text": "n = 1"},
            id="a template",
        ),
        pytest.param(
            workflow(data("a", n=1), output="$${ literal }"), "${ literal }", id="an escaped expression"
        ),
        pytest.param(workflow(data("a", n=1), vars={"x": [1]}, output="${ vars.x }"), [1], id="vars"),
    ],
)
async def test_the_output_of_an_execution(definition: dict[str, Any], output: Any) -> None:
    assert (await played(definition)).output == output


async def test_noop_passes_on_what_it_gets() -> None:
    assert (await played(workflow(node("a")), {"in": 1})).output == {"in": 1}
    play = await played(workflow(data("a", n=1), data("b", n=2), node("c"), ways="a > c; b > c"))
    assert play.output == {"a": {"n": 1}, "b": {"n": 2}}
    branch = workflow(
        node("if", "logic.if", condition="${ input }"),
        data("t", n=1),
        data("f", n=2),
        node("end"),
        ways="if:true > t > end; if:false > f > end",
    )
    assert (await played(branch, True)).output == {"n": 1}
    assert (await played(branch, False)).output == {"n": 2}


# References


async def test_what_can_be_seen_of_a_node() -> None:
    values = {
        "done": "${ nodes.done.status }",
        "output": "${ has(nodes.done.output) }",
        "skipped": "${ nodes.skipped.status }",
        "absent": "${ has(nodes.skipped.output) }",
        "default": "${ get(nodes.skipped.output, 7) }",
        "error": "${ has(nodes.done.error) }",
        "failed": "${ nodes.bad.status }",
        "code": "${ nodes.bad.error.code }",
        "null": "${ nodes.bad.output == null }",
    }
    play = await played(
        workflow(
            node("done", "logic.if", condition=True),
            node("skipped"),
            {**node("bad", "flow.fail", code="NO"), "onError": "continue"},
            node("see", "data.set", values=values),
            ways="done:false > skipped > see; done > see; bad > see",
        )
    )
    assert play.output == {
        "done": "completed",
        "output": True,
        "skipped": "skipped",
        "absent": False,
        "default": 7,
        "error": False,
        "failed": "failed",
        "code": "NO",
        "null": True,
    }


async def test_a_node_behind_a_join_of_one_may_see_the_others_unfinished() -> None:
    play = await played(
        workflow(
            node("fast", "test.work", ms=1),
            node("slow", "test.work", ms=1000),
            node("see", "data.set", values={"slow": "${ nodes.slow.status }"}, join="any"),
            ways="fast > see; slow > see",
        )
    )
    assert play.output == {"slow": "running"}
    assert play.outcomes["slow"] == "completed"


async def test_reading_what_is_absent_fails() -> None:
    play = await played(
        workflow(
            node("if", "logic.if", condition=False),
            node("a"),
            data("b", x="${ nodes.a.output }"),
            ways="if:true > a > b; if > b",
        )
    )
    assert play.error.code == "EXPRESSION_FAILED"


async def test_an_execution_knows_itself() -> None:
    play = await played(workflow(data("a", id="${ execution.id }", root="${ execution.rootId }")))
    assert play.output["id"] == play.output["root"] == "0198c0de-0000-7000-8000-000000000001"


async def test_what_comes_in_is_never_evaluated() -> None:
    text = "${ 1 + 1 }"
    play = await played(
        workflow(
            data("a", x="${ input }", y="> ${ input }"),
            node("ask", "human.approval", title="${ nodes.a.output.x }"),
            ways="a > ask",
        ),
        text,
        answers={"ask": {"approved": True, "comment": text}},
    )
    assert play.output_of("a") == {"x": text, "y": f"> {text}"}
    assert play.output == {"approved": True, "comment": text}


# Values


@pytest.mark.parametrize(
    "value",
    [
        9007199254740993,
        -(2**63),
        2**64 + 1,
        1,
        1.0,
        1.5,
        1e300,
        0.1,
        "ü\u2028\0"[:2],
        "",
        None,
        True,
        [],
        {},
        {"b": 1, "a": [None, {"c": False}]},
    ],
)  # fmt: skip
async def test_values_come_out_as_they_went_in(value: Any) -> None:
    play = await played(
        workflow(
            node("a"),
            node("each", "logic.foreach", items="${ [nodes.a.output] }"),
            node("x", parentId="each"),
            ways="a > each",
        ),
        value,
    )
    assert encode(play.output) == encode([value])
    play = await played(workflow(data("a", v="${ input }")), value)
    assert encode(play.output) == encode({"v": value})


async def test_large_values_go_by_reference() -> None:
    text = "x" * INLINE_BYTES
    play = await played(
        workflow(
            data("a", text="${ input }"),
            data("b", same="${ nodes.a.output.text == input }", text="${ nodes.a.output.text }"),
            ways="a > b",
        ),
        text,
    )
    assert play.output == {"same": True, "text": text}
    refs = {
        type(event).__name__: ref
        for event in play.history
        for name in ("input_ref", "output_ref")
        if (ref := getattr(event, name, None)) is not None
    }
    assert set(refs) == {"ExecutionCreated", "StepStarted", "StepCompleted", "ExecutionCompleted"}
    assert refs["StepCompleted"].bytes > INLINE_BYTES
    assert max(len(e.encode_events([event])) for event in play.history) < INLINE_BYTES


async def test_values_up_to_the_limit_are_in_the_history() -> None:
    text = "x" * (INLINE_BYTES - 2)
    play = await played(workflow(node("a")), text)
    assert play.output == text
    assert all(getattr(event, "output_ref", None) is None for event in play.history)


async def test_large_values_survive_a_change_of_hands() -> None:
    items = ["y" * 3000, "z" * 5000]
    play = Play(
        workflow(
            data("a", items="${ input }"),
            node("each", "logic.foreach", items="${ nodes.a.output.items }"),
            node("ask", "human.approval", parentId="each", title="?"),
            data("all", items="${ nodes.a.output.items }", answers="${ nodes.each.output }"),
            ways="a > each > all",
        ),
        items,
    )
    comment = "c" * 6000
    await play.to_end({"ask": {"approved": True, "comment": comment}})
    assert play.output == {"items": items, "answers": [{"approved": True, "comment": comment}] * 2}


async def test_an_output_has_a_size() -> None:
    fits, exceeds = "x" * ((1 << 20) - 2), "x" * ((1 << 20) - 1)
    play = await played(workflow(node("a")), fits)
    assert len(play.output) == len(fits)
    play = await played(workflow(node("a"), node("b"), ways="a:error > b"), exceeds)
    assert play.outcomes["a"] == "failed OUTPUT_TOO_LARGE"


async def test_the_output_of_an_execution_has_a_size_too() -> None:
    text = "x" * 600_000
    play = await played(workflow(node("a"), node("b")), text)
    assert play.error.code == "OUTPUT_TOO_LARGE"


async def test_the_list_of_a_loop_has_a_size() -> None:
    play = await played(workflow(node("each", "logic.foreach", items=["x" * 600_000] * 2)))
    assert play.outcomes["each"] == "failed OUTPUT_TOO_LARGE"


async def test_the_outputs_of_a_loop_have_a_size() -> None:
    play = await played(
        workflow(
            node("each", "logic.foreach", items=[1, 2]),
            node("x", "data.set", parentId="each", values={"text": "${ input }"}),
        ),
        "x" * 600_000,
    )
    assert play.outcomes["each"] == "failed OUTPUT_TOO_LARGE"


async def test_a_history_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow_engine.interpreter.runner.MAX_HISTORY_BYTES", 50_000)
    definition = workflow(
        node("each", "logic.foreach", items="${ input }"),
        node("x", "data.set", parentId="each", values={"text": "x" * 1000}),
        node("after", "test.work", ms=1000),
    )
    play = Play(definition, list(range(100)))
    await play.to_end()
    assert play.error.code == "HISTORY_TOO_LARGE"
    assert play.outcomes["each"] == "cancelled timeout"


async def test_a_history_keeps_its_size_over_a_change_of_hands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow_engine.interpreter.runner.MAX_HISTORY_BYTES", 50_000)
    play = Play(
        workflow(
            node("each", "logic.foreach", items="${ input }"),
            node("ask", "human.approval", parentId="each", title="x" * 400),
        ),
        list(range(100)),
    )
    await play.to_end({"ask": {"approved": True, "comment": "y" * 3000}})
    assert play.error.code == "HISTORY_TOO_LARGE"


async def test_the_result_lists_output_and_steps() -> None:
    play = await played(workflow(data("a", n=1), node("b"), ways="a > b"))
    give_up = play.execution.given_up
    assert give_up is not None
    assert b'"nodeId":"a"' in give_up.result
    assert b'"output":{"n":1}' in give_up.result
