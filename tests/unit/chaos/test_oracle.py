"""The oracle against forged rounds: it must find every kind of violation, and none where all is well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.oracle import Acknowledged, Call, Evidence, Stream, judge, quantile, recovery
from tests.chaos.records import Record
from tests.unit.chaos.histories import (
    BIRTH,
    CASE,
    GOOD,
    ID,
    OTHER,
    TAG,
    Written,
    call,
    evidence,
    record,
    with_,
    without,
)

IMMEDIATE: list[Written] = [
    (0, 0, [{"type": "execution.created", "mode": "immediate"}]),
    (1, 1, [{"type": "execution.started"}, {"type": "step.started", "nodeId": "a", "attempt": 1}]),
    (1, 2, [{"type": "step.completed", "nodeId": "a", "attempt": 1}, {"type": "execution.promoted"}]),
    (0, 0, [{"type": "execution.claimed", "epoch": 2}]),
    (2, 1, [{"type": "step.started", "nodeId": "b", "attempt": 1}]),
    (2, 2, [{"type": "step.completed", "nodeId": "b", "attempt": 1}]),
    (2, 3, [{"type": "execution.completed", "output": "done"}]),
]


def found(given: Evidence) -> list[str]:
    return [str(violation) for violation in judge(given).violations]


def kinds(given: Evidence) -> set[str]:
    return {violation.kind for violation in judge(given).violations}


def test_a_round_in_which_all_is_well_has_no_violations() -> None:
    verdict = judge(evidence())
    assert not verdict.violations
    assert verdict.in_doubt == 1, "the call that the killed worker had made, and the next one made again"


def test_an_immediate_run_that_was_promoted_is_fine() -> None:
    history = record(*IMMEDIATE, epoch=2)
    assert not found(evidence(history, calls=[call("a", 3.1), call("b", 7.1)]))


# Accounts -----------------------------------------------------------------------------------------


def test_an_acknowledged_execution_that_is_gone_is_lost() -> None:
    assert kinds(evidence(records={}, streams=[], calls=[])) == {"lost"}


@pytest.mark.parametrize("status", ["pending", "running", "waiting", "paused"])
def test_an_execution_that_never_ended_is_lost(status: str) -> None:
    history = record(*GOOD[:-1], status=status)
    assert "lost" in kinds(evidence(history))


def test_an_execution_that_ended_otherwise_than_it_had_to_is_lost() -> None:
    failed: Written = (3, 5, [{"type": "execution.failed", "error": {"code": "WORKER_LOST"}}])
    history = record(*GOOD[:-1], failed, status="failed", error_code="WORKER_LOST")
    assert found(evidence(history)) == [
        f"lost: {ID}: two-calls ended failed WORKER_LOST: {{'code': 'WORKER_LOST'}}"
    ]


def test_a_completed_step_that_called_nobody_is_lost() -> None:
    assert kinds(evidence(calls=[call("a", 4.1)])) == {"lost"}


def test_an_execution_that_nobody_started_is_unaccounted() -> None:
    stranger = record(*GOOD, execution_id=OTHER, tags=["round-7"])
    assert kinds(evidence(records={ID: record(*GOOD), OTHER: stranger})) == {"unaccounted"}


def test_two_executions_of_one_start_are_unaccounted() -> None:
    twin = record(*GOOD, execution_id=OTHER)
    assert kinds(evidence(records={ID: record(*GOOD), OTHER: twin})) == {"unaccounted"}


def test_a_call_that_no_acknowledged_step_makes_is_unaccounted() -> None:
    calls = [*evidence().calls, Call("/round/9/x", "key-x", BIRTH.timestamp())]
    assert kinds(evidence(calls=calls)) == {"unaccounted"}


def test_one_start_acknowledged_as_two_executions_is_a_wrong_answer() -> None:
    twin = record(*GOOD, execution_id=OTHER)
    told = [Acknowledged(each, 0, CASE, "queued", "pending") for each in (ID, OTHER)]
    given = evidence(records={ID: record(*GOOD), OTHER: twin}, acknowledged=told)
    assert "answer" in kinds(given)


@pytest.mark.parametrize(
    ("status", "output"), [("failed", None), ("cancelled", None), ("completed", "something else")]
)
def test_an_end_that_the_caller_was_told_otherwise_is_a_wrong_answer(status: str, output: object) -> None:
    told = Acknowledged(ID, 0, CASE, "immediate", status, output)
    assert kinds(evidence(acknowledged=[told])) == {"answer"}


# Effects ------------------------------------------------------------------------------------------


def test_a_call_without_an_attempt_is_twice() -> None:
    calls = [call("a", 4.1), call("a", 6.1), call("a", 6.2), call("b", 8.1)]
    assert "twice" in kinds(evidence(calls=calls))


def test_a_step_tried_again_though_its_runner_was_not_lost_is_twice() -> None:
    history = record(*without(3), epoch=1)  # no second claim
    first_epoch = [replace(batch, epoch=1, report_no=index) for index, batch in enumerate(history.batches)]
    history = replace(history, batches=[*history.batches[:2], *first_epoch[2:]])
    assert kinds(evidence(history)) == {"twice"}


def test_a_step_tried_again_where_no_process_was_lost_is_twice() -> None:
    assert kinds(evidence(repeats_allowed=False)) == {"twice"}


def test_calls_in_doubt_with_different_keys_are_twice() -> None:
    calls = [call("a", 4.1, "one"), call("a", 6.1, "two"), call("b", 8.1)]
    assert kinds(evidence(calls=calls)) == {"twice"}


def test_steps_that_share_a_key_are_twice() -> None:
    calls = [call("a", 4.1, "same"), call("a", 6.1, "same"), call("b", 8.1, "same")]
    assert kinds(evidence(calls=calls)) == {"twice"}


def test_a_call_without_a_key_is_twice() -> None:
    calls = [replace(each, key=None) for each in evidence().calls]
    assert "twice" in kinds(evidence(calls=calls))


def test_an_attempt_that_was_declared_to_be_retried_may_call_again() -> None:
    retried: list[Written] = [
        *GOOD[:2],
        (1, 1, [{"type": "execution.started"}, {"type": "step.started", "nodeId": "a", "attempt": 1}]),
        (1, 2, [{"type": "step.retrying", "nodeId": "a", "attempt": 1}]),
        (1, 3, [{"type": "step.started", "nodeId": "a", "attempt": 2}]),
        (1, 4, [{"type": "step.completed", "nodeId": "a", "attempt": 2}]),
        (1, 5, [{"type": "step.started", "nodeId": "b", "attempt": 1}]),
        (1, 6, [{"type": "step.completed", "nodeId": "b", "attempt": 1}]),
        (1, 7, [{"type": "execution.completed", "output": "done"}]),
    ]
    history = record(*retried, epoch=1)
    given = evidence(history, calls=[call("a", 4.1), call("a", 6.1), call("b", 8.1)], repeats_allowed=False)
    assert not found(given)
    assert judge(given).in_doubt == 0


def test_an_effect_before_its_attempt_began_is_found() -> None:
    calls = [call("a", 4.1), call("a", 6.1), call("b", 7.9)]  # b began in the eighth second
    assert kinds(evidence(calls=calls)) == {"history"}


@pytest.mark.parametrize("outcome", ["step.completed", "step.failed", "step.skipped", "step.cancelled"])
def test_a_second_outcome_of_a_step_is_twice(outcome: str) -> None:
    again: Written = (3, 6, [{"type": outcome, "nodeId": "a", "attempt": 2}])
    history = record(*GOOD[:-1], again, (3, 7, GOOD[-1][2]))
    assert "twice" in kinds(evidence(history))


def test_a_step_that_begins_again_after_its_outcome_is_twice() -> None:
    again: Written = (3, 6, [{"type": "step.started", "nodeId": "a", "attempt": 3}])
    history = record(*GOOD[:-1], again, (3, 7, GOOD[-1][2]))
    assert "twice" in kinds(evidence(history))


def test_outcomes_of_one_node_in_different_iterations_are_different_steps() -> None:
    case = replace(CASE, outcomes={("a", (index,)): "completed" for index in range(2)}, calls={})
    steps = [
        {"type": kind, "nodeId": "a", "iteration": [index], "attempt": 1}
        for index in range(2)
        for kind in ("step.started", "step.completed")
    ]
    history = record(*GOOD[:2], (1, 1, [*steps, {"type": "execution.completed", "output": "done"}]), epoch=1)
    told = Acknowledged(ID, 0, case, "queued", "pending")
    assert not found(evidence(history, calls=[], acknowledged=[told]))


# Histories ----------------------------------------------------------------------------------------


def renumbered(history: Record, at: int, sequence: int) -> Record:
    batch = history.batches[at]
    moved = replace(batch, events=[{**batch.events[0], "sequence": sequence}, *batch.events[1:]])
    return replace(history, batches=[*history.batches[:at], moved, *history.batches[at + 1 :]])


@pytest.mark.parametrize("sequence", [5, 7, 99])
def test_sequences_that_are_not_contiguous_are_found(sequence: int) -> None:
    assert "history" in kinds(evidence(renumbered(record(*GOOD), 4, sequence), streams=[]))


def test_a_batch_that_is_missing_is_found() -> None:
    history = record(*GOOD)
    assert "history" in kinds(evidence(replace(history, batches=history.batches[1:]), streams=[]))


def test_a_row_that_counts_other_events_than_there_are_is_found() -> None:
    assert kinds(evidence(record(*GOOD, last_sequence=11), streams=[])) == {"history"}


def test_a_half_written_batch_is_found() -> None:
    history = record(*GOOD)
    half = replace(history.batches[2], events=history.batches[2].events[:1])
    history = replace(history, batches=[*history.batches[:2], half, *history.batches[3:]])
    assert "history" in kinds(evidence(history, streams=[]))


@pytest.mark.parametrize(
    "after",
    [
        {"type": "step.skipped", "nodeId": "z"},
        {"type": "execution.claimed", "epoch": 4},
        {"type": "execution.completed", "output": "done"},
        {"type": "execution.cancelled"},
    ],
)
def test_an_event_after_the_end_is_found(after: dict[str, object]) -> None:
    assert "history" in kinds(evidence(record(*GOOD, (0, 0, [after]))))


def test_a_status_that_its_history_does_not_tell_is_found() -> None:
    assert "history" in kinds(evidence(record(*GOOD[:-1])))


def test_time_that_runs_backwards_is_found() -> None:
    history = record(*GOOD)
    early = replace(history.batches[5], events=[{**history.batches[5].events[0], "time": BIRTH.isoformat()}])
    history = replace(history, batches=[*history.batches[:5], early, *history.batches[6:]])
    assert kinds(evidence(history)) == {"history"}


def test_a_step_that_completed_without_having_begun_is_found() -> None:
    assert "history" in kinds(evidence(record(*without(6)), calls=[call("a", 4.1), call("a", 6.1)]))


def test_attempts_that_do_not_count_up_are_found() -> None:
    skipped: Written = (3, 1, [{"type": "step.started", "nodeId": "a", "attempt": 3}])
    assert kinds(evidence(record(*GOOD[:4], skipped, *GOOD[5:]))) == {"history"}


def test_another_output_than_expected_is_found() -> None:
    other: Written = (3, 5, [{"type": "execution.completed", "output": "undone"}])
    assert kinds(evidence(record(*GOOD[:-1], other))) == {"history"}


def test_a_step_that_is_missing_in_the_end_is_found() -> None:
    history = record(*GOOD[:6], (3, 3, GOOD[-1][2]))
    assert kinds(evidence(history, calls=[call("a", 4.1), call("a", 6.1)])) == {"history"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "timer.fired", "timerId": "t", "nodeId": "a"},
        {"type": "signal.received", "nodeId": "a"},
        {"type": "execution.promoted", "reason": "budget"},
    ],
)
def test_what_happens_once_and_came_twice_is_found(event: dict[str, object]) -> None:
    once: Written = (0, 0, [event])
    assert not found(
        evidence(record(*with_(2, once)), calls=[call("a", 5.1), call("a", 7.1), call("b", 9.1)])
    )
    history = record(*with_(2, once, once))
    assert kinds(evidence(history, calls=[call("a", 6.1), call("a", 8.1), call("b", 10.1)])) == {"history"}


# Zombies ------------------------------------------------------------------------------------------


def test_a_write_of_an_epoch_whose_lease_was_taken_is_a_zombies() -> None:
    late: Written = (1, 2, [{"type": "step.skipped", "nodeId": "z"}])
    assert "zombie" in kinds(evidence(record(*with_(5, late))))


def test_a_write_before_any_claim_is_a_zombies() -> None:
    early: Written = (1, 1, [{"type": "execution.started"}])
    history = record(GOOD[0], early, *GOOD[1:])
    assert "zombie" in kinds(evidence(history))


def test_the_executor_writing_after_a_worker_took_over_is_a_zombie() -> None:
    late: Written = (1, 3, [{"type": "step.skipped", "nodeId": "z"}])
    history = record(*IMMEDIATE[:4], late, *IMMEDIATE[4:], epoch=2)
    assert "zombie" in kinds(evidence(history, calls=[call("a", 3.1), call("b", 8.1)]))


def test_a_report_number_that_came_twice_is_a_zombies() -> None:
    again: Written = (3, 2, [{"type": "step.skipped", "nodeId": "z"}])
    assert "zombie" in kinds(evidence(record(*with_(6, again))))


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_epoch_that_was_claimed_twice_is_a_zombies(epoch: int) -> None:
    again: Written = (0, 0, [{"type": "execution.claimed", "epoch": epoch}])
    assert "zombie" in kinds(evidence(record(*with_(4, again))))


# Streams ------------------------------------------------------------------------------------------


def watched(*sequences: int, ended: bool = True) -> Evidence:
    events = record(*GOOD).events
    return evidence(streams=[Stream(ID, [events[sequence - 1] for sequence in sequences], ended)])


def test_a_stream_that_misses_an_event_has_a_gap() -> None:
    assert kinds(watched(1, 2, 3, 5, 6, 7, 8, 9, 10)) == {"gap"}


def test_a_stream_that_does_not_reach_the_end_has_a_gap() -> None:
    assert kinds(watched(*range(1, 10))) == {"gap"}


def test_a_stream_that_never_says_it_is_over_has_a_gap() -> None:
    assert kinds(watched(*range(1, 11), ended=False)) == {"gap"}


def test_a_stream_that_repeats_an_event_has_a_duplicate() -> None:
    assert kinds(watched(1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10)) == {"duplicate"}


def test_a_stream_out_of_order_is_found() -> None:
    assert kinds(watched(1, 2, 4, 3, 5, 6, 7, 8, 9, 10)) == {"duplicate", "gap"}


def test_a_stream_that_tells_something_else_than_history_is_found() -> None:
    events = record(*GOOD).events
    events[3] = {**events[3], "nodeId": "other"}
    assert kinds(evidence(streams=[Stream(ID, events, ended=True)])) == {"duplicate"}


def test_a_stream_of_an_execution_that_is_gone_is_found() -> None:
    given = evidence(streams=[Stream(OTHER, record(*GOOD).events, ended=True)])
    assert kinds(given) == {"lost"}


# Recovery -----------------------------------------------------------------------------------------


def moment(second: float) -> float:
    return BIRTH.timestamp() + second


def test_recovery_is_the_time_until_an_execution_that_ran_moves_on() -> None:
    (span,) = recovery([record(*GOOD)], [moment(4.2)])  # the claim comes in the fifth second
    assert span == pytest.approx(0.8)


def test_being_promoted_is_not_moving_on() -> None:
    (span,) = recovery(
        [record(*IMMEDIATE)], [moment(4.0)]
    )  # in the fifth second promoted, in the sixth claimed
    assert span == pytest.approx(2.0)


@pytest.mark.parametrize("second", [0.5, 1.5, 10.5])
def test_what_does_not_run_need_not_recover(second: float) -> None:
    """Not there yet, queued, over."""
    assert recovery([record(*GOOD)], [moment(second)]) == []


def test_what_waits_for_a_person_need_not_recover() -> None:
    history = record(*with_(6, (3, 3, [{"type": "execution.waiting"}])))
    assert recovery([history], [moment(8.5)]) == []


def test_quantiles_of_nothing_are_unknown() -> None:
    assert quantile([], 0.5) is None
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.95, 1.0)] == [3.0, 4.0, 4.0]


def test_violations_are_told_in_one_line() -> None:
    assert found(evidence(records={}, streams=[], calls=[])) == [
        f"lost: {ID}: start 0 was acknowledged and is gone"
    ]
    assert TAG in evidence().starts
