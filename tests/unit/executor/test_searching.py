"""Which of several conditions a search begins with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.executor.persistence.searching import PROBE, Probe, rarest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def probe(leader: int, count: int, days: float = 0.0, ago: float = 0.0) -> Probe:
    newest = NOW - timedelta(days=ago)
    return Probe(leader, count, newest - timedelta(days=days), newest)


@pytest.mark.parametrize(
    ("probes", "leader"),
    [
        ([probe(0, PROBE, 1), probe(1, PROBE, 7)], 1),  # the same number in a longer time
        ([probe(0, PROBE, 1), probe(1, 199, 0.001)], 1),  # there are no more
        ([Probe(0, 0, None, None), probe(1, 1)], 0),
        ([probe(0, PROBE, 1), probe(1, PROBE, 1)], 0),
        ([probe(0, PROBE, 2), probe(1, PROBE, 3), probe(1, PROBE, 3)], 0),  # two words of one condition
        ([probe(0, PROBE, 3), probe(1, PROBE, 1, ago=30)], 1),  # none for long
        ([probe(0, PROBE), probe(1, PROBE)], 0),
    ],
)
def test_the_rarest_condition_leads(probes: list[Probe], leader: int) -> None:
    assert rarest(probes) == leader
