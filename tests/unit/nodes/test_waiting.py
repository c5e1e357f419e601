from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from flow_engine.nodes.contract import Answered, Completed, NodeError, TimedOut, Waiting
from tests.unit.nodes.contexts import completed, config, context, failed, node_type

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

# logic.waitUntil


@pytest.mark.parametrize(
    ("time", "zone", "utc"),
    [
        ("2020-01-01T12:00:00", "Europe/Berlin", "2020-01-01T11:00:00Z"),
        ("2020-01-01T12:00:00-03:00", "Europe/Berlin", "2020-01-01T15:00:00Z"),
        (1_000, "UTC", "1970-01-01T00:00:01Z"),
    ],
)
async def test_a_time_that_is_over_does_not_wait(time: Any, zone: str, utc: str) -> None:
    assert await completed("logic.waitUntil", {"time": time, "timeZone": zone}) == Completed({"time": utc})


async def test_a_time_to_come_is_waited_for() -> None:
    wait, at = node_type("logic.waitUntil"), datetime.now(UTC) + timedelta(hours=1)
    until = config("logic.waitUntil", {"time": at.isoformat()})
    waiting = await wait.run(context(), until)
    assert isinstance(waiting, Waiting)
    assert waiting.timeout_ms is not None
    assert 3_590_000 < waiting.timeout_ms <= 3_600_000
    outcome = await wait.resume(context(), until, TimedOut())
    assert outcome == Completed({"time": at.isoformat().replace("+00:00", "Z")})


async def test_a_time_too_far_ahead_fails() -> None:
    raw = {"time": (datetime.now(UTC) + timedelta(days=366)).isoformat()}
    assert (await failed("logic.waitUntil", raw)).failure.code == "WAIT_TOO_LONG"


@pytest.mark.parametrize(
    "raw",
    [{"time": "soon"}, {"time": True}, {"time": 10**30}, {"time": "2026-01-01", "timeZone": "Moon"}, {}],
)
def test_what_is_no_time_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config("logic.waitUntil", raw)


# human.input, wait.callback

WAITING = pytest.mark.parametrize(
    ("name", "kind", "handle"),
    [("human.input", "person", "answered"), ("wait.callback", "callback", "received")],
)


@WAITING
async def test_it_waits_and_says_for_what(name: str, kind: str, handle: str) -> None:
    asked = config(name, {"title": "How many?", "description": "why", "schema": SCHEMA, "timeoutMs": 1000})
    assert await node_type(name).run(context(), asked) == Waiting(
        1000, {"kind": kind, "title": "How many?", "description": "why", "schema": SCHEMA}
    )


@WAITING
async def test_the_answer_is_the_output(name: str, kind: str, handle: str) -> None:
    asked = config(name, {"title": "How many?", "schema": SCHEMA})
    resume = node_type(name).resume
    assert await resume(context(), asked, Answered({"n": 2**53 + 1})) == Completed({"n": 2**53 + 1}, handle)
    assert await resume(context(), asked, TimedOut()) == Completed(None, "timeout")
    with pytest.raises(NodeError, match="/n"):
        await resume(context(), asked, Answered({"n": "x"}))


@WAITING
def test_a_schema_that_cannot_be_held_is_refused(name: str, kind: str, handle: str) -> None:
    with pytest.raises(ValidationError):
        config(name, {"title": "x", "schema": {"type": "nonsense"}})


async def test_a_callback_may_bring_anything() -> None:
    outcome = await node_type("wait.callback").resume(
        context(), config("wait.callback", {}), Answered([None])
    )
    assert outcome == Completed([None], "received")
