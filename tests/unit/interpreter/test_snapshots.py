"""A snapshot stands for the history before it."""

from __future__ import annotations

import pytest

from flow_engine.interpreter import snapshots
from flow_engine.interpreter.state import ExecutionState
from tests.unit.interpreter.play import Play, compiled, folded, node, played, workflow
from tests.unit.interpreter.test_folding import EVERYTHING, YES, picture

WHOLE_STATE = {*snapshots.PLAIN, *snapshots.QUEUES, "scopes", "doomed", "ready", "kept", "generations"}
FOLLOWS = {"graph", "_order", "within", "top_id"}
"""From the definition, and from `created`."""


def test_everything_that_a_state_holds_is_in_its_snapshot() -> None:
    assert vars(ExecutionState(compiled(EVERYTHING))).keys() - FOLLOWS == WHOLE_STATE


async def test_from_a_snapshot_at_any_event_the_rest_folds_to_the_same_state() -> None:
    whole = await played(EVERYTHING, [1, 3, 2], answers=YES)
    for sequence in range(1, len(whole.history) + 1):
        before = folded(whole.graph, whole.history[:sequence])
        state = snapshots.restore(whole.graph, snapshots.take(before))
        assert picture(state) == picture(before)
        for event in whole.history[sequence:]:
            state.apply(event)
        assert picture(state) == picture(whole.state)


async def test_events_of_the_same_entry_are_part_of_the_snapshot() -> None:
    whole = await played(EVERYTHING, [1, 3, 2], answers=YES)
    text = snapshots.take(folded(whole.graph, whole.history[:5]), whole.history[5:])
    assert picture(snapshots.restore(whole.graph, text)) == picture(whole.state)


def test_a_snapshot_tells_its_format() -> None:
    graph = compiled(EVERYTHING)
    assert snapshots.format_of(snapshots.take(ExecutionState(graph))) == snapshots.FORMAT


async def test_a_state_that_is_too_large_is_left_to_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_BYTES", 100)
    play = Play(workflow(node("ask", "human.approval", title="?")))
    await play.run()
    assert play.execution.status == "waiting"
    assert play.execution.snapshot == b""


async def test_a_loop_that_waits_again_and_again_leaves_small_snapshots_behind() -> None:
    """Its history grows with each turn, what must be known of it does not."""
    definition = workflow(
        node("poll", "logic.while", condition="${ iteration < 30 }"),
        node("wait", "logic.delay", parentId="poll", durationMs=60_000),
    )
    play, sizes = Play(definition), []
    while (await play.run()).status == "waiting":
        sizes.append(len(play.execution.snapshot))
        play.wake()
    assert play.execution.status == "completed"
    assert len(sizes) == 30
    assert max(sizes[5:]) - min(sizes[5:]) < 20


async def test_short_histories_get_no_snapshot() -> None:
    play = Play(workflow(node("ask", "human.approval", title="?")), snapshot_after=100)
    await play.run()
    assert play.execution.snapshot == b""
