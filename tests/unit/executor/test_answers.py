"""Which waiting step an answer is for."""

from __future__ import annotations

import pytest

from flow_engine.errors import AlreadyAnswered, AmbiguousStep, NotWaiting
from flow_engine.interpreter.steps import Step
from services.executor.answers import answered_step


def step(iteration: tuple[int, ...] = (), status: str = "waiting", answer: str = "") -> Step:
    return Step("ok", status, 1, None, None, None, iteration, waiting={"kind": "person"}, answer_hash=answer)


def test_the_only_waiting_instance_is_meant() -> None:
    waiting = step((1,))
    assert answered_step([step((0,), "completed", "h0"), waiting], "ok", (), "h") == (waiting, False)


def test_several_waiting_instances_must_be_told_apart() -> None:
    steps = [step((0,)), step((1,))]
    with pytest.raises(AmbiguousStep) as refused:
        answered_step(steps, "ok", (), "h")
    assert refused.value.details["iterations"] == [[0], [1]]
    assert answered_step(steps, "ok", (1,), "h") == (steps[1], False)


def test_the_same_answer_again_is_known_and_another_is_refused() -> None:
    answered = step(status="completed", answer="h")
    assert answered_step([answered], "ok", (), "h") == (answered, True)
    with pytest.raises(AlreadyAnswered):
        answered_step([answered], "ok", (), "other")


def test_a_step_that_does_not_wait_cannot_be_answered() -> None:
    with pytest.raises(NotWaiting):
        answered_step([Step("ok", "running", 1, None, None, None)], "ok", (), "h")
