"""Steps that wait: people, timers, and letting go of the execution meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from flow_engine.interpreter import events as e
from tests.unit.interpreter.memory_journal import MemoryJournal
from tests.unit.interpreter.play import Play, node, played, workflow
from tests.unit.interpreter.virtual_time import database_now

YES = {"approved": True, "comment": "fine"}
NO = {"approved": False}


def ask(node_id: str = "ask", **fields: Any) -> dict[str, Any]:
    return node(node_id, "human.approval", title="May ${ input.who }?", **fields)


def decision(**fields: Any) -> dict[str, Any]:
    return workflow(ask(**fields), node("ok"), node("no"), ways="ask:approved > ok; ask:rejected > no")


async def test_a_question_lets_go_of_the_execution() -> None:
    play = Play(decision(), {"who": "Ann"})
    end = await play.run()
    assert end.status == "waiting"
    assert play.trace == ["ask started", "ask waiting", "waiting"]
    give_up = play.execution.given_up
    assert give_up is not None
    assert (give_up.wake_at, give_up.all_waiting) == (None, True)
    (wait,) = give_up.waits
    assert (wait["nodeId"], wait["kind"], wait["title"]) == ("ask", "person", "May Ann?")


@pytest.mark.parametrize(
    ("answer", "trace"),
    [
        pytest.param(YES, ["ask completed approved", "no skipped", "ok started", "ok completed"], id="yes"),
        pytest.param(NO, ["ask completed rejected", "ok skipped", "no started", "no completed"], id="no"),
    ],
)
async def test_the_answer_chooses_the_branch(answer: Any, trace: list[str]) -> None:
    play = await played(decision(), {"who": "Ann"}, answers={"ask": answer})
    assert play.trace == ["ask started", "ask waiting", "waiting", "ask answered", *trace, "completed"]
    assert play.output == {"approved": answer["approved"], "comment": answer.get("comment")}


async def test_an_answer_that_comes_while_others_run_goes_to_the_runner() -> None:
    play = Play(workflow(ask(), node("work", "test.work", ms=60_000)), {"who": "Ann"})
    play.begin()
    await play.until(lambda: "ask waiting" in play.trace)
    play.answer("ask", YES)
    end = await play.finish()
    assert end.status == "completed"
    assert play.trace == [
        "ask started",
        "ask waiting",
        "work started",
        "ask answered",
        "ask completed approved",
        "work completed",
        "completed",
    ]


async def test_an_answer_between_looking_and_letting_go_is_not_lost() -> None:
    play = Play(decision(), {"who": "Ann"})

    def answered_meanwhile(entry: Any) -> str:
        if entry.give_up is not None and entry.give_up.status == "waiting":
            play.execution.write([e.SignalReceived(time=play.history[-1].time, node_id="ask", payload=YES)])
        return ""

    end = await play.run(answered_meanwhile)
    assert end.status == "completed"
    assert "waiting" not in play.trace


async def test_an_answer_that_comes_with_a_commit_under_way_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The runner has decided to let go, and waits only for an earlier commit to end."""
    monkeypatch.setattr("tests.unit.interpreter.memory_journal.COMMIT_SECONDS", 1.0)
    ends_during_the_commit = node("delay", "logic.delay", durationMs=500)
    play = Play(workflow(ask(), ends_during_the_commit), {"who": "Ann"})
    running = play.begin()
    await asyncio.sleep(0.9)
    play.answer("ask", YES)
    assert (await running).status == "completed"


async def test_without_an_answer_in_time_the_step_fails() -> None:
    play = await played(decision(timeoutMs=7000, config={"timeoutMs": 6000}), {"who": "Ann"})
    assert (
        play.trace[-3:] == ["no cancelled siblingFailed", "failed TIMEOUT"][-3:]
        or play.error.code == "TIMEOUT"
    )
    assert play.outcomes["ask"] == "failed TIMEOUT"


async def test_or_takes_the_branch_that_is_there_for_it() -> None:
    play = await played(
        workflow(ask(config={"timeoutMs": 60_000}), node("late"), ways="ask:timeout > late"), {"who": "Ann"}
    )
    assert play.outcomes == {"ask": "completed timeout", "late": "completed"}
    assert play.output == {"approved": None, "comment": None}
    assert play.trace[1:4] == ["ask waiting", "waiting", "ask timer"]


async def test_a_time_out_without_branch_can_be_handled_as_an_error() -> None:
    play = await played(
        workflow(ask(config={"timeoutMs": 60_000}), node("late"), ways="ask:error > late"), {"who": "Ann"}
    )
    assert play.outcomes == {"ask": "failed TIMEOUT", "late": "completed"}


