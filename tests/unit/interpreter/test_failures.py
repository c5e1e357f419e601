"""Attempts, retries, time-outs, and what a failure does to the rest."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.interpreter import events as e
from tests.unit.interpreter.play import Play, node, played, workflow

FAIL = node("no", "flow.fail", code="NO", message="never")


def work(node_id: str, **fields: Any) -> dict[str, Any]:
    return node(node_id, "test.work", **fields)


# Retries


async def test_a_failed_attempt_is_repeated_after_growing_intervals() -> None:
    retry = {"maxAttempts": 4, "initialIntervalMs": 200, "backoffCoefficient": 2}
    play = await played(workflow(work("a", ms=0, failFirst=3, output="done", retry=retry)))
    assert play.trace == [
        "a started",
        "a retrying BROKEN",
        "a started 2",
        "a retrying BROKEN",
        "a started 3",
        "a retrying BROKEN",
        "a started 4",
        "a completed",
        "completed",
    ]
    assert play.output == "done"
    waits = [
        (event.retry_at - event.time).total_seconds()
        for event in play.history
        if isinstance(event, e.StepRetrying)
    ]
    assert waits == [0.2, 0.4, 0.8]
    assert play.seconds_between("a started", "a completed") >= 1.4


async def test_no_interval_is_longer_than_the_longest() -> None:
    retry = {"maxAttempts": 4, "initialIntervalMs": 1000, "backoffCoefficient": 10, "maxIntervalMs": 2000}
    play = await played(workflow(work("a", failFirst=3, retry=retry)))
    waits = [event.retry_at - event.time for event in play.history if isinstance(event, e.StepRetrying)]
    assert [wait.total_seconds() for wait in waits] == [1, 2, 2]


async def test_the_other_side_may_ask_for_more_patience() -> None:
    retry = {"maxAttempts": 2, "initialIntervalMs": 100}
    play = await played(workflow(work("a", failFirst=1, retryAfterMs=3000, retry=retry)))
    assert play.seconds_between("a retrying BROKEN", "a started 2") >= 3


async def test_when_no_attempt_is_left_the_execution_fails() -> None:
    play = await played(workflow(work("a", failFirst=9, retry={"maxAttempts": 2, "initialIntervalMs": 1})))
    assert play.trace[-2:] == ["a failed BROKEN", "failed BROKEN"]
    assert play.error.message == "it did not work"
    assert (play.error.node_id, play.error.iteration) == ("a", ())


async def test_what_cannot_pass_is_not_repeated() -> None:
    play = await played(workflow(work("a", failFirst=9, retryable=False, retry={"maxAttempts": 5})))
    assert play.trace == ["a started", "a failed BROKEN", "failed BROKEN"]


async def test_retry_on_names_the_codes_that_are_repeated() -> None:
    retry = {"maxAttempts": 3, "initialIntervalMs": 1, "retryOn": ["OTHER"]}
    play = await played(workflow(work("a", failFirst=9, retry=retry)))
    assert play.world.ran("a") == 1
    play = await played(workflow(work("a", failFirst=1, code="OTHER", retry=retry)))
    assert play.world.ran("a") == 2


@pytest.mark.parametrize(
    ("of_workflow", "of_node", "max_retries", "attempts"),
    [
        pytest.param(None, None, None, 1, id="one attempt by default"),
        pytest.param({"maxAttempts": 3, "initialIntervalMs": 1}, None, None, 3, id="the workflow's default"),
        pytest.param({"maxAttempts": 3, "initialIntervalMs": 1}, None, 1, 2, id="an option outranks it"),
        pytest.param(None, {"maxAttempts": 4, "initialIntervalMs": 1}, 1, 4, id="a node's own outranks both"),
    ],
)
async def test_who_says_how_often(
    of_workflow: Any, of_node: Any, max_retries: int | None, attempts: int
) -> None:
    own = {"retry": of_node} if of_node else {}
    whole = {"retry": of_workflow} if of_workflow else {}
    play = await played(workflow(work("a", failFirst=9, **own), **whole), max_retries=max_retries)
    assert play.world.ran("a") == attempts


async def test_jitter_varies_an_interval_by_its_share_at_most() -> None:
    retry = {"maxAttempts": 30, "initialIntervalMs": 1000, "backoffCoefficient": 1, "jitter": 0.2}
    play = await played(workflow(work("a", failFirst=29, retry=retry)))
    waits = [
        (event.retry_at - event.time).total_seconds()
        for event in play.history
        if isinstance(event, e.StepRetrying)
    ]
    assert all(0.8 <= wait <= 1.2 for wait in waits)
    assert len(set(waits)) > 1


async def test_a_long_back_off_lets_go_of_the_execution() -> None:
    play = Play(workflow(work("a", failFirst=1, retry={"maxAttempts": 2, "initialIntervalMs": 60_000})))
    assert (await play.run()).status == "waiting"
    give_up = play.execution.given_up
    assert give_up is not None
    assert give_up.waits[0]["kind"] == "retry"
    play.sweep_timer()
    assert (await play.run()).status == "completed"
    assert play.seconds_between("a retrying BROKEN", "a started 2") >= 60


async def test_every_attempt_carries_the_same_step_key() -> None:
    play = await played(workflow(work("a", failFirst=1, retry={"maxAttempts": 2, "initialIntervalMs": 1})))
    (_, _, first, key), (_, _, second, same) = play.world.calls
    assert (first, second) == (1, 2)
    assert key == same


# What a failure leads to


async def test_branch_leads_to_the_error_edge() -> None:
    play = await played(
        workflow(
            FAIL,
            node("saved", "data.set", values={"was": "${ nodes.no.error.code }"}),
            node("ok"),
            ways="no:error > saved; no > ok",
        )
    )
    assert play.outcomes == {"no": "failed NO", "saved": "completed", "ok": "skipped"}
    assert play.output == {"was": "NO"}


async def test_continue_goes_on_with_a_null_output() -> None:
    play = await played(
        workflow(
            {**FAIL, "onError": "continue"},
            node(
                "b",
                "data.set",
                values={"output": "${ nodes.no.output }", "status": "${ nodes.no.status }"},
            ),
            ways="no > b",
        )
    )
    assert play.output == {"output": None, "status": "failed"}


async def test_a_failure_interrupts_its_running_siblings() -> None:
    play = Play(workflow(work("slow", ms=60_000), work("a", failFirst=9), node("never"), ways="slow > never"))
    await play.to_end()
    assert play.outcomes == {
        "a": "failed BROKEN",
        "slow": "cancelled siblingFailed",
        "never": "cancelled siblingFailed",
    }
    assert play.world.interrupted == ["slow"]
    assert play.error.code == "BROKEN"


async def test_a_failure_stops_a_sibling_that_has_not_quite_begun() -> None:
    play = await played(workflow(work("a"), FAIL))
    assert play.outcomes == {"no": "failed NO", "a": "cancelled siblingFailed"}
    assert play.world.ran("a") == 0


async def test_a_failure_ends_waits_and_back_offs() -> None:
    play = await played(
        workflow(
            node("ask", "human.approval", title="?"),
            work("again", ms=0, failFirst=9, retry={"maxAttempts": 3, "initialIntervalMs": 60_000}),
            work("late", ms=500, failFirst=9, retryable=False),
        )
    )
    assert play.outcomes == {
        "late": "failed BROKEN",
        "ask": "cancelled siblingFailed",
        "again": "cancelled siblingFailed",
    }


async def test_a_failure_ends_a_back_off_that_has_only_just_begun() -> None:
    """The attempt's task has ended, but nobody has been told of it yet."""
    retry = {"maxAttempts": 2, "initialIntervalMs": 60_000}
    definition = workflow(work("a", ms=0, failFirst=1, retry=retry), node("b"), FAIL, maxParallel=1)
    play = await played(definition)
    assert play.outcomes == {"b": "completed", "no": "failed NO", "a": "cancelled siblingFailed"}


