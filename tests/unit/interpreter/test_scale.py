"""Large graphs and long loops: work and commits grow with the number of steps, no faster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flow_engine.interpreter import events as e
from flow_engine.interpreter.journal import Entry
from flow_engine.interpreter.recorder import ENTRY_BYTES, HOLD_EVENTS
from tests.unit.interpreter.play import Play, compiled, edges, folded, node, workflow

NODES = 5_000
ITEMS = 10_000


def chain(type_name: str) -> dict[str, Any]:
    return workflow(*(node(f"n{n}", type_name) for n in range(NODES))) | {
        "edges": edges(" > ".join(f"n{n}" for n in range(NODES)))
    }


def fan_out() -> dict[str, Any]:
    leaves = [f"n{n}" for n in range(NODES - 2)]
    return workflow(node("first"), *(node(leaf) for leaf in leaves), node("last")) | {
        "edges": edges(";".join(f"first > {leaf} > last" for leaf in leaves)),
        "output": "done",
    }


def loop(**fields: Any) -> dict[str, Any]:
    return workflow(
        node("each", "logic.foreach", items="${ input }", **fields),
        node("x", "data.set", parentId="each", values={"n": "${ item }"}),
    )


def run(definition: dict[str, Any], value: Any = None) -> Play:
    """In real time: how long one may run without a pause depends on it."""

    async def go() -> Play:
        play = Play(definition, value)
        await play.to_end()
        return play

    return asyncio.run(go())


def costs_are_bounded(play: Play, steps: int) -> None:
    events = [event for event in play.history if isinstance(event, e.StepEvent)]
    assert len(events) == 2 * steps
    assert play.execution.commits <= len(events) / HOLD_EVENTS * 2 + 60
    assert play.execution.empty_commits == 0


def test_a_chain_of_thousands() -> None:
    play = run(chain("flow.noop"), {"n": 1})
    assert play.output == {"n": 1}
    costs_are_bounded(play, NODES)


def test_a_fan_out_of_thousands() -> None:
    play = run(fan_out())
    assert play.output == "done"
    costs_are_bounded(play, NODES)


@pytest.mark.parametrize("concurrency", [1, 100])
def test_a_loop_of_ten_thousand(concurrency: int) -> None:
    play = run(loop(concurrency=concurrency), list(range(ITEMS)))
    assert play.output == [{"n": n} for n in range(ITEMS)]
    costs_are_bounded(play, ITEMS + 1)


def test_a_join_of_thousands_that_cancels_the_rest() -> None:
    """All branches but one wait; the join takes the first and cancels thousands."""
    definition = fan_out()
    for one in definition["nodes"][2:-1]:
        one.update(type="logic.delay", config={"durationMs": 3_600_000})
    definition["nodes"][-1].update(type="logic.join", join="any", config={"cancelRest": True})
    play = run({**definition, "maxParallel": NODES})
    cancelled = [event for event in play.history if isinstance(event, e.StepCancelled)]
    assert len(cancelled) == NODES - 3
    assert play.output == "done"


def test_loops_eight_deep() -> None:
    """Two iterations each: 256 innermost ones, and an iteration path of eight numbers."""
    nodes: list[dict[str, Any]] = []
    parent: dict[str, Any] = {}
    for depth in range(8):
        nodes.append(node(f"l{depth}", "logic.foreach", items=[0, 1], concurrency=2, **parent))
        parent = {"parentId": f"l{depth}"}
    inside = "${ " + " + ".join(f"loops.l{depth}.index" for depth in range(8)) + " }"
    play = run(workflow(*nodes, node("x", "data.set", values={"ones": inside}, **parent)))
    outputs = [play.output]
    for _ in range(8):
        outputs = [inner for output in outputs for inner in output]
    assert [output["ones"] for output in outputs] == [n.bit_count() for n in range(256)]
    costs_are_bounded(play, 255 + 256)
    assert max(len(event.iteration) for event in play.history if isinstance(event, e.StepEvent)) == 8


def test_thousands_of_skips_are_no_recursion() -> None:
    definition = chain("flow.noop")
    definition["nodes"][0] = node("n0", "logic.if", condition=False)
    definition["edges"][0]["sourceHandle"] = "true"
    play = run(definition)
    assert sum(isinstance(event, e.StepSkipped) for event in play.history) == NODES - 1


def test_thousands_of_cancelled_steps_are_no_recursion() -> None:
    definition = chain("flow.noop")
    definition["nodes"][0] = node("n0", "flow.fail")
    play = run(definition)
    assert sum(isinstance(event, e.StepCancelled) for event in play.history) == NODES - 1


def test_a_fold_of_a_long_history() -> None:
    play = run(loop(), list(range(ITEMS)))
    state = folded(compiled(loop()), play.history)
    assert state.ended == "completed"
    assert list(state.scopes) == [(None, ())], "finished iterations leave nothing behind"


@pytest.mark.parametrize(("items", "length"), [(1_500, 3_000), (100, 300_000)])
def test_an_entry_fits_into_a_message_however_much_was_held(items: int, length: int) -> None:
    """Inline values and large ones, recorded faster than they are committed."""
    sizes: list[int] = []

    def weighed(entry: Entry) -> str:
        events = len(e.encode_events(entry.events))
        sizes.append(events + sum(len(payload.text) for payload in entry.payloads))
        return ""

    async def go() -> Play:
        definition = workflow(
            node("each", "logic.foreach", items="${ input.items }", concurrency=min(items, 1_000)),
            node("large", "data.set", parentId="each", values={"text": "${ input.text }"}),
            node("small", "data.set", parentId="each", values={"n": "${ item }"}),
            ways="large > small",
        )
        play = Play(definition, {"items": list(range(items)), "text": "x" * length})
        await play.run(weighed)
        return play

    play = asyncio.run(go())
    assert play.execution.status == "completed"
    assert sum(sizes) > 2 * ENTRY_BYTES
    assert max(sizes) < ENTRY_BYTES + 2 * length + 100_000
    assert folded(play.graph, play.history).ended
