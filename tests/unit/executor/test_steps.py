"""Events to steps, as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flow_engine.interpreter.events import (
    AnyEvent,
    ExecutionCancelled,
    ExecutionForked,
    Failure,
    KeptStep,
    SignalReceived,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from flow_engine.interpreter.steps import MAX_RESULT_BYTES, StepsView, as_json, decode_result, encode_result
from flow_engine.payload import Payload, PayloadRef

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(milliseconds: int) -> datetime:
    return T0 + timedelta(milliseconds=milliseconds)


def started(node: str, ms: int = 0, attempt: int = 1, iteration: tuple[int, ...] = ()) -> StepStarted:
    return StepStarted(time=at(ms), node_id=node, attempt=attempt, iteration=iteration)


BROKEN = Failure(code="HTTP_STATUS", message="503", retryable=True)

ENDINGS: list[tuple[str, list[AnyEvent], dict[str, object]]] = [
    (
        "a running step",
        [started("a")],
        {"status": "running", "attempts": 1, "completedAt": None, "durationMs": None},
    ),
    (
        "a completed step",
        [started("a"), StepCompleted(time=at(7), node_id="a", attempt=1, output=None, handle="true")],
        {"status": "completed", "output": None, "handle": "true", "durationMs": 7},
    ),
    (
        "a large output goes by its hash",
        [started("a"), StepCompleted(time=at(7), node_id="a", attempt=1, output_ref=PayloadRef("ab", 5000))],
        {"status": "completed", "outputRef": {"hash": "ab", "bytes": 5000}},
    ),
    ("a step that never ran", [StepSkipped(time=at(3), node_id="a")], {"status": "skipped", "attempts": 0}),
    (
        "a step in back-off waits and tells why",
        [started("a"), StepRetrying(time=at(1), node_id="a", attempt=1, error=BROKEN, retry_at=at(1000))],
        {"status": "waiting", "waiting": {"kind": "retry", "until": "2026-01-02T03:04:06Z"}},
    ),
    (
        "the second attempt of a step keeps its start",
        [
            started("a"),
            StepRetrying(time=at(1), node_id="a", attempt=1, error=BROKEN, retry_at=at(5)),
            started("a", 5, attempt=2),
            StepFailed(time=at(9), node_id="a", attempt=2, error=BROKEN, handled="branch"),
        ],
        {"status": "failed", "attempts": 2, "durationMs": 9, "handled": "branch"},
    ),
    (
        "a waiting step shows what it asks for",
        [
            started("a"),
            StepWaiting(
                time=at(1), node_id="a", attempt=1, wait={"kind": "person", "title": "?"}, until=at(0)
            ),
        ],
        {"status": "waiting", "waiting": {"kind": "person", "title": "?", "until": "2026-01-02T03:04:05Z"}},
    ),
    (
        "a cancelled step",
        [started("a"), StepCancelled(time=at(2), node_id="a", reason="request")],
        {"status": "cancelled", "attempts": 1, "durationMs": 2},
    ),
    (
        "the end of the execution ends what is open",
        [started("a"), ExecutionCancelled(time=at(4))],
        {"status": "cancelled", "durationMs": 4},
    ),
]


@pytest.mark.parametrize(
    ("events", "expected"), [case[1:] for case in ENDINGS], ids=[case[0] for case in ENDINGS]
)
def test_step(events: list[AnyEvent], expected: dict[str, object]) -> None:
    (step,) = as_json(StepsView.of(events).steps)
    assert expected.items() <= step.items()
    assert step["nodeId"] == "a"
    assert "iteration" not in step


def test_steps_stand_in_order_of_start_with_their_iterations() -> None:
    view = StepsView.of([started("loop"), started("x", 1, iteration=(1,)), started("x", 2, iteration=(0,))])
    assert [step.key for step in view.steps] == [("loop", ()), ("x", (1,)), ("x", (0,))]
    assert as_json(view.steps)[1]["iteration"] == [1]


def test_an_answered_step_awaits_no_answer_until_it_asks_again() -> None:
    ask = StepWaiting(time=at(1), node_id="a", attempt=1, wait={"kind": "person"})
    view = StepsView.of([started("a"), ask])
    step = view.get("a")
    assert step is not None
    asked = [step.awaits_answer]
    view.apply(SignalReceived(time=at(2), node_id="a", payload={"approved": True}))
    assert step.answer_hash == Payload.of({"approved": True}).ref.hash
    asked.append(step.awaits_answer)
    view.apply(ask)
    asked.append(step.awaits_answer)
    assert asked == [True, False, True]


def test_a_timer_awaits_no_answer() -> None:
    view = StepsView.of([started("a"), StepWaiting(time=at(1), node_id="a", attempt=1, until=at(9))])
    assert [step.awaits_answer for step in view.steps] == [False]
    assert view.steps[0].waiting == {"kind": "timer", "until": "2026-01-02T03:04:05.009000Z"}


def test_a_retry_begins_with_the_steps_it_keeps() -> None:
    kept = KeptStep(node_id="a", attempt=2, started_at=at(0), completed_at=at(3), output=1)
    view = StepsView.of([ExecutionForked(time=at(9), kept=(kept,)), started("b", 10)])
    assert [(s.node_id, s.status, s.attempts, s.duration_ms, s.kept) for s in view.steps] == [
        ("a", "completed", 2, 3, True),
        ("b", "running", 1, None, False),
    ]


def test_a_result_reads_as_it_was_written() -> None:
    view = StepsView.of([started("a"), StepCompleted(time=at(7), node_id="a", attempt=1, output=2**53 + 1)])
    result = decode_result(encode_result(view, Payload.of({"n": 2**53 + 1})))
    assert result.output == {"n": 2**53 + 1}
    assert result.steps == view.steps
    large = Payload.of("x" * 5000)
    assert decode_result(encode_result(view, large)).output_ref == large.ref


def test_a_result_too_large_for_a_message_leaves_its_steps_to_the_history() -> None:
    view = StepsView()
    for number in range(MAX_RESULT_BYTES // 3_000):
        view.apply(started(f"n{number}"))
        view.apply(StepCompleted(time=at(number), node_id=f"n{number}", attempt=1, output="x" * 3_000))
    text = encode_result(view, Payload.of("done"))
    assert len(text) < 100
    result = decode_result(text)
    assert (result.output, result.steps, result.steps_in_history) == ("done", [], True)