async def test_a_step_that_must_not_run_twice_outlives_the_failure_of_a_sibling() -> None:
    play = await played(workflow(work("once", ms=1000, atMostOnce=True), work("a", failFirst=9)))
    assert play.outcomes == {"a": "failed BROKEN", "once": "completed"}
    assert play.trace[-1] == "failed BROKEN"


async def test_and_is_not_tried_again_after_it() -> None:
    play = await played(
        workflow(
            work("once", ms=1000, failFirst=9, code="LATER", atMostOnce=True, retry={"maxAttempts": 5}),
            work("a", failFirst=9),
        )
    )
    assert play.outcomes == {"a": "failed BROKEN", "once": "failed LATER"}
    assert play.error.code == "BROKEN"


async def test_a_bug_in_a_node_is_a_failure_without_details() -> None:
    play = await played(workflow(node("a", "test.crash")))
    assert play.error.code == "INTERNAL"
    assert "secret" not in play.error.message


async def test_a_node_that_loses_patience_did_not_time_out() -> None:
    play = await played(workflow(node("a", "test.impatient")))
    assert play.error.code == "INTERNAL"


# Time-outs


async def test_an_attempt_that_takes_too_long_fails() -> None:
    play = await played(workflow(work("a", ms=60_000, timeoutMs=100)))
    assert play.trace == ["a started", "a failed TIMEOUT", "failed TIMEOUT"]
    assert "100 ms" in play.error.message
    assert play.world.interrupted == ["a"]


async def test_each_attempt_has_its_own_time() -> None:
    retry = {"maxAttempts": 3, "initialIntervalMs": 500}
    play = await played(workflow(work("a", ms=60_000, timeoutMs=100, retry=retry)))
    assert play.world.ran("a") == 3
    assert play.seconds_between("a started", "a failed TIMEOUT") == pytest.approx(0.1 * 3 + 0.5 + 1, abs=0.1)


