"""The instants that a cron expression names in a time zone.

Five fields, read as Debian's cron does: fixed times that a change of the clock leaves out come right after
the gap, those that it brings twice come once; expressions with a star for minute or hour follow the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from flow_engine.errors import Problem

MINUTE = timedelta(minutes=1)
LONGEST_FOLD = timedelta(hours=3)
"""No clock is put back by more."""


def cron_problems(expression: str, zone: str) -> list[Problem]:
    """All that is wrong with them."""
    problems = []
    if zone not in available_timezones():
        message = f"there is no time zone {zone[:64]!r}"
        problems.append(
            Problem("/timeZone", "UNKNOWN_TIME_ZONE", message, "use a name such as Europe/Berlin")
        )
    hint = "minute hour day-of-month month day-of-week, such as 30 6 * * MON-FRI"
    if len(expression.split()) != 5:
        problems.append(Problem("/cron", "INVALID_VALUE", "a cron expression has five fields", hint))
        return problems
    try:
        first = next(iter(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC))), None)
    except CronSimError as error:
        problems.append(Problem("/cron", "INVALID_VALUE", str(error), hint))
    else:
        if first is None:
            problems.append(Problem("/cron", "INVALID_VALUE", "it never comes to pass", hint))
    return problems


def slots_after(expression: str, zone: str, instant: datetime) -> Iterator[datetime]:
    """In UTC, each later than the one before it and than `instant`; ends when none comes within 50 years."""
    time_zone = ZoneInfo(zone)
    minute, hour, *_ = expression.split()
    follows_clock = minute.startswith("*") or hour.startswith("*")
    local = instant.astimezone(time_zone).replace(tzinfo=None)
    # The library finds times of the wall clock; what they are in a zone is settled here, since its own way
    # loses slots where a clock goes back by half an hour.
    wall_times = CronSim(expression, local - LONGEST_FOLD)
    found = _each_time(wall_times, time_zone) if follows_clock else _once(wall_times, time_zone)
    last = instant
    for slot in found:
        if slot > last:
            last = slot
            yield slot


def _each_time(wall_times: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Every instant at which the clock shows one of these: none in a gap, two where it goes back."""
    held: list[datetime] = []
    for wall in wall_times:
        if _left_out(wall, zone):
            continue
        first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        while held and held[0] < first:
            yield heappop(held)
        for instant in {first, second}:
            heappush(held, instant)
    yield from sorted(held)


def _once(wall_times: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Each of these once: the first of two, and right after a gap what it leaves out."""
    for wall in wall_times:
        while _left_out(wall, zone):
            wall += MINUTE
        yield wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _left_out(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock never shows it, because it is put forward over it."""
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall
