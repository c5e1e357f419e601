"""Why an execution does not run, as a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from services.executor.persistence.admission import Standing
from services.executor.persistence.contract import ExecutionRecord
from services.executor.queue_view import least_lacking
from services.executor.waiting import Queue, waiting_reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = ExecutionRecord(
    id="x",  # type: ignore[arg-type]
    namespace="default",
    workflow_id="",
    workflow_name="",
    workflow_version=0,
    status="running",
    mode="queued",
    requested_mode="auto",
    pending_control=None,
    created_at=NOW,
    started_at=None,
    completed_at=None,
    definition_hash="",
    input_hash="",
    priority=5,
    tags=(),
    error=None,
    result=None,
    complexity=b"",
    waits=None,
    epoch=0,
    last_sequence=1,
    wake_at=None,
    deadline_at=None,
    retry_of="",
    root_id="x",
    parent_id="",
    parent_step="",
    parent_index=None,
    lease_owner="",
    lease_expires_at=None,
    pending_since=None,
)
PERSON = {"nodeId": "ok", "kind": "person", "until": "2026-01-02T00:00:00Z"}
TIMER = {"nodeId": "t", "kind": "timer", "until": "2026-01-01T01:00:00Z"}

CASES: list[tuple[str, dict[str, Any], Queue | None, tuple[Any, ...] | None]] = [
    ("running", {}, None, None),
    ("ended", {"status": "failed"}, None, None),
    ("queued", {"status": "pending"}, Queue(3, 1), ("queued", 3, ())),
    ("no worker", {"status": "pending"}, Queue(1, 0), ("noWorker", 1, ())),
    ("paused", {"status": "paused"}, None, ("paused", 0, ())),
    ("a person", {"status": "waiting", "waits": [PERSON]}, None, ("person", 0, ("ok",))),
    ("a timer", {"status": "waiting", "waits": [TIMER]}, None, ("timer", 0, ("t",))),
    (
        "a person first",
        {"status": "waiting", "waits": [TIMER, PERSON]},
        None,
        ("person", 0, ("ok",)),
    ),
]


@pytest.mark.parametrize(
    ("change", "queue", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_reason(change: dict[str, Any], queue: Queue | None, expected: tuple[Any, ...] | None) -> None:
    reason = waiting_reason(replace(RECORD, **change), queue)
    found = None if reason is None else (reason.kind, reason.queue_position, reason.node_ids)
    assert found == expected
    assert reason is None or reason.explanation.endswith(".")


def test_a_person_s_deadline_is_told() -> None:
    reason = waiting_reason(replace(RECORD, status="waiting", waits=[PERSON]), None)
    assert reason is not None
    assert reason.until == datetime(2026, 1, 2, tzinfo=UTC)


def test_a_list_tells_that_it_is_queued_without_counting() -> None:
    reason = waiting_reason(replace(RECORD, status="pending"), Queue(None, 1))
    assert reason is not None
    assert (reason.kind, reason.queue_position, reason.queue_oldest_seconds) == ("queued", 0, None)
    assert reason.explanation == "It is in the queue."


def test_the_place_in_the_queue_is_told_with_the_age_of_the_oldest() -> None:
    reason = waiting_reason(replace(RECORD, status="pending"), Queue(3, 1, 12.4))
    assert reason is not None
    assert reason.explanation == "It is number 3 in the queue, the oldest for 12 s."
    assert reason.queue_oldest_seconds == 12.4


def test_a_place_beyond_what_is_counted_is_told_as_such() -> None:
    reason = waiting_reason(replace(RECORD, status="pending"), Queue(1001, 1))
    assert reason is not None
    assert reason.explanation == "It is number 1,001 or later in the queue."
    reason = waiting_reason(replace(RECORD, **SLOT), Queue(0, 1, standing=Standing(2, 1001)))
    assert reason is not None
    assert reason.explanation.endswith("number 1,001 or later in its line.")


def test_without_a_worker_the_place_is_told_too() -> None:
    reason = waiting_reason(replace(RECORD, status="pending"), Queue(3, 0))
    assert reason is not None
    assert reason.explanation.endswith("start one with `flow worker`. It is number 3 in the queue.")


SLOT: dict[str, Any] = {"status": "pending", "slot_wanted": "w/acme", "slot_limit": 2}
RATE: dict[str, Any] = {
    "status": "pending",
    "rate_wanted": "w/acme",
    "rate_limit": 10,
    "rate_period_ms": 60_000,
}


def test_a_full_key_is_named_with_its_limit() -> None:
    reason = waiting_reason(replace(RECORD, **SLOT), Queue(0, 1, standing=Standing(2, 3)))
    assert reason is not None
    assert (reason.kind, reason.key, reason.limit, reason.queue_position) == ("concurrency", "acme", 2, 3)
    told = "It waits for one of 2 slots of concurrency key 'acme': 2 taken, number 3 in its line."
    assert reason.explanation == told


def test_a_rate_tells_when_it_allows_the_next() -> None:
    reason = waiting_reason(replace(RECORD, **RATE), Queue(0, 1, standing=Standing(10, 1, NOW)))
    assert reason is not None
    assert (reason.kind, reason.key, reason.limit, reason.period_ms) == ("rateLimit", "acme", 10, 60_000)
    assert reason.until == NOW
    assert "at most 10 in 60 s begin" in reason.explanation


def test_no_worker_goes_before_every_limit() -> None:
    reason = waiting_reason(replace(RECORD, **SLOT), Queue(0, 0))
    assert reason is not None
    assert reason.kind == "noWorker"


def test_what_all_workers_lack_is_named() -> None:
    queue = Queue(1, 2, missing=least_lacking(("acme.crm", "definition:2"), [["flow.noop"], ["acme.crm"]]))
    reason = waiting_reason(replace(RECORD, status="pending"), queue)
    assert reason is not None
    assert (reason.kind, reason.missing) == ("noWorker", ("definition:2",))
    assert "definition:2" in reason.explanation


def test_one_able_worker_is_enough() -> None:
    assert least_lacking(("acme.crm",), [["flow.noop"], ["acme.crm", "flow.noop"]]) == ()
    silent = least_lacking(("acme.crm",), [[]])
    assert silent == ("acme.crm",), "who says nothing of itself can do what every worker can"
    assert least_lacking((), [["flow.noop"]]) == ()
