from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flow_engine.nodes.contract import Answered, Completed, NodeError, TimedOut, Waiting
from flow_engine.nodes.human_approval import ANSWER_SCHEMA
from tests.unit.nodes.contexts import config, context, node_type

APPROVAL = node_type("human.approval")
ASKED = config(
    "human.approval", {"title": "Approve", "description": "why", "timeoutMs": 1000, "assignee": "ada"}
)


async def test_approval_waits_for_a_person_and_says_for_what() -> None:
    assert await APPROVAL.run(context(), ASKED) == Waiting(
        timeout_ms=1000,
        signal={
            "kind": "person",
            "title": "Approve",
            "description": "why",
            "assignee": "ada",
            "schema": ANSWER_SCHEMA,
        },
    )


async def test_approval_without_time_out_waits_without_end() -> None:
    waiting = await APPROVAL.run(context(), config("human.approval", {"title": "Approve"}))
    assert waiting == Waiting(None, {"kind": "person", "title": "Approve", "schema": ANSWER_SCHEMA})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"approved": True, "comment": "fine"}, Completed({"approved": True, "comment": "fine"}, "approved")),
        ({"approved": False}, Completed({"approved": False, "comment": None}, "rejected")),
    ],
)
async def test_an_answer_chooses_the_way(answer: dict[str, Any], expected: Completed) -> None:
    Draft202012Validator(ANSWER_SCHEMA).validate(answer)
    assert await APPROVAL.resume(context(), ASKED, Answered(answer)) == expected


async def test_the_end_of_its_time_is_a_way_of_its_own() -> None:
    outcome = await APPROVAL.resume(context(), ASKED, TimedOut())
    assert outcome == Completed({"approved": None, "comment": None}, "timeout")


@pytest.mark.parametrize(
    "answer", [None, True, {}, {"approved": "yes"}, {"approved": 1}, {"comment": "x"}, []]
)
async def test_anything_else_is_no_answer(answer: Any) -> None:
    assert not Draft202012Validator(ANSWER_SCHEMA).is_valid(answer)
    with pytest.raises(NodeError, match="approved"):
        await APPROVAL.resume(context(), ASKED, Answered(answer))
