"""Processes die at every commit, before and after it reached the database: nothing of it shows."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flow_engine.errors import LeaseLost
from flow_engine.interpreter import events as e
from flow_engine.interpreter.journal import Entry
from flow_engine.workflow.graph import WorkflowGraph
from tests.unit.interpreter.generated import ANSWER, definitions, wild_definitions
from tests.unit.interpreter.memory_journal import TERMINAL, Fault, no_fault
from tests.unit.interpreter.node_types import TYPES
from tests.unit.interpreter.play import Play, compiled, outcomes, short
from tests.unit.interpreter.virtual_time import VirtualTimeLoop

MOST_RUNNERS = 200
T = TypeVar("T")

bounded = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@bounded
@given(definition=definitions(), value=st.integers(1, 4))
def test_dying_at_any_commit_in_either_mode_changes_neither_output_nor_outcomes(
    definition: dict[str, Any], value: int
) -> None:
    graph = compiled(definition)
    whole = virtually(survived(graph, value))
    assert whole.execution.status == "completed"
    for mode in ("queued", "immediate"):
        undisturbed = virtually(survived(graph, value, mode=mode))
        assert same_end(undisturbed, whole), mode
        assert undisturbed.execution.empty_commits == 0
        for number in range(1, undisturbed.execution.commits + 1):
            for what in ("before", "after"):
                play = virtually(survived(graph, value, dies_at(number, what), mode=mode))
                assert same_end(play, whole), (mode, number, what)
                assert not ran_again(play), (mode, number, what)


def test_the_generated_definitions_hold_every_control_flow_node() -> None:
    types: set[str] = set()

    @settings(max_examples=80, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(definition=definitions())
    def collect(definition: dict[str, Any]) -> None:
        types.update(node["type"] for node in definition["nodes"])

    collect()
    families = {kind.type for kind in TYPES if kind.type.partition(".")[0] in ("logic", "flow")}
    assert types >= families | {"human.approval", "wait.callback", "task.external"}


@bounded
@given(definition=definitions(), value=st.integers(1, 4), every=st.integers(2, 5))
def test_dying_again_and_again_changes_nothing_either(
    definition: dict[str, Any], value: int, every: int
) -> None:
    graph = compiled(definition)
    whole = virtually(survived(graph, value))
    play = virtually(survived(graph, value, dies_every(every, times=8)))
    assert same_end(play, whole)
    assert not ran_again(play)


@bounded
@given(definition=definitions(handled=False), value=st.integers(1, 4))
def test_what_fails_fails_wherever_a_process_dies(definition: dict[str, Any], value: int) -> None:
    """Which siblings were stopped in time may differ; the end may not."""
    graph = compiled(definition)
    whole = virtually(survived(graph, value))
    for number in range(1, whole.execution.commits + 1):
        play = virtually(survived(graph, value, dies_at(number, "after")))
        assert short(play.history[-1]) == short(whole.history[-1])


@bounded
@given(definition=definitions(), value=st.integers(1, 4))
def test_both_modes_write_the_same_events_of_each_step(definition: dict[str, Any], value: int) -> None:
    graph = compiled(definition)
    queued = virtually(survived(graph, value))
    immediate = virtually(survived(graph, value, mode="immediate"))
    assert by_step(immediate) == by_step(queued)
    assert immediate.output == queued.output


@bounded
@given(
    definition=definitions(),
    value=st.integers(1, 4),
    what=st.sampled_from(["pause", "pause and resume", "shutdown", "nudge"]),
    at=st.integers(1, 8),
    dies=st.integers(1, 12),
)
def test_holding_on_changes_nothing(
    definition: dict[str, Any], value: int, what: str, at: int, dies: int
) -> None:
    """Somebody pauses the execution, or its worker drains; then a process may die, too."""
    graph = compiled(definition)
    whole = virtually(survived(graph, value))
    play = virtually(survived(graph, value, dies_at(dies, "after"), meddling=(at, what)))
    assert same_end(play, whole)
    assert not ran_again(play)


@bounded
@given(
    definition=definitions(handled=False),
    value=st.integers(1, 4),
    at=st.integers(1, 8),
    dies=st.integers(1, 12),
)
def test_a_cancellation_ends_everything(definition: dict[str, Any], value: int, at: int, dies: int) -> None:
    graph = compiled(definition)
    play = virtually(survived(graph, value, dies_at(dies, "after"), meddling=(at, "cancel")))
    requested = any(isinstance(event, e.ExecutionCancelRequested) for event in play.history)
    assert (play.execution.status == "cancelled") == requested
    assert all(step.finished for step in play.view.steps)


@bounded
@given(
    definition=wild_definitions(),
    value=st.integers(1, 4),
    deadline=st.sampled_from([None, 0.05, 1.0]),
    what=st.sampled_from(["pause", "shutdown", "cancel"]),
    at=st.integers(1, 8),
    dies=st.integers(1, 12),
)
def test_whatever_happens_it_ends(
    definition: dict[str, Any], value: int, deadline: float | None, what: str, at: int, dies: int
) -> None:
    graph = compiled(definition)
    fault = dies_at(dies, "after")
    play = virtually(survived(graph, value, fault, meddling=(at, what), deadline_seconds=deadline))
    assert not ran_again(play)
    assert all(step.finished for step in play.view.steps)
    for node_id, iteration, runs in once_only(play):
        assert runs == 1, f"{node_id}{list(iteration)} began {runs} times"


def virtually(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


async def survived(
    graph: WorkflowGraph,
    value: int,
    fault: Fault = no_fault,
    mode: str = "queued",
    meddling: tuple[int, str] = (0, ""),
    deadline_seconds: float | None = None,
) -> Play:
    """The execution at its end, however many runners it took. meddling: at which commit what happens."""
    play = Play(graph, value, mode=mode, deadline_seconds=deadline_seconds)
    fault = meddled(play, fault, *meddling)
    answers = dict.fromkeys(graph.nodes, ANSWER)
    for _ in range(MOST_RUNNERS):
        try:
            await play.run(fault)
        except LeaseLost:
            play.runner = None
            play.lose_runner()
        if play.execution.status == "paused":
            play.resume()
        if play.execution.status in TERMINAL:
            return play
        play.wake(answers)
    raise AssertionError(f"it does not end: {play.trace[-20:]}")


def meddled(play: Play, fault: Fault, at: int, what: str) -> Fault:
    left = [at]

    def with_meddling(entry: Entry) -> str:
        left[0] -= 1
        if left[0] == 0 and play.runner is not None:
            meddle(play, what)
        return fault(entry)

    return with_meddling


def meddle(play: Play, what: str) -> None:
    assert play.runner is not None
    match what:
        case "pause":
            play.pause()
        case "pause and resume":
            play.pause()
            play.resume()
        case "shutdown":
            play.runner.quiesce("shutdown")
        case "nudge":
            play.runner.nudge()
        case "cancel":
            play.cancel()


def dies_at(number: int, what: str) -> Fault:
    left = [number]

    def fault(_entry: Entry) -> str:
        left[0] -= 1
        return what if left[0] == 0 else ""

    return fault


def dies_every(every: int, times: int) -> Fault:
    """Each runner dies after its n-th commit, so many times."""
    count = [0]

    def fault(_entry: Entry) -> str:
        count[0] += 1
        return "after" if count[0] % every == 0 and count[0] <= every * times else ""

    return fault


def same_end(play: Play, whole: Play) -> bool:
    assert play.output == whole.output
    assert outcomes(play.history) == outcomes(whole.history)
    return True


def ran_again(play: Play) -> list[str]:
    """Steps that began after their outcome was committed."""
    settled: set[tuple[str, tuple[int, ...]]] = set()
    again = []
    for event in play.history:
        if isinstance(event, e.StepStarted) and (event.node_id, event.iteration) in settled:
            again.append(short(event))
        if isinstance(event, e.OUTCOME_EVENTS):
            settled.add((event.node_id, event.iteration))
    return again


def once_only(play: Play) -> list[tuple[str, tuple[int, ...], int]]:
    """How often each `atMostOnce` step really began outside, unless it failed by itself."""
    calls = Counter((node_id, iteration) for node_id, iteration, *_ in play.world.calls)
    failed = {(event.node_id, event.iteration) for event in play.history if isinstance(event, e.StepRetrying)}
    return [
        (*key, runs)
        for key, runs in calls.items()
        if play.graph.nodes[key[0]].at_most_once and key not in failed
    ]


def by_step(play: Play) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for event in play.history:
        if isinstance(event, e.StepEvent):
            name, _, what = short(event).partition(" ")
            found[name].append(what)
    return found
