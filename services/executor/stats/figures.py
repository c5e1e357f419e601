"""What is asked of the counts, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.executor.stats.periods import DAY

Histogram = dict[int, int]
"""Counts by bucket."""
Histograms = dict[str, Histogram]
"""By measure."""
Series = list[tuple[int, int, int, int]]
"""(begin, completed, failed, cancelled), without gaps."""


@dataclass(frozen=True, slots=True)
class StatsQuery:
    """Times in seconds since 1970, rounded to whole periods."""

    namespace: str
    workflow_id: str | None  # None: all
    start: int
    end: int
    bucket: int  # of the series
    limit: int
    waiting_types: Sequence[str] = ()  # left out of the slowest nodes
    latest: bool = False  # nothing has ended after `end`

    @property
    def counted_until(self) -> int:
        """Today's own count tells as much as its hours do, while there is nothing after them."""
        return self.end + -self.end % DAY if self.latest else self.end


@dataclass(frozen=True, slots=True)
class Group:
    """Sums and histograms of what shares `names`: {workflow_id: …}, {node_type: …}."""

    names: Mapping[str, str]
    sums: Mapping[str, int]
    histograms: Histograms


@dataclass(frozen=True, slots=True)
class TopError:
    code: str
    workflow_id: str
    count: int
    execution_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Figures:
    total: Group
    workflows: Sequence[Group]
    node_types: Sequence[Group]
    slowest_nodes: Sequence[Group]
    errors: Sequence[TopError]
    series: Series
    uncounted: int
