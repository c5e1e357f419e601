"""Buckets, periods, and what an ended execution adds to the counts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_engine.errors import InvalidRequest
from flow_engine.interpreter.steps import Step
from flow_engine.v1 import stats_pb2 as pb
from services.executor.servicers.stats_messages import stats_query
from services.executor.stats.histogram import bucket_of, middle, quantile
from services.executor.stats.periods import (
    DAY,
    FINE,
    GRAINS,
    HOUR,
    covering,
    grains_of,
    rounded_out,
    usual_bucket,
)
from services.executor.stats.tally import Ended, Subject, Tally

NOW = datetime(2026, 3, 1, 12, 2, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


@given(st.floats(min_value=1, max_value=1e15))
def test_a_value_is_taken_for_one_within_5_percent(value: float) -> None:
    assert abs(middle(bucket_of(value)) / value - 1) < 0.05


@given(st.lists(st.floats(min_value=1, max_value=1e9), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_a_quantile_is_that_of_the_values_themselves(values: list[float], share: float) -> None:
    rank = max(1, -(-share * len(values) // 1))
    exact = sorted(values)[int(rank) - 1]
    found = quantile(Counter(map(bucket_of, values)), share)
    assert found is not None
    assert 0.9 < found / exact < 1.1


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None


@given(st.integers(0, 100_000), st.integers(1, 100_000))
def test_spans_cover_a_range_once(start: int, length: int) -> None:
    first, end = start * FINE, (start + length) * FINE
    spans = covering(first, end)
    assert [span.first for span in spans] == [first, *(span.end for span in spans[:-1])]
    assert spans[-1].end == end
    assert all(not span.first % span.grain and not span.end % span.grain for span in spans)
    assert len(spans) <= 5  # fine, hours, days, hours, fine


def test_old_ranges_are_rounded_to_what_is_kept_of_them() -> None:
    start, end = rounded_out(SECONDS - 100 * DAY - 7, SECONDS - 3 * DAY - 7, SECONDS)
    assert (start % DAY, end % HOUR) == (0, 0)
    assert start <= SECONDS - 100 * DAY - 7
    assert end >= SECONDS - 3 * DAY - 7
    spans = covering(start, end)
    assert {span.grain for span in spans} <= {HOUR, DAY}


def test_long_ranges_are_made_of_whole_days() -> None:
    request = pb.GetStatsRequest(start_time={"seconds": SECONDS - 30 * DAY - 7})
    query = stats_query(request, NOW, "default", ())
    assert query.start % DAY == 0
    assert 0 < query.end - SECONDS <= FINE
    assert {span.grain for span in covering(query.start, query.counted_until)} == {DAY}
    request.end_time.FromSeconds(SECONDS - 5 * DAY)
    query = stats_query(request, NOW, "default", ())
    assert (query.end % DAY, query.counted_until) == (0, query.end)


def test_a_series_of_a_day_has_about_a_hundred_points() -> None:
    bucket = usual_bucket(SECONDS - DAY, SECONDS, SECONDS)
    assert bucket == 900
    assert grains_of(bucket) == [FINE]
    assert grains_of(DAY) == list(GRAINS)


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (pb.GetStatsRequest(limit=101), "/limit"),
        (pb.GetStatsRequest(bucket={"seconds": 7}), "/bucket"),
        (pb.GetStatsRequest(bucket={"seconds": 300}, start_time={"seconds": SECONDS - 30 * DAY}), ""),
        (pb.GetStatsRequest(start_time={"seconds": SECONDS + 3600}), "/startTime"),
        (pb.GetStatsRequest(start_time={"seconds": -62_000_000_000}), "/startTime"),
    ],
)
def test_a_wrong_question_names_what_is_wrong(request_: pb.GetStatsRequest, path: str) -> None:
    if not path:  # the bucket grows to what is kept of the range
        assert stats_query(request_, NOW, "default", ()).bucket == HOUR
        return
    with pytest.raises(InvalidRequest) as refused:
        stats_query(request_, NOW, "default", ())
    assert [problem.path for problem in refused.value.problems] == [path]


def test_without_a_range_the_last_day_is_meant() -> None:
    query = stats_query(pb.GetStatsRequest(), NOW, "default", ())
    assert (query.end - query.start, query.end - SECONDS) == (DAY + FINE, 180)


def ended(**changes: Any) -> Ended:
    usual: dict[str, Any] = {
        "id": "e1",
        "namespace": "default",
        "workflow_id": "w",
        "status": "completed",
        "mode": "immediate",
        "decided_mode": "immediate",
        "estimate_ms": 100.0,
        "retry_of": "",
        "created_at": NOW,
        "started_at": NOW,
        "completed_at": NOW + timedelta(milliseconds=120),
    }
    return Ended(**{**usual, **changes})


def of_workflow(tally: Tally) -> Counter[str]:
    return Counter({name: count for name, count in total(tally, Subject("workflow", "w")).items() if count})


def total(tally: Tally, subject: Subject) -> Counter[str]:
    return sum((c.sums for (_, s, _), c in tally.counts.items() if s == subject), Counter())


def test_an_execution_counts_for_its_workflow_and_for_all() -> None:
    tally = Tally.of([ended(), ended(status="failed", error_code="TIMEOUT")])
    assert of_workflow(tally) == total(tally, Subject("all"))
    assert of_workflow(tally)["runs"] == 2
    assert of_workflow(tally)["duration_us"] == 240_000
    assert {key[3]: error.count for key, error in tally.errors.items()} == {"TIMEOUT": 1}


@pytest.mark.parametrize(
    ("changes", "regret"),
    [
        ({}, Counter()),
        ({"mode": "queued"}, Counter(promotions=1)),
        ({"mode": "queued", "decided_mode": "queued"}, Counter(queued_short=1)),
        (
            {"mode": "queued", "decided_mode": "queued", "completed_at": NOW + timedelta(seconds=2)},
            Counter(),
        ),
        ({"mode": "queued", "decided_mode": "queued", "started_at": None, "status": "cancelled"}, Counter()),
    ],
)
def test_a_mode_is_regretted_when_it_proved_wrong(changes: dict[str, Any], regret: Counter[str]) -> None:
    sums = of_workflow(Tally.of([ended(**changes)]))
    assert Counter({name: sums[name] for name in ("promotions", "queued_short") if sums[name]}) == regret


@pytest.mark.parametrize(("estimate_ms", "close"), [(100.0, 1), (80.0, 1), (79.0, 0), (181.0, 0)])
def test_an_estimate_is_close_within_a_factor_of_one_and_a_half(estimate_ms: float, close: int) -> None:
    sums = of_workflow(Tally.of([ended(estimate_ms=estimate_ms)]))
    assert (sums["estimates"], sums["estimates_close"]) == (1, close)


def test_steps_count_for_their_node_and_their_type() -> None:
    step = Step("a", "completed", 3, NOW, NOW + timedelta(milliseconds=5), 5)
    skipped = Step("b", "skipped", 0, None, None, None)
    kept = Step("c", "completed", 1, NOW, NOW, 0, kept=True)
    tally = Tally.of([ended(steps=[step, skipped, kept], node_types={"a": "t", "b": "t", "c": "t"})])
    assert total(tally, Subject("node", "w", "a", "t")) == total(tally, Subject("type", node_type="t"))
    assert total(tally, Subject("type", node_type="t"))["runs"] == 1
    assert total(tally, Subject("node", "w", "a", "t"))["retries"] == 2
    assert of_workflow(tally)["step_retries"] == 2
