"""Time as the counts know it: periods of five minutes, hours and days, by UTC, as seconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FINE, HOUR, DAY = 300, 3600, 86_400
GRAINS = (FINE, HOUR, DAY)
FINE_KEPT_SECONDS = 2 * DAY
HOURS_KEPT_SECONDS = 90 * DAY
MOST_POINTS = 2000
USUAL_POINTS = 100
LONG_SECONDS = 10 * DAY
"""Longer ranges are made of whole days."""
_NICE_BUCKETS = (FINE, 3 * FINE, HOUR, 3 * HOUR, 12 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY)


@dataclass(frozen=True, slots=True)
class Span:
    """Periods of one grain, from `first` up to and without `end`."""

    grain: int
    first: int
    end: int


def grain_at(time: int, now: int) -> int:
    """The finest grain that is still kept for a time."""
    age = now - time
    if age <= FINE_KEPT_SECONDS:
        return FINE
    return HOUR if age <= HOURS_KEPT_SECONDS else DAY


def forgotten_before(grain: int, now: int) -> int:
    """Periods that began before are dropped; a day later than nobody looks at them."""
    kept = {FINE: FINE_KEPT_SECONDS, HOUR: HOURS_KEPT_SECONDS}.get(grain)
    return 0 if kept is None else now - kept - DAY


def rounded_out(start: int, end: int, now: int) -> tuple[int, int]:
    """The smallest range of whole periods around a range; of a long one the first day is whole.

    Where a long one ends in the past, the last day is whole too.
    """
    before, after = grain_at(start, now), grain_at(end, now)
    if end - start > LONG_SECONDS:
        before, after = DAY, after if end >= now else DAY
    return start - start % before, end + -end % after


def covering(start: int, end: int, grains: Sequence[int] = GRAINS) -> list[Span]:
    """Periods that make up a rounded range exactly, as few as there can be: days, with hours at both ends."""
    spans: list[Span] = []
    cursor = start
    while cursor < end:
        grain = max((g for g in grains if not cursor % g and cursor + g <= end), default=min(grains))
        larger = min((g for g in grains if g > grain), default=0)
        upto = end - (end - cursor) % grain
        if larger and upto - cursor > -cursor % larger > 0:
            upto = cursor + -cursor % larger
        spans.append(Span(grain, cursor, max(upto, cursor + grain)))
        cursor = spans[-1].end
    return spans


def usual_bucket(start: int, end: int, now: int) -> int:
    """For a series of at most a hundred points."""
    finest = grain_at(start, now)
    fitting = (b for b in _NICE_BUCKETS if b >= finest and (end - start) / b <= USUAL_POINTS)
    return next(fitting, _NICE_BUCKETS[-1])


def grains_of(bucket: int) -> list[int]:
    """Grains whose periods lie whole within buckets of a series."""
    return [grain for grain in GRAINS if not bucket % grain]