async def test_a_wait_is_bounded_by_the_time_of_its_node() -> None:
    play = await played(workflow(node("ask", "human.approval", title="?", timeoutMs=7000, config={})))
    assert play.error.code == "TIMEOUT"
    play = await played(workflow(node("wait", "logic.delay", durationMs=60_000, timeoutMs=6000)))
    assert play.error.code == "TIMEOUT"
    assert play.seconds_between("wait started", "wait failed TIMEOUT") == pytest.approx(6, abs=0.1)


async def test_the_time_of_the_execution_ends_everything() -> None:
    play = await played(
        workflow(work("a", ms=60_000, onError="continue"), node("b"), ways="a > b"), deadline_seconds=2
    )
    assert play.outcomes == {"a": "cancelled timeout", "b": "cancelled timeout"}
    assert play.error.code == "TIMEOUT"
    assert play.error.node_id == ""


async def test_the_earliest_bound_wins() -> None:
    play = await played(workflow(work("a", ms=60_000, timeoutMs=1000)), deadline_seconds=2)
    assert play.error.node_id == "a"


async def test_a_deadline_that_passed_before_the_runner_came_is_kept() -> None:
    play = Play(workflow(work("a", ms=1000)), deadline_seconds=0.5)
    await play.to_end()
    assert play.error.code == "TIMEOUT"


# Doubt


async def test_an_attempt_that_timed_out_and_must_not_run_twice_is_in_doubt() -> None:
    play = await played(
        workflow(work("a", ms=60_000, timeoutMs=100, atMostOnce=True, retry={"maxAttempts": 5}))
    )
    assert play.trace == ["a started", "a failed STEP_IN_DOUBT", "failed STEP_IN_DOUBT"]


async def test_so_is_one_that_was_interrupted() -> None:
    play = Play(workflow(work("a", ms=60_000, atMostOnce=True)))
    play.begin()
    await play.until_running("a")
    play.cancel()
    assert (await play.finish()).status == "cancelled"
    assert play.outcomes == {"a": "failed STEP_IN_DOUBT"}


async def test_so_is_a_wait_that_must_not_be_repeated() -> None:
    play = await played(
        workflow(node("a", "logic.delay", durationMs=60_000, timeoutMs=6000, atMostOnce=True))
    )
    assert play.error.code == "STEP_IN_DOUBT"


async def test_so_is_one_whose_runner_was_lost() -> None:
    play = Play(workflow(work("a", ms=1000, atMostOnce=True, retry={"maxAttempts": 5})))
    await die_while_running(play, "a")
    await play.run()
    assert play.trace == ["a started", "a failed STEP_IN_DOUBT", "failed STEP_IN_DOUBT"]
    assert play.world.ran("a") == 1


async def test_losing_the_runner_uses_up_no_retry() -> None:
    play = Play(workflow(work("a", ms=1000, failFirst=2, retry={"maxAttempts": 2, "initialIntervalMs": 1})))
    await die_while_running(play, "a")
    await play.run()
    assert play.trace == [
        "a started",
        "a started 2",
        "a retrying BROKEN",
        "a started 3",
        "a completed",
        "completed",
    ]


async def test_what_finished_before_the_runner_was_lost_does_not_run_again() -> None:
    play = Play(workflow(work("a", output=1), work("b", ms=1000), ways="a > b"))
    await die_while_running(play, "b")
    await play.run()
    assert play.world.ran("a") == 1
    assert play.world.ran("b") == 2


async def die_while_running(play: Play, node_id: str) -> None:
    play.begin()
    await play.until_running(node_id)
    await play.die()


# Evaluation


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"values": {"x": "${ 1 / 0 }"}}, "EXPRESSION_FAILED", id="an expression fails"),
        pytest.param(
            {"values": {"x": "${ input.nothing }"}}, "EXPRESSION_FAILED", id="it reads what is absent"
        ),
        pytest.param({"values": "${ input.list }"}, "CONFIG_INVALID", id="it gives what the config forbids"),
    ],
)
async def test_a_config_that_cannot_be_worked_out_fails_the_step(fields: dict[str, Any], code: str) -> None:
    play = await played(workflow(node("a", "data.set", retry={"maxAttempts": 3}, **fields)), {"list": [1]})
    assert play.trace == ["a started", f"a failed {code}", f"failed {code}"]


async def test_such_a_failure_can_be_handled() -> None:
    play = await played(
        workflow(node("a", "data.set", values={"x": "${ input.nothing }"}), node("b"), ways="a:error > b"),
        {},
    )
    assert play.outcomes == {"a": "failed EXPRESSION_FAILED", "b": "completed"}


async def test_an_output_that_fails_fails_the_execution() -> None:
    play = await played(workflow(node("a"), output="${ nodes.a.output.missing }"), {})
    assert play.outcomes == {"a": "completed"}
    assert play.error.code == "OUTPUT_FAILED"


async def test_an_output_must_be_json() -> None:
    play = await played(workflow(node("a", "test.unjson")))
    assert play.error.code == "OUTPUT_INVALID"
