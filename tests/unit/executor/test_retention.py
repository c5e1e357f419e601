"""FLOW_RETENTION."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import services.executor.persistence.stats_tables  # noqa: F401 - its tables too
from services.executor.persistence.tables import metadata
from services.executor.retention import (
    BATCH_SECONDS,
    LARGEST_BATCH,
    SMALLEST_BATCH,
    Retention,
    Rule,
    next_size,
    parse_retention,
)


@pytest.mark.parametrize(
    ("text", "default", "workflows"),
    [
        ("", Rule(), {}),
        ("90d", Rule(timedelta(days=90)), {}),
        ("2w/1000", Rule(timedelta(weeks=2), 1000), {}),
        (
            "/5, audit=forever,nightly = 26h",
            Rule(None, 5),
            {"audit": Rule(), "nightly": Rule(timedelta(hours=26))},
        ),
        ("a=b=/7", Rule(), {"a=b": Rule(None, 7)}),
    ],
)
def test_rules_are_by_age_and_number(text: str, default: Rule, workflows: dict[str, Rule]) -> None:
    retention = parse_retention(text)
    assert retention == Retention(default, workflows)
    assert retention.keeps_all == (text == "")


@pytest.mark.parametrize("text", ["soon", "90", "1h", "90d/many", "x=", "90d//3"])
def test_what_is_no_rule_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 90d|at least 26h"):
        parse_retention(text)


@pytest.mark.parametrize(
    ("size", "deleted", "seconds", "following"),
    [
        (100, 100, BATCH_SECONDS, 100),
        (100, 100, BATCH_SECONDS / 10, 200),  # never more than twice
        (100, 100, BATCH_SECONDS * 10, 50),
        (400, 400, 0.0, LARGEST_BATCH),
        (SMALLEST_BATCH, SMALLEST_BATCH, 60.0, SMALLEST_BATCH),
        (100, 20, BATCH_SECONDS / 5, 100),  # the rest of a page
    ],
)
def test_batches_grow_and_shrink_to_the_time_they_may_take(
    size: int, deleted: int, seconds: float, following: int
) -> None:
    assert next_size(size, deleted, seconds) == following


def test_the_documentation_says_what_becomes_of_the_rows_of_every_table() -> None:
    told = (Path(__file__).parents[3] / "docs" / "history.md").read_text()
    assert [name for name in metadata.tables if f"`{name}`" not in told] == []
