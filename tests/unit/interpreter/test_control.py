"""Pause, resume, cancel, promotion, shutdown and loss of the lease, at every moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flow_engine.errors import LeaseLost
from flow_engine.interpreter import events as e
from tests.unit.interpreter.memory_journal import Fault
from tests.unit.interpreter.play import Play, node, workflow
from tests.unit.interpreter.virtual_time import advance


def work(node_id: str, **fields: Any) -> dict[str, Any]:
    return node(node_id, "test.work", **fields)


CHAIN = workflow(work("a", ms=1000, output=1), work("b", output=2), ways="a > b")
ASK = workflow(node("ask", "human.approval", title="?"), node("b"), ways="ask > b")


# Pause


async def test_a_pause_lets_running_steps_finish_and_starts_nothing() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    play.pause()
    assert (await play.finish()).status == "paused"
    assert play.trace == ["a started", "pauseRequested", "a completed", "paused"]
    play.resume()
    assert play.execution.status == "pending"
    assert (await play.run()).status == "completed"
    assert play.trace[4:] == ["resumed", "b started", "b completed", "completed"]


async def test_a_pause_of_the_last_step_lets_the_execution_complete() -> None:
    play = Play(workflow(work("a", ms=1000)))
    play.begin()
    await play.until_running("a")
    play.pause()
    assert (await play.finish()).status == "completed"


async def test_a_pause_that_is_taken_back_in_time_changes_nothing() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    play.pause()
    await play.until(lambda: play.runner is not None and play.runner.state.pause_requested)
    play.resume()
    assert (await play.finish()).status == "completed"
    assert "paused" not in play.trace


async def test_answers_are_recorded_in_a_pause_and_act_on_resume() -> None:
    play = Play(ASK)
    await play.run()
    play.pause()
    play.answer("ask", {"approved": True})
    assert play.execution.status == "paused"
    play.resume()
    play.execution.move("pending")
    assert (await play.run()).status == "completed"


async def test_a_paused_run_keeps_its_timers() -> None:
    play = Play(
        workflow(node("wait", "logic.delay", durationMs=60_000), work("a", ms=1000), work("b"), ways="a > b")
    )
    play.begin()
    await play.until_running("a")
    play.pause()
    assert (await play.finish()).status == "paused"
    give_up = play.execution.given_up
    assert give_up is not None
    assert give_up.wake_timer == "wait#1"
    assert not give_up.all_waiting
    play.sweep_timer()
    assert play.execution.status == "paused"
    play.resume()
    assert (await play.run()).status == "completed"


async def test_resuming_what_only_waits_leads_back_to_waiting() -> None:
    play = Play(workflow(node("ask", "human.approval", title="?"), work("a", ms=1000)))
    play.begin()
    await play.until_running("a")
    play.pause()
    assert (await play.finish()).status == "paused"
    assert play.execution.given_up is not None
    assert play.execution.given_up.all_waiting
    play.resume()
    assert play.execution.status == "waiting"


async def test_retries_and_iterations_do_not_start_in_a_pause() -> None:
    play = Play(
        workflow(
            node("each", "logic.foreach", items=[1, 2]),
            work(
                "x", parentId="each", ms=500, failFirst=1, retry={"maxAttempts": 2, "initialIntervalMs": 10}
            ),
        )
    )
    play.begin()
    await play.until_running("x")
    play.pause()
    assert (await play.finish()).status == "paused"
    assert play.trace == ["each started", "x[0] started", "pauseRequested", "x[0] retrying BROKEN", "paused"]
    advance(1)
    play.resume()
    assert (await play.run()).status == "completed"
    assert play.world.ran("x") == 4


# Cancel


async def test_a_cancellation_interrupts_running_steps() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    play.cancel("no longer needed")
    assert (await play.finish()).status == "cancelled"
    assert play.trace == [
        "a started",
        "cancelRequested",
        "b cancelled request",
        "a cancelled request",
        "cancelled",
    ]
    assert play.world.interrupted == ["a"]
    end = play.history[-1]
    assert isinstance(end, e.ExecutionCancelled)
    assert end.reason == "no longer needed"


async def test_a_cancellation_ends_loops_and_waits() -> None:
    play = Play(
        workflow(
            node("each", "logic.foreach", items=[1, 2, 3], concurrency=2),
            node("ask", "human.approval", parentId="each", title="?"),
            work("a", ms=60_000),
        )
    )
    play.begin()
    await play.until_running("a")
    play.cancel()
    assert (await play.finish()).status == "cancelled"
    assert play.outcomes == {
        "ask[0]": "cancelled request",
        "ask[1]": "cancelled request",
        "each": "cancelled request",
        "a": "cancelled request",
    }


async def test_a_cancellation_replaces_a_pause() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    play.pause()
    play.cancel()
    assert (await play.finish()).status == "cancelled"


async def test_a_cancellation_that_meets_the_end_wins() -> None:
    play = Play(workflow(work("a")))

    def cancelled_meanwhile(entry: Any) -> str:
        if entry.give_up is not None and not play.execution.pending_control:
            play.execution.pending_control = "cancel"
            play.execution.write([e.ExecutionCancelRequested(time=play.history[-1].time)])
        return ""

    assert (await play.run(cancelled_meanwhile)).status == "cancelled"
    assert play.trace == ["a started", "cancelRequested", "a completed", "cancelled"]


async def test_a_cancellation_reaches_the_next_runner() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    play.cancel()
    await play.die()
    assert play.execution.status == "cancelled"


# Quiescing


async def test_an_immediate_run_over_its_budget_is_promoted_and_goes_on_in_the_queue() -> None:
    play = Play(CHAIN, mode="immediate")
    play.begin()
    await play.until_running("a")
    assert play.runner is not None
    play.runner.quiesce("budget")
    await play.until(lambda: play.execution.mode == "queued")
    assert play.execution.status == "running"
    assert (await play.finish()).status == "pending"
    assert play.trace == ["a started", "promoted budget", "a completed"]
    assert (await play.run()).status == "completed"
    assert play.trace[3:] == ["b started", "b completed", "completed"]
    assert play.world.ran("a") == 1


async def test_a_shutdown_gives_a_queued_run_back_after_its_running_steps() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    assert play.runner is not None
    play.runner.quiesce("shutdown")
    play.runner.quiesce("shutdown")
    assert (await play.finish()).status == "pending"
    assert play.trace == ["a started", "a completed"]
    assert (await play.run()).status == "completed"


async def test_the_last_step_ends_the_execution_even_in_a_shutdown() -> None:
    play = Play(workflow(work("a", ms=1000)), mode="immediate")
    play.begin()
    await play.until_running("a")
    assert play.runner is not None
    play.runner.quiesce("shutdown")
    assert (await play.finish()).status == "completed"


async def test_a_shutdown_does_not_sit_out_a_short_back_off() -> None:
    play = Play(workflow(work("a", failFirst=1, retry={"maxAttempts": 2, "initialIntervalMs": 3000})))
    play.begin()
    await play.until(lambda: "a retrying BROKEN" in play.trace)
    assert play.runner is not None
    play.runner.quiesce("shutdown")
    assert (await play.finish()).status == "pending"
    assert (await play.run()).status == "completed"


async def test_a_node_that_would_take_longer_than_the_budget_is_not_begun() -> None:
    play = Play(
        workflow(node("a"), node("wait", "logic.delay", durationMs=4000), ways="a > wait"),
        mode="immediate",
        budget_seconds=1,
    )
    assert (await play.run()).status == "pending"
    assert play.trace == ["a started", "a completed", "promoted predicted"]
    play.budget_seconds = None
    assert (await play.run()).status == "completed"


async def test_a_question_is_asked_however_long_the_answer_may_take() -> None:
    play = Play(ASK, mode="immediate", budget_seconds=30)
    assert (await play.run()).status == "waiting"
    assert play.trace == ["ask started", "ask waiting", "promoted waiting", "waiting"]


# Losing the lease


def at_commit(number: int, what: str) -> Fault:
    """The process dies at its n-th commit, before or after it is in the database."""
    left = [number]

    def fault(_entry: object) -> str:
        left[0] -= 1
        return what if left[0] == 0 else ""

    return fault


async def test_who_lost_the_lease_writes_nothing_more() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    play.execution.epoch += 1
    with pytest.raises(LeaseLost):
        await play.finish()
    assert play.trace == ["a started"]
    assert play.world.ran("b") == 0


@pytest.mark.parametrize("what", ["before", "after"])
async def test_a_commit_of_unknown_outcome_ends_the_run(what: str) -> None:
    play = Play(CHAIN)
    with pytest.raises(LeaseLost):
        await play.run(at_commit(2, what))
    assert play.execution.status == "running"
    play.lose_runner()
    assert (await play.run()).status == "completed"
    assert play.output == 2
    assert play.world.ran("a") == (2 if what == "before" else 1)


async def test_nothing_is_written_after_a_commit_that_failed() -> None:
    """The end is at hand while a commit is under way: without what that one held, it must not be written."""
    play = Play(workflow(node("a"), node("b", "logic.delay", durationMs=50), maxParallel=1))
    with pytest.raises(LeaseLost):
        await play.run(at_commit(1, "before"))
    assert play.trace == []


async def test_abandoned_runs_write_nothing_more() -> None:
    play = Play(CHAIN)
    play.begin()
    await play.until_running("a")
    await play.die()
    assert play.trace == ["a started"]


async def test_a_run_whose_task_is_cancelled_stops_its_steps() -> None:
    play = Play(CHAIN)
    running = play.begin()
    await play.until_running("a")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert play.world.interrupted == ["a"]
    assert play.trace == ["a started"]


# Committing


async def test_an_outside_effect_begins_after_its_start_is_committed() -> None:
    play = Play(workflow(node("first"), work("a", ms=1000), ways="first > a"))
    play.begin()
    await play.until_running("a")
    assert play.trace == ["first started", "first completed", "a started"]


async def test_what_is_recorded_is_committed_within_50_ms() -> None:
    play = Play(
        workflow(node("a", "data.set", values={"x": 1}), node("wait", "logic.delay", durationMs=4000))
    )
    play.begin()
    await asyncio.sleep(0.06)
    assert play.trace == ["a started", "a completed", "wait started"]
    await play.finish()


async def test_what_is_recorded_during_a_slow_commit_is_committed_soon_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.unit.interpreter.memory_journal.COMMIT_SECONDS", 0.2)
    play = Play(
        workflow(
            *(node(f"wait{ms}", "logic.delay", durationMs=ms) for ms in (1, 100, 150)),
            node("long", "logic.delay", durationMs=4500),
        )
    )
    play.begin()
    await asyncio.sleep(0.6)
    assert "wait150 completed" in play.trace
    await play.finish()


async def test_pure_steps_share_commits() -> None:
    nodes = [node(f"n{n}") for n in range(100)]
    play = Play(workflow(*nodes, ways=" > ".join(each["id"] for each in nodes)))
    await play.run()
    assert play.execution.commits <= 3
    assert play.execution.empty_commits == 0


async def test_effects_that_begin_together_share_a_commit() -> None:
    play = Play(workflow(*(work(f"w{n}") for n in range(50))))
    await play.run()
    assert play.execution.commits <= 5
    assert play.execution.empty_commits == 0
