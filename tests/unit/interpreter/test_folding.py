"""State is what history amounts to, whoever folds it and wherever it was cut."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.interpreter import events as e
from flow_engine.interpreter.decisions import decide
from flow_engine.interpreter.state import ExecutionState
from flow_engine.payload import Payload
from tests.unit.interpreter.play import Play, compiled, folded, node, outcomes, played, workflow
from tests.unit.interpreter.told import orders, past

RETRY = {"maxAttempts": 3, "initialIntervalMs": 10}
SUB = workflow(
    node("each", "logic.foreach", items="${ input }"),
    node("x", "test.work", parentId="each", output="${ item }"),
    node("rest", "test.work", ms=5000),
    node("out", "flow.return", output="${ nodes.each.output }"),
    ways="each > out",
)
EVERYTHING = workflow(
    node("start", "data.set", values={"items": "${ input }"}),
    node("if", "logic.if", condition="${ size(input) > 1 }"),
    node("few"),
    node(
        "each", "logic.foreach", items="${ nodes.start.output.items }", concurrency=2, onItemError="collect"
    ),
    node("x", "test.work", parentId="each", ms="${ item }", failFirst="${ item == 3 ? 9 : 1 }", retry=RETRY),
    node("y", parentId="each"),
    node("inner", "logic.foreach", parentId="each", items=[1, 2]),
    node("z", "data.set", parentId="inner", values={"sum": "${ loops.each.item + item }"}),
    node("ask", "human.approval", title="?"),
    node("wait", "logic.delay", durationMs=60_000),
    node("any", "data.set", values={"one": "suffices"}, join="any"),
    {**node("bad", "flow.fail"), "onError": "continue"},
    node("sub", "flow.subflow", input="${ input }", workflow=SUB),
    node("end"),
    ways="start > sub > end; start > if; if:false > few; if:true > each; x > y; x > inner; if > ask; "
    "ask:approved > any; wait > any; start > bad > end; any > end; each > end",
)
YES = {"ask": {"approved": True, "comment": "c" * 5000}}


@pytest.mark.parametrize("snapshot_after", [1, 1_000_000])
async def test_refolding_a_recorded_history_gives_the_state_of_its_runner(snapshot_after: int) -> None:
    play = Play(EVERYTHING, [1, 3, 2, 4], snapshot_after=snapshot_after)
    while play.execution.status not in ("completed", "failed"):
        play.begin()
        runner = play.runner
        assert runner is not None
        await play.finish()
        assert picture(runner.state) == picture(play.state)
        assert runner.view is None or runner.view.steps == play.view.steps
        play.wake(YES)
    assert play.execution.status == "completed"


@pytest.mark.parametrize("input", [[1, 3, 2, 4], [5], []])
async def test_from_every_point_of_its_history_an_execution_comes_to_the_same_end(input: Any) -> None:  # noqa: A002
    """Whatever was committed when the process died, the next runner goes on from there."""
    whole = await played(EVERYTHING, input, answers=YES)
    settled: set[str] = set()
    for sequence in range(1, len(whole.history)):
        play = whole.cut(sequence)
        settled = set(outcomes(play.history))
        if play.execution.status == "pending":
            await play.to_end(YES)
        assert play.output == whole.output
        assert results(play) == results(whole)
        again = [
            event
            for event in play.history[sequence:]
            if isinstance(event, e.StepStarted) and _name(event) in settled
        ]
        assert again == [], "what was finished ran again"


async def test_every_prefix_of_a_history_can_be_decided_upon() -> None:
    whole = await played(EVERYTHING, [1, 3], answers=YES)
    graph = compiled(EVERYTHING)
    for sequence in range(1, len(whole.history) + 1):
        decide(graph, whole.history[:sequence])
    assert orders(decide(graph, whole.history)) == []


def test_an_iteration_that_began_before_a_cancellation_was_known_is_part_of_the_fold() -> None:
    """The runner writes what it did; the cancellation has the lower sequence."""
    graph = compiled(
        workflow(node("each", "logic.foreach", items="${ input }"), node("x", "test.work", parentId="each"))
    )
    history = past("each started 3 items", "cancelRequested", "x[0] completed", "x[1] started")
    assert orders(decide(graph, history)) == ["cancel x[1] request"]
    history = past(
        "each started 3 items", "cancelRequested", "x[0] completed", "x[1] started", "x[1] cancelled request"
    )
    assert orders(decide(graph, history)) == ["cancel each request"]


# Retried executions keep what was finished


def fork(*kept: e.KeptStep, again: tuple[e.Generation, ...] = ()) -> e.ExecutionForked:
    return e.ExecutionForked(time=past()[0].time, kept=kept, generations=again)


def kept(node_id: str, *iteration: int, output: Any = None, **fields: Any) -> e.KeptStep:
    return e.KeptStep(
        node_id=node_id, iteration=iteration, **e.placed(Payload.of(output), "output"), **fields
    )


async def test_kept_steps_do_not_run_again() -> None:
    definition = workflow(
        node("a", "test.work", output=1),
        node("b", "data.set", values={"n": "${ nodes.a.output + 1 }"}),
        ways="a > b",
    )
    play = await played(definition, forked=fork(kept("a", output=41)))
    assert play.trace == ["b started", "b completed", "completed"]
    assert play.output == {"n": 42}


async def test_kept_failures_keep_their_way() -> None:
    error = e.Failure("NO", "")
    definition = workflow(node("a", "flow.fail"), node("b"), node("c"), ways="a > b; a:error > c")
    play = await played(definition, forked=fork(kept("a", status="failed", error=error)))
    assert play.outcomes == {"b": "skipped", "c": "completed"}


async def test_nodes_may_be_kept_whatever_the_order_of_their_declaration() -> None:
    definition = workflow(node("c", "test.work"), node("b"), node("a"), ways="a > b > c")
    play = await played(definition, forked=fork(kept("a", output=1), kept("b", output=1)))
    assert play.outcomes == {"c": "completed"}


async def test_kept_iterations_do_not_run_again() -> None:
    definition = workflow(
        node("each", "logic.foreach", items="${ input }", concurrency=2),
        node("x", "test.work", parentId="each", output="${ item }"),
    )
    play = await played(
        definition, [1, 2, 3], forked=fork(kept("x", 0, output="kept"), kept("x", 2, output="kept"))
    )
    assert play.output == ["kept", 2, "kept"]
    assert play.world.ran("x") == 1


async def test_thousands_of_kept_iterations_are_no_recursion() -> None:
    definition = workflow(
        node("each", "logic.foreach", items="${ input }"), node("x", "test.work", parentId="each", output=1)
    )
    play = await played(
        definition,
        list(range(3000)),
        forked=fork(*(kept("x", n, output=n) for n in range(2999))),
    )
    assert play.output == [*range(2999), 1]
    assert play.world.ran("x") == 1


async def test_a_step_that_is_run_anew_has_another_key() -> None:
    definition = workflow(node("a", "test.work"))
    first = await played(definition)
    second = await played(definition, forked=fork(again=(e.Generation(node_id="a"),)))
    assert first.world.calls[0][3] != second.world.calls[0][3]


# What is compared


def picture(state: ExecutionState) -> dict[str, Any]:
    return {
        "ended": state.ended,
        "running": state.running,
        "scopes": {
            scope_id: {
                "closing": scope.closing,
                "undecided": scope.undecided,
                "counts": scope.counts,
                "open": sorted(scope.open),
                "steps": {
                    step.node.id: (step.status, step.attempt, step.failures, step.handle, step.due_at)
                    for step in scope.steps.values()
                    if step.status != "ready"
                },
            }
            for scope_id, scope in state.scopes.items()
        },
    }


def results(play: Play) -> dict[str, str]:
    """Outcomes of all steps, whichever runner recorded them."""
    return outcomes(play.history)


def _name(event: e.StepEvent) -> str:
    path = f"[{','.join(map(str, event.iteration))}]" if event.iteration else ""
    return f"{event.node_id}{path}"


def test_the_fold_takes_its_events_from_storage() -> None:
    history = past("a started", "a completed")
    stored = e.decode_events(e.encode_events(history), 1)
    graph = compiled(workflow(node("a")))
    assert picture(folded(graph, stored)) == picture(folded(graph, history))