async def test_the_first_of_answer_and_timer_counts() -> None:
    play = Play(decision(config={"timeoutMs": 60_000}), {"who": "Ann"})
    await play.run()
    play.answer("ask", YES)
    play.write(e.TimerFired(time=play.history[-1].time, timer_id="ask#1", node_id="ask"))
    await play.run()
    assert play.outcomes["ask"] == "completed approved"
    play = Play(decision(config={"timeoutMs": 60_000}), {"who": "Ann"})
    await play.run()
    play.sweep_timer()
    play.answer("ask", YES)
    await play.run()
    assert play.outcomes["ask"] == "failed TIMEOUT"


async def test_a_wrong_answer_fails_the_step() -> None:
    play = await played(decision(), {"who": "Ann"}, answers={"ask": {"approved": "perhaps"}})
    assert play.error.code == "INVALID_ANSWER"


async def test_a_retry_asks_again() -> None:
    again = {"maxAttempts": 2, "initialIntervalMs": 1}
    play = Play(workflow(ask(timeoutMs=60_000, retry=again)), {"who": "Ann"})
    await play.run()
    play.sweep_timer()
    assert (await play.run()).status == "waiting"
    play.answer("ask", YES)
    assert (await play.run()).status == "completed"
    assert "ask started 2" in play.trace


async def test_a_short_delay_keeps_the_execution() -> None:
    play = Play(workflow(node("wait", "logic.delay", durationMs=5000)))
    assert (await play.run()).status == "completed"
    assert play.trace == ["wait started", "wait completed", "completed"]


async def test_a_long_delay_is_a_durable_timer() -> None:
    play = Play(workflow(node("wait", "logic.delay", durationMs=3_600_000)))
    assert (await play.run()).status == "waiting"
    give_up = play.execution.given_up
    assert give_up is not None
    assert give_up.wake_at is not None
    assert (give_up.wake_at - play.time_of("wait waiting")).total_seconds() == 3600
    play.sweep_timer()
    assert (await play.run()).status == "completed"
    assert play.trace == [
        "wait started",
        "wait waiting",
        "waiting",
        "wait timer",
        "wait completed",
        "completed",
    ]


async def test_a_timer_that_ends_while_others_run_is_fired_by_the_runner() -> None:
    play = Play(
        workflow(
            node("wait", "logic.delay", durationMs=6000),
            node("then", "test.work"),
            node("work", "test.work", ms=20_000),
            ways="wait > then",
        )
    )
    assert (await play.run()).status == "completed"
    assert (
        play.trace.index("wait timer")
        < play.trace.index("then completed")
        < play.trace.index("work completed")
    )
    assert play.seconds_between("wait started", "wait timer") == pytest.approx(6, abs=0.1)


async def test_the_earliest_timer_wakes() -> None:
    play = Play(
        workflow(
            node("long", "logic.delay", durationMs=90_000),
            node("short", "logic.delay", durationMs=30_000),
            ask(config={"timeoutMs": 60_000}),
            node("late"),
            ways="ask:timeout > late",
        ),
        {"who": "Ann"},
    )
    await play.run()
    order = []
    while play.execution.status == "waiting":
        assert play.execution.given_up is not None
        order.append(play.execution.given_up.wake_timer)
        play.sweep_timer()
        await play.run()
    assert order == ["short#1", "ask#1", "long#1"]
    assert play.trace[-1] == "completed"


async def test_a_wait_of_less_than_five_seconds_is_sat_out() -> None:
    play = Play(
        workflow(ask(config={"timeoutMs": 4000}), node("late"), ways="ask:timeout > late"), {"who": "A"}
    )
    assert (await play.run()).status == "completed"
    assert "waiting" not in play.trace


async def test_an_immediate_run_that_must_wait_is_promoted() -> None:
    play = Play(decision(), {"who": "Ann"}, mode="immediate")
    assert (await play.run()).status == "waiting"
    assert play.trace == ["ask started", "ask waiting", "promoted waiting", "waiting"]
    assert play.execution.mode == "queued"


async def test_time_does_not_run_backwards_in_a_promotion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at a real clock there is always a microsecond or more."""
    looks = count()
    monkeypatch.setattr(
        MemoryJournal, "database_now", lambda _: database_now() + timedelta(microseconds=next(looks))
    )
    play = Play(decision(), {"who": "Ann"}, mode="immediate")
    assert (await play.run()).status == "waiting"  # the journal checks the times
    assert play.trace == ["ask started", "ask waiting", "promoted waiting", "waiting"]


@pytest.mark.parametrize("node_id", ["plain", "a.b-c", "node-1", "odd[0]", "odd#7", "[2]", "x[1,2]"])
async def test_timers_find_their_step_whatever_it_is_called(node_id: str) -> None:
    play = await played(
        workflow(
            node("each", "logic.foreach", items=[1]),
            node(node_id, "logic.delay", parentId="each", durationMs=60_000),
        )
    )
    assert play.trace[-1] == "completed"
    play = await played(workflow(node(node_id, "logic.delay", durationMs=60_000)))
    assert play.trace[-1] == "completed"
